package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/hf"
	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/ternary/spec"
	"mmfree/train"
)

func exportVerb() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write a model in another format",
		UsageText:   "mmfree export MODEL --format packed|hf|hf-bitnet|gguf --out PATH [--force]",
		Description: "mmfree export runs/example --format hf --out exported",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT`: packed (one file for inference), hf (a folder as transformers writes it), hf-bitnet (such a folder, ternary tensors packed four to a byte) or gguf (one file for llama.cpp)", Category: groupOutput},
			outFlag("the file or folder"), forceFlag(), jsonFlag(), threadsFlag(),
			&cli.StringFlag{Name: "ternary-type", Usage: "gguf: store ternary tensors as `TYPE`, tq1_0, tq2_0 or i2_s", DefaultText: "tq2_0, or i2_s with squared ReLU", Category: groupForm},
		}, formFlags()...),
		Action: func(c *cli.Context) error {
			if err := checkFormat(c.String("format")); err != nil {
				return err
			}
			return rewrite(c, "MODEL", "wrote", (*train.Model).Export)
		},
	}
}

// groupForm is the group of flags that some formats have a use for.
const groupForm = "Form"

// formatsOf returns the formats that have a use for a flag of the group.
func formatsOf(flag string) []string {
	switch flag {
	case "scale-convention":
		return []string{train.FormatHFBitNet}
	case "ternary-type":
		return []string{train.FormatGGUF}
	}
	return []string{train.FormatHF, train.FormatHFBitNet, train.FormatGGUF}
}

func formFlags() []cli.Flag {
	return []cli.Flag{
		&cli.PathFlag{Name: "tokenizer", Usage: "put the tokenizer at `PATH` into the result, in place of the model's own: a tokenizer.json, a .model, a GGUF file or a folder of one", Category: groupForm},
		&cli.StringFlag{Name: "dtype", Usage: "store full-precision tensors as `TYPE`: float32, bfloat16 or float16, rounded", DefaultText: "as they are, else float32", Category: groupForm},
		&cli.StringFlag{Name: "max-shard-size", Usage: "begin another file when one reaches `SIZE`, such as 5GB or 500MB; of gguf PATH is then a folder", DefaultText: "one file", Category: groupForm},
		&cli.StringFlag{Name: "scale-convention", Usage: "hf-bitnet: `HOW` weight_scale is applied, multiply or divide", DefaultText: "multiply", Category: groupForm},
	}
}

func checkFormat(format string) error {
	fix := "choose packed, hf, hf-bitnet or gguf"
	switch {
	case slices.Contains(train.Formats(), format):
		return nil
	case format == "":
		return &usageError{problem: "--format is missing", fix: fix}
	}
	if near := train.Nearest(format, train.Formats()); near != "" {
		fix = fmt.Sprintf("did you mean %s?", near)
	}
	return &usageError{problem: fmt.Sprintf("--format %q is not known", format), fix: fix}
}

func importVerb() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "make a Hugging Face model folder of a model in any form",
		UsageText:   "mmfree import PATH --out DIR [--force]",
		Description: "mmfree import runs/example --out imported",
		Flags:       append([]cli.Flag{outFlag("the model folder"), forceFlag(), jsonFlag(), threadsFlag()}, formFlags()...),
		Action:      func(c *cli.Context) error { return rewrite(c, "PATH", "imported", (*train.Model).Import) },
	}
}

// rewrite opens the verb's model without reading it, and writes it anew.
func rewrite(c *cli.Context, argument, did string, write func(*train.Model, context.Context, train.ExportRequest) (*train.Exported, error)) (err error) {
	args, err := arguments(c, 1, argument)
	if err != nil {
		return err
	}
	request, err := exportRequest(c)
	if err != nil {
		return err
	}
	if _, err := threads(c); err != nil {
		return err
	}
	m, err := train.OpenToConvert(args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	warn(c.App.ErrWriter, m.Warnings)
	if path := c.Path("tokenizer"); path != "" {
		if err := m.UseTokenizer(path); err != nil {
			return err
		}
	}
	progress := ui.NewProgress(os.Stderr, func() int { return ui.Width(os.Stderr) }, time.Now)
	begun := time.Now()
	request.Progress = func(done, all int64) {
		elapsed := time.Since(begun)
		if elapsed < quiet {
			return
		}
		left := time.Duration(0) // not known at first
		if done > all/50 {
			left = time.Duration(float64(elapsed) * float64(all-done) / float64(done))
		}
		progress.Update(ui.Status{What: "MB", Step: done / 1e6, Steps: all / 1e6, Elapsed: elapsed, ETA: left})
	}
	result, err := write(m, c.Context, request)
	progress.Stop()
	if err != nil {
		return stopped(c.Context, err)
	}
	return printExported(c, result, did)
}

// quiet is how long a conversion may take before it says how far it has come.
const quiet = 2 * time.Second

func exportRequest(c *cli.Context) (r train.ExportRequest, err error) {
	r = train.ExportRequest{Format: c.String("format"), Replace: c.Bool("force"), DType: c.String("dtype"), Scales: hf.Convention(c.String("scale-convention")), Ternary: c.String("ternary-type")}
	if r.Out, err = outPath(c); err != nil {
		return r, err
	}
	if r.DType != "" && !slices.Contains(train.DTypes(), r.DType) {
		return r, &usageError{problem: fmt.Sprintf("--dtype is %q", r.DType), fix: "choose " + strings.Join(train.DTypes(), ", ")}
	}
	if r.Scales != "" && r.Scales != hf.Multiply && r.Scales != hf.Divide {
		return r, &usageError{problem: fmt.Sprintf("--scale-convention is %q", string(r.Scales)), fix: "choose multiply or divide"}
	}
	if text := c.String("max-shard-size"); text != "" {
		if r.MaxShard, err = ui.ParseBytes(text); err != nil {
			return r, &usageError{problem: fmt.Sprintf("--max-shard-size is %q", text), fix: "write a size such as 5GB, 500MB or 100000"}
		}
	}
	if r.Ternary != "" && !slices.Contains(train.TernaryTypes(), r.Ternary) {
		return r, &usageError{problem: fmt.Sprintf("--ternary-type is %q", r.Ternary), fix: "choose " + strings.Join(train.TernaryTypes(), ", ")}
	}
	for _, name := range []string{"dtype", "max-shard-size", "scale-convention", "ternary-type"} {
		if formats := formatsOf(name); r.Format != "" && c.IsSet(name) && !slices.Contains(formats, r.Format) {
			return r, &usageError{problem: fmt.Sprintf("--%s means nothing to --format %s", name, r.Format), fix: "leave it out, or choose --format " + strings.Join(formats, " or ")}
		}
	}
	return r, nil
}

func printExported(c *cli.Context, r *train.Exported, did string) error {
	warn(c.App.ErrWriter, r.Warnings)
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	kind := "ternary weight"
	if r.Arch == spec.ArchTransformer {
		kind = "weight"
	}
	size := fmt.Sprintf("%s, %.3f bits a %s", ui.Bytes(r.Bytes), r.BitsPerWeight, kind)
	rows := [][]string{
		{did, fmt.Sprintf("%s, %s", r.Path, r.Format)},
		{"model", fmt.Sprintf("%s, %s parameters in %d tensors", r.Arch, ui.Count(float64(r.Parameters)), r.Tensors)},
		{"size", size},
	}
	if r.ScaleConvention != nil {
		rows = append(rows, []string{"scale", *r.ScaleConvention})
	}
	return ui.Table(c.App.Writer, nil, rows)
}
