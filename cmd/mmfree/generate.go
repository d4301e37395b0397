package main

import (
	"fmt"
	"os"
	"time"

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
		UsageText:   "mmfree generate MODEL --prompt TEXT [--max-tokens N] [--temperature T] [--top-k K] [--top-p P] [--count N --out FILE.jsonl]",
		Description: `mmfree generate runs/example --prompt "The " --max-tokens 40`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "prompt", Usage: "`TEXT` to continue, printed first; without one, texts of --count begin as the model's do", Category: groupText},
			&cli.IntFlag{Name: "max-tokens", Value: 128, Usage: "write at most `N` tokens", Category: groupText},
			&cli.StringFlag{Name: "tokenizer", Usage: "tokenizer in `PATH`", DefaultText: "the model's own", Category: groupText},
			&cli.IntFlag{Name: "count", Usage: "write `N` texts, side by side, to the file of --out", Category: groupText},
			outFlag("texts of --count, as JSONL,"),
			&cli.Float64Flag{Name: "temperature", Value: 0.8, Usage: "`T` flattens the choice; 0 always takes the likeliest token", Category: groupSampling},
			&cli.IntFlag{Name: "top-k", Value: 40, Usage: "choose among the `K` likeliest tokens; 0 means all", Category: groupSampling},
			&cli.Float64Flag{Name: "top-p", Value: 0.95, Usage: "choose among the likeliest tokens that reach probability `P`; 1 means all", Category: groupSampling},
			seedFlag(), threadsFlag(), forceFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "MODEL")
			if err != nil {
				return err
			}
			switch n := c.Int("max-tokens"); {
			case !c.IsSet("prompt") && !c.IsSet("count"):
				return &usageError{problem: "--prompt is missing", fix: "usage: " + c.Command.UsageText}
			case n < 1 || n > maxGenerate:
				return &usageError{problem: fmt.Sprintf("--max-tokens is %d", n), fix: fmt.Sprintf("choose from 1 to %d", maxGenerate)}
			}
			action := generateAction
			if c.IsSet("count") || c.IsSet("out") {
				if n := c.Int("count"); n < 1 || n > maxGenerate {
					return &usageError{problem: fmt.Sprintf("--count is %d", n), fix: fmt.Sprintf("choose from 1 to %d", maxGenerate)}
				}
				if _, err := outPath(c); err != nil {
					return err
				}
				action = generateCorpus
			}
			return withModel(c, args[0], func(m *train.Model, how train.Machine) error {
				if c.IsSet("tokenizer") {
					if err := m.UseTokenizer(c.String("tokenizer")); err != nil {
						return err
					}
				}
				return action(c, m, how)
			})
		},
	}
}

func generateRequest(c *cli.Context, how train.Machine) train.GenerateRequest {
	return train.GenerateRequest{
		Prompt: c.String("prompt"), MaxTokens: c.Int("max-tokens"), Machine: how,
		Sampling: infer.Sampling{
			Temperature: c.Float64("temperature"), TopK: c.Int("top-k"), TopP: c.Float64("top-p"), Seed: c.Uint64("seed"),
		},
	}
}

// generateCorpus writes --count texts to --out.
func generateCorpus(c *cli.Context, m *train.Model, how train.Machine) error {
	progress := ui.NewProgress(os.Stderr, func() int { return ui.Width(os.Stderr) }, time.Now)
	count := c.Int("count")
	result, err := m.GenerateCorpus(c.Context, generateRequest(c, how), count, c.Path("out"), func(done int, rate float64) {
		progress.Update(ui.Status{What: "text", Step: int64(done), Steps: int64(count), TokensPerSecond: rate})
	})
	progress.Stop()
	if err != nil {
		return stopped(c.Context, err)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, result)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: %d texts, %s tokens, %s/s\n", result.Path, result.Count, ui.Count(float64(result.Tokens)), ui.Count(result.TokensPerSecond))
	return err
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
	request := generateRequest(c, how)
	request.Emit = show
	result, err := m.Generate(c.Context, request)
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
