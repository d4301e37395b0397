package main

import (
	"fmt"
	"math"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/train"
)

func logitsVerb() *cli.Command {
	const groupInput, groupPath = "Input", "Forward pass"
	return &cli.Command{
		Name: "logits", Usage: "run a model over token ids and write every logit to a file",
		UsageText:   "mmfree logits MODEL --ids 1,2,3 | --ids-file F.json --out F.safetensors [--path training|packed] [--split N]",
		Description: "mmfree logits runs/example --ids 84,104,101 --out logits.safetensors",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "ids", Usage: "token `IDS` with commas between", Category: groupInput},
			&cli.PathFlag{Name: "ids-file", Usage: "JSON `FILE` with a list of ids, or a list of equally long lists", Category: groupInput},
			&cli.StringFlag{Name: "path", Value: train.PathPacked, Usage: "`PASS` to run, training or packed; both give the same bits", Category: groupPath},
			&cli.IntFlag{Name: "split", Usage: "packed: run the first `N` tokens together, the rest one by one", DefaultText: "all together", Category: groupPath},
			outFlag("the tensor logits [batch, time, vocab], F32, as safetensors"),
			forceFlag(), jsonFlag(), threadsFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "MODEL")
			if err != nil {
				return err
			}
			request, err := logitsRequest(c)
			if err != nil {
				return err
			}
			return withModel(c, args[0], func(m *train.Model, how train.Machine) error {
				request.Machine = how
				result, err := m.Logits(c.Context, request)
				if err != nil {
					return stopped(c.Context, err)
				}
				return printLogits(c, result)
			})
		},
	}
}

func logitsRequest(c *cli.Context) (r train.LogitsRequest, err error) {
	r = train.LogitsRequest{Path: c.String("path"), Prefill: -1}
	switch {
	case c.IsSet("ids") == c.IsSet("ids-file"):
		return r, &usageError{problem: "one of --ids and --ids-file is needed", fix: "usage: " + c.Command.UsageText}
	case r.Path != train.PathPacked && r.Path != train.PathTraining:
		return r, &usageError{problem: fmt.Sprintf("--path is %q", r.Path), fix: "choose training or packed"}
	case c.IsSet("split") && r.Path != train.PathPacked:
		return r, &usageError{problem: "--split is for --path packed: training runs all tokens together", fix: "leave one of them out"}
	case c.IsSet("split") && c.Int("split") < 0:
		return r, &usageError{problem: fmt.Sprintf("--split is %d", c.Int("split")), fix: "choose 0 or more tokens"}
	case c.IsSet("split"):
		r.Prefill = c.Int("split")
	}
	if r.Out, err = outPath(c); err != nil {
		return r, err
	}
	if c.IsSet("ids-file") {
		r.Source = c.Path("ids-file")
		r.IDs, err = train.ReadIDs(r.Source)
		return r, err
	}
	r.Source = "--ids"
	row, err := train.ListIDs(r.Source, c.String("ids"))
	r.IDs = [][]int32{row}
	return r, err
}

func printLogits(c *cli.Context, r *train.LogitsResult) error {
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	rows := [][]string{{"logits", fmt.Sprintf("%s, %s (batch, time, vocabulary)", r.Path, dimensions(r.Shape))}}
	if !math.IsNaN(r.NLL) {
		rows = append(rows, []string{"loss", fmt.Sprintf("%.6f nats a token", r.NLL)})
	}
	return ui.Table(c.App.Writer, nil, rows)
}
