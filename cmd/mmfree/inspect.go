package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints"
	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/ternary/spec"
)

// inspection is the result of mmfree inspect.
type inspection struct {
	Format          checkpoints.Kind `json:"format"`
	Form            *string          `json:"form"` // how a foreign format holds the model; else null
	Source          string           `json:"source"`
	Arch            *string          `json:"arch"`   // null where the file has no configuration
	Config          any              `json:"config"` // {} where there is none
	Parameters      int64            `json:"parameters"`
	Bytes           int64            `json:"bytes"`
	BitsPerWeight   float64          `json:"bits_per_weight"`
	Tensors         []inspected      `json:"tensors"`
	ScaleConvention *string          `json:"scale_convention"`
	Warnings        []string         `json:"warnings"`
}

type inspected struct {
	Name         string   `json:"name"`
	Shape        []int    `json:"shape"`
	DType        string   `json:"dtype"`
	Bytes        int64    `json:"bytes"`
	ZeroFraction *float64 `json:"zero_fraction"`
	Scale        *float64 `json:"scale"`

	// Of ternary tensors; else null.
	MinusFraction *float64 `json:"minus_fraction"`
	PlusFraction  *float64 `json:"plus_fraction"`
	DeadRows      *int     `json:"dead_rows"` // rows whose codes are all zero
}

func inspectVerb() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "say what a model on disk is, tensor by tensor",
		UsageText:   "mmfree inspect PATH [--json]",
		Description: "mmfree inspect runs/example",
		Flags:       []cli.Flag{jsonFlag(), threadsFlag()},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "PATH")
			if err != nil {
				return err
			}
			if _, err := threads(c); err != nil {
				return err
			}
			in, err := checkpoints.Inspect(args[0], true)
			if err != nil {
				return err
			}
			warn(c.App.ErrWriter, in.Warnings)
			result := inspectionOf(in)
			if c.Bool("json") {
				return printJSON(c.App.Writer, result)
			}
			return result.print(c.App.Writer, in.Config)
		},
	}
}

func inspectionOf(in *checkpoints.Inspection) *inspection {
	r := &inspection{
		Format: in.Kind, Source: in.Source, Config: struct{}{}, Parameters: in.Parameters, Bytes: in.Bytes,
		BitsPerWeight: in.BitsPerWeight, Warnings: in.Warnings,
	}
	if in.Scales != "" {
		r.ScaleConvention = &in.Scales
	}
	if in.Form != "" {
		r.Form = &in.Form
	}
	if in.Config != nil {
		r.Arch, r.Config = &in.Config.Arch, *in.Config
	}
	for _, t := range in.Tensors {
		r.Tensors = append(r.Tensors, inspected{
			t.Name, t.Shape, string(t.DType), t.Bytes, t.ZeroFraction, t.Scale, t.MinusFraction, t.PlusFraction, t.DeadRows,
		})
	}
	return r
}

// print prints the inspection for people: what it is, then a line a tensor.
func (r *inspection) print(w io.Writer, config *spec.Config) error {
	rows := [][]string{{"format", string(r.Format)}, {"source", r.Source}}
	if r.Form != nil && *r.Form != string(r.Format) {
		rows[0][1] += " (" + *r.Form + ")"
	}
	if r.ScaleConvention != nil {
		rows = append(rows, []string{"scale", *r.ScaleConvention})
	}
	weight := "bits a value"
	if config != nil {
		weight = "bits a ternary weight"
		rows = append(rows, []string{"model", fmt.Sprintf("%s, d %d, %d layers, vocabulary %d", config.Arch, config.HiddenSize, config.NumHiddenLayers, config.VocabSize)})
	}
	rows = append(rows,
		[]string{"size", fmt.Sprintf("%s parameters, %s, %.3f %s", ui.Count(float64(r.Parameters)), ui.Bytes(r.Bytes), r.BitsPerWeight, weight)})
	if err := ui.Table(w, nil, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	rows = nil
	for _, t := range r.Tensors {
		share := func(f *float64) string {
			if f == nil {
				return ""
			}
			return fmt.Sprintf("%.4f", *f)
		}
		scale, dead := "", ""
		if t.DeadRows != nil {
			dead = fmt.Sprint(*t.DeadRows)
		}
		if t.Scale != nil {
			scale = fmt.Sprintf("%.6g", *t.Scale)
		}
		rows = append(rows, []string{printable(t.Name), dimensions(t.Shape), t.DType, ui.Bytes(t.Bytes), dead, share(t.MinusFraction), share(t.PlusFraction), share(t.ZeroFraction), scale})
	}
	return ui.Table(w, []string{"TENSOR", "SHAPE", "TYPE", "SIZE", "DEAD", "MINUS", "PLUS", "ZEROS", "SCALE"}, rows)
}

// printable keeps a foreign file's names from moving the terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
