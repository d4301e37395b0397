package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train"
)

func exportVerb() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write a model in another format",
		UsageText:   "mmfree export MODEL --format packed|hf --out PATH [--force]",
		Description: "mmfree export runs/example --format hf --out exported",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT`: packed (one file for inference) or hf (a folder as transformers writes it)", Category: groupOutput},
			outFlag("the file or folder"), forceFlag(), jsonFlag(), threadsFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "MODEL")
			if err != nil {
				return err
			}
			format := c.String("format")
			if err := checkFormat(format); err != nil {
				return err
			}
			out, err := outPath(c)
			if err != nil {
				return err
			}
			return withModel(c, args[0], func(m *train.Model, _ train.Machine) error {
				result, err := m.Export(format, out, c.Bool("force"))
				if err != nil {
					return err
				}
				return printExported(c, result, "wrote")
			})
		},
	}
}

func checkFormat(format string) error {
	built, planned := []string{train.FormatPacked, train.FormatHF}, []string{"hf-bitnet", "gguf"}
	fix := "choose " + strings.Join(built, " or ")
	switch {
	case slices.Contains(built, format):
		return nil
	case format == "":
		return &usageError{problem: "--format is missing", fix: fix}
	case slices.Contains(planned, format):
		return &usageError{problem: fmt.Sprintf("--format %s is not built yet", format), fix: fix}
	}
	if near := train.Nearest(format, append(built, planned...)); near != "" {
		fix = fmt.Sprintf("did you mean %s?", near)
	}
	return &usageError{problem: fmt.Sprintf("--format %q is not known", format), fix: fix}
}

func importVerb() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "make a Hugging Face model folder of a folder, a checkpoint or a run",
		UsageText:   "mmfree import PATH --out DIR [--force]",
		Description: "mmfree import runs/example --out imported",
		Flags:       []cli.Flag{outFlag("the model folder"), forceFlag(), jsonFlag(), threadsFlag()},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "PATH")
			if err != nil {
				return err
			}
			out, err := outPath(c)
			if err != nil {
				return err
			}
			return withModel(c, args[0], func(m *train.Model, _ train.Machine) error {
				result, err := m.Import(out, c.Bool("force"))
				if err != nil {
					return err
				}
				return printExported(c, result, "imported")
			})
		},
	}
}

func printExported(c *cli.Context, r *train.Exported, did string) error {
	warn(c.App.ErrWriter, r.Warnings)
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	rows := [][]string{
		{did, fmt.Sprintf("%s, %s", r.Path, r.Format)},
		{"model", fmt.Sprintf("%s, %s parameters in %d tensors", r.Arch, ui.Count(float64(r.Parameters)), r.Tensors)},
		{"size", fmt.Sprintf("%s, %.3f bits a ternary weight", ui.Bytes(r.Bytes), r.BitsPerWeight)},
	}
	if r.ScaleConvention != nil {
		rows = append(rows, []string{"scale", *r.ScaleConvention})
	}
	return ui.Table(c.App.Writer, nil, rows)
}
