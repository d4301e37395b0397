package main

import (
	"github.com/urfave/cli/v2"

	"mmfree/ternary/spec"
	"mmfree/train"
	"mmfree/train/recipes"
)

func finetuneVerb() *cli.Command {
	return &cli.Command{
		Name: "finetune", Usage: "train on from a model's weights, with its tokenizer; turn it ternary",
		UsageText:   "mmfree finetune --from MODEL [CONFIG] [--to ARCH] [--teacher MODEL] [--corpus FILE...] [--replay FILE...] [--freeze PATTERN...] [--out DIR] [--set KEY=VALUE...] [--resume DIR] [--steps N]",
		Description: "mmfree finetune --from runs/example --steps 20 --out runs/tuned",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "start from the weights of `MODEL`", Category: groupText},
			&cli.StringFlag{Name: "to", Usage: "convert it to architecture `ARCH`: bitnet or matmulfree", DefaultText: "as it is", Category: groupText},
			&cli.StringFlag{Name: "teacher", Usage: "learn from the probabilities of `MODEL`, too", DefaultText: "none", Category: groupText},
			&cli.StringSliceFlag{Name: "replay", TakesFile: true, Usage: "mix in text of the kind that the model knows, `FILE`s and folders", Category: groupText},
			&cli.StringSliceFlag{Name: "freeze", TakesFile: true, Usage: "leave tensors that fit `PATTERN` as they are", Category: groupText},
		}, runFlags()...),
		Action: func(c *cli.Context) error {
			recipe := recipes.FineTune
			if c.IsSet("to") {
				recipe = recipes.Convert
				if c.String("to") == spec.ArchMatMulFree {
					recipe = recipes.ConvertMatMulFree
				}
			}
			request, err := trainRequest(c, recipe, func(config *train.Config) error { return fromFlags(c, config) })
			if err != nil {
				return err
			}
			return trainAction(c, request)
		},
	}
}

// fromFlags sets what the flags of finetune alone say. The tokenizer is the model's whatever CONFIG says; --set may name
// another.
func fromFlags(c *cli.Context, config *train.Config) error {
	f := &config.FineTune
	if c.IsSet("from") {
		f.From = c.String("from")
	}
	if f.From == "" {
		return &usageError{problem: "--from is missing", fix: "name the model to start from: --from MODEL"}
	}
	if c.IsSet("to") {
		f.To = c.String("to")
	}
	config.Data.Tokenizer, config.Data.VocabSize = train.TokenizerModel, 0
	if c.IsSet("teacher") {
		config.Distill.Teacher = c.String("teacher")
	}
	if c.IsSet("replay") {
		f.Replay = c.StringSlice("replay")
	}
	if c.IsSet("freeze") {
		f.Freeze = c.StringSlice("freeze")
	}
	return nil
}
