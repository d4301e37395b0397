package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train"
	"mmfree/train/verify"
)

func verifyVerb() *cli.Command {
	const groupText = "Text"
	return &cli.Command{
		Name: "verify", Usage: "compare the training forward pass with the packed path, bit by bit",
		UsageText:   "mmfree verify MODEL [--packed FILE] [--text FILE | --tokens N]",
		Description: "mmfree verify runs/example --tokens 256",
		Flags: []cli.Flag{
			&cli.PathFlag{Name: "packed", Usage: "compare with the packed `FILE`", DefaultText: "the run's own, else made from the weights", Category: "Model"},
			&cli.PathFlag{Name: "text", Usage: "run both paths on the text in `FILE`", Category: groupText},
			&cli.IntFlag{Name: "tokens", Usage: "run both paths on `N` random tokens", DefaultText: "enough for a million logits", Category: groupText},
			seedFlag(), threadsFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "MODEL")
			if err != nil {
				return err
			}
			if c.IsSet("text") && c.IsSet("tokens") {
				return &usageError{problem: "--text and --tokens exclude one another", fix: "give one of them"}
			}
			if n := c.Int("tokens"); c.IsSet("tokens") && (n < 1 || n > train.MaxVerifyTokens) {
				return &usageError{problem: fmt.Sprintf("--tokens is %d", n), fix: fmt.Sprintf("choose from 1 to %d", train.MaxVerifyTokens)}
			}
			return withModel(c, args[0], func(m *train.Model, how train.Machine) error { return verifyAction(c, m, how) })
		},
	}
}

func verifyAction(c *cli.Context, m *train.Model, how train.Machine) error {
	report, err := m.Verify(c.Context, train.VerifyRequest{
		Packed: c.Path("packed"), Text: c.Path("text"), Tokens: c.Int("tokens"), Seed: c.Uint64("seed"), Machine: how,
	})
	if err != nil {
		return stopped(c.Context, err)
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, report)
	} else {
		err = printVerified(c.App.Writer, report)
	}
	if err != nil || report.Identical {
		return err
	}
	return &differentError{report}
}

// printVerified prints the report for people.
func printVerified(w io.Writer, r *verify.Report) error {
	rows := [][]string{
		{"verdict", "identical in every bit"},
		{"compared", fmt.Sprintf("%d values of %d tensors, %d logits among them", r.ValuesCompared, r.TensorsCompared, r.LogitsCompared)},
	}
	if !r.Identical {
		rows[0][1] = "DIFFERENT"
		rows = append(rows,
			[]string{"mismatches", fmt.Sprintf("%d values, at most %d units in the last place apart", r.Mismatches, r.MaxULP)},
			[]string{"first", fmt.Sprintf("%s at %d: training %v, packed %v", r.First.Tensor, r.First.Index, r.First.Training, r.First.Packed)})
	}
	o := r.Operations
	rows = append(rows,
		[]string{"weight multiplies", fmt.Sprint(o.WeightMultiplies)},
		[]string{"weight adds", fmt.Sprint(o.WeightAdds)},
		[]string{"zeros skipped", fmt.Sprint(o.ZerosSkipped)},
		[]string{"other multiplies", fmt.Sprint(o.OtherMultiplies) + ", of norms, gates and scales"})
	return ui.Table(w, nil, rows)
}

// differentError is a verification that found a difference.
type differentError struct{ report *verify.Report }

func (e *differentError) Error() string {
	f := e.report.First
	return fmt.Sprintf("%v: %d of %d values, the first in %s at %d: %v and %v", verify.ErrDifferent,
		e.report.Mismatches, e.report.ValuesCompared, f.Tensor, f.Index, f.Packed, f.Training)
}

func (e *differentError) Unwrap() error { return verify.ErrDifferent }
