package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/ternary/infer"
	"mmfree/train"
)

// maxGenerate bounds --max-tokens: memory is set aside for them.
const maxGenerate = 1 << 24

func generateVerb() *cli.Command {
	const groupText, groupSampling = "Text", "Sampling"
	return &cli.Command{
		Name: "generate", Usage: "continue a text with the packed path, by additions alone",
		UsageText:   "mmfree generate MODEL --prompt TEXT [--max-tokens N] [--temperature T] [--top-k K] [--top-p P]",
		Description: `mmfree generate runs/example --prompt "The " --max-tokens 40`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "prompt", Usage: "`TEXT` to continue; it is printed first", Category: groupText},
			&cli.IntFlag{Name: "max-tokens", Value: 128, Usage: "write at most `N` tokens", Category: groupText},
			&cli.Float64Flag{Name: "temperature", Value: 0.8, Usage: "`T` flattens the choice; 0 always takes the likeliest token", Category: groupSampling},
			&cli.IntFlag{Name: "top-k", Value: 40, Usage: "choose among the `K` likeliest tokens; 0 means all", Category: groupSampling},
			&cli.Float64Flag{Name: "top-p", Value: 0.95, Usage: "choose among the likeliest tokens that reach probability `P`; 1 means all", Category: groupSampling},
			seedFlag(), threadsFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "MODEL")
			if err != nil {
				return err
			}
			switch n := c.Int("max-tokens"); {
			case c.String("prompt") == "":
				return &usageError{problem: "--prompt is missing or empty", fix: "usage: " + c.Command.UsageText}
			case n < 1 || n > maxGenerate:
				return &usageError{problem: fmt.Sprintf("--max-tokens is %d", n), fix: fmt.Sprintf("choose from 1 to %d", maxGenerate)}
			}
			return withModel(c, args[0], func(m *train.Model, how train.Machine) error { return generateAction(c, m, how) })
		},
	}
}

func generateAction(c *cli.Context, m *train.Model, how train.Machine) error {
	w, begun := c.App.Writer, false
	show := func(text []byte) error {
		if c.Bool("json") {
			return nil
		}
		if !begun { // not earlier: until the first token an error may come
			begun = true
			fmt.Fprint(w, c.String("prompt"))
		}
		_, err := w.Write(text)
		return err
	}
	result, err := m.Generate(c.Context, train.GenerateRequest{
		Prompt: c.String("prompt"), MaxTokens: c.Int("max-tokens"), Emit: show, Machine: how,
		Sampling: infer.Sampling{
			Temperature: c.Float64("temperature"), TopK: c.Int("top-k"), TopP: c.Float64("top-p"), Seed: c.Uint64("seed"),
		},
	})
	if begun {
		fmt.Fprintln(w)
	}
	if err != nil {
		return stopped(c.Context, err)
	}
	if c.Bool("json") {
		return printJSON(w, result)
	}
	fmt.Fprintf(c.App.ErrWriter, "prompt %d tokens, %s/s; %d new tokens, %s/s\n", len(result.PromptIDs),
		ui.Count(result.PrefillTokensPerSecond), len(result.IDs), ui.Count(result.DecodeTokensPerSecond))
	return nil
}
