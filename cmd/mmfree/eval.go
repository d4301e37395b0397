package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/data/tasks"
	"mmfree/train"
	"mmfree/train/eval"
)

func evalVerb() *cli.Command {
	return &cli.Command{
		Name: "eval", Usage: "measure a model as lm-evaluation-harness does",
		UsageText:   "mmfree eval VERB [arguments] [flags]",
		Subcommands: []*cli.Command{evalTextVerb(), evalTaskVerb()},
	}
}

const groupProtocol = "Protocol"

func evalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "window", Usage: "let the model read at most `N` tokens", DefaultText: "what the model says", Category: groupProtocol},
		&cli.StringFlag{Name: "bos", Value: string(eval.BOSTokenizer), Usage: "`none`, as in results of 2024, or tokenizer: its special tokens round each text", Category: groupProtocol},
		&cli.PathFlag{Name: "tokenizer", Usage: "read texts with the tokenizer at `PATH`", DefaultText: "the model's own", Category: groupProtocol},
		&cli.PathFlag{Name: "resume", Usage: "keep what is scored in `FILE`, and go on from there after a kill; removed at the end", Category: groupOutput},
		&cli.IntFlag{Name: "prefix-token", Value: -1, Usage: "put the token `ID` before a text without context", DefaultText: "BOS, else EOS, else a line end", Category: groupProtocol},
	}
}

func evalTextVerb() *cli.Command {
	return &cli.Command{
		Name: "ppl", Usage: "measure perplexity and bits per byte of a text",
		UsageText:   "mmfree eval ppl MODEL --text FILE [flags]",
		Description: "mmfree eval ppl runs/example --text runs/example/config.yaml",
		Flags: append(evalFlags(),
			&cli.PathFlag{Name: "text", Usage: "score this `FILE`, as one page", Category: groupProtocol},
			&cli.BoolFlag{Name: "detokenise", Usage: "undo WikiText's tokenisation first; words and bytes are counted before", Category: groupProtocol, DisableDefaultText: true},
			&cli.BoolFlag{Name: "streaming", Usage: "carry the state over the whole text: recurrent models, not comparable with windows", Category: groupProtocol, DisableDefaultText: true},
			jsonFlag(), threadsFlag(),
		),
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, "MODEL")
			if err != nil {
				return err
			}
			if c.Path("text") == "" {
				return &usageError{problem: "--text is missing", fix: "name the text to score: --text FILE"}
			}
			return withModel(c, args[0], func(m *train.Model, how train.Machine) error {
				r, err := evalRequest(c, how)
				if err != nil {
					return err
				}
				result, err := m.EvalText(c.Context, c.Path("text"), c.Bool("detokenise"), c.Bool("streaming"), r)
				if err != nil {
					return stopped(c.Context, err)
				}
				if c.Bool("json") {
					return printJSON(c.App.Writer, result)
				}
				return ui.Table(c.App.Writer, nil, append([][]string{
					{"text", fmt.Sprintf("%d tokens, %d words, %d bytes", result.Tokens, result.Words, result.Bytes)},
					{"nats a token", fmt.Sprintf("%.4f", result.NLLPerToken)},
					{"perplexity", fmt.Sprintf("%.4f by token, %.4f by word, %.4f by byte", result.Perplexity, result.WordPerplexity, result.BytePerplexity)},
					{"bits per byte", fmt.Sprintf("%.4f", result.BitsPerByte)},
				}, settingRows(&result.Setting)...))
			})
		},
	}
}

func evalTaskVerb() *cli.Command {
	return &cli.Command{
		Name: "task", Usage: "score a task: " + strings.Join(tasks.Names(), ", "),
		UsageText:   "mmfree eval task NAME MODEL --data FILE.jsonl [flags]",
		Description: "mmfree eval task lambada_openai runs/example --data /dev/stdin <<END\n{\"text\": \"The sea is deep and cold\"}\nEND",
		Flags: append(evalFlags(),
			&cli.PathFlag{Name: "data", Usage: "the task's items, a JSON object a line: `FILE`", Category: groupProtocol},
			&cli.IntFlag{Name: "limit", Usage: "score only the first `N` items", DefaultText: "all", Category: groupProtocol},
			&cli.PathFlag{Name: "samples", Usage: "write requests, scores and choice of each item to `FILE`", Category: groupOutput},
			forceFlag(), jsonFlag(), threadsFlag(),
		),
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 2, "NAME", "MODEL")
			if err != nil {
				return err
			}
			if _, err := tasks.Get(args[0]); err != nil {
				return err
			}
			switch {
			case c.Path("data") == "":
				return &usageError{problem: "--data is missing", fix: "name the task's items: --data FILE.jsonl"}
			case c.Int("limit") < 0:
				return &usageError{problem: fmt.Sprintf("--limit is %d", c.Int("limit")), fix: "choose 1 or more"}
			}
			if c.Path("samples") != "" {
				if err := free(c, "samples"); err != nil {
					return err
				}
			}
			return withModel(c, args[1], func(m *train.Model, how train.Machine) error {
				r, err := evalRequest(c, how)
				if err != nil {
					return err
				}
				result, err := m.EvalTask(c.Context, args[0], c.Path("data"), c.Path("samples"), c.Int("limit"), r)
				if err != nil {
					return stopped(c.Context, err)
				}
				if c.Bool("json") {
					return printJSON(c.App.Writer, result)
				}
				return ui.Table(c.App.Writer, nil, append(figureRows(result), settingRows(&result.Setting)...))
			})
		},
	}
}

func evalRequest(c *cli.Context, how train.Machine) (train.EvalRequest, error) {
	r := train.EvalRequest{Window: c.Int("window"), BOS: eval.BOS(c.String("bos")), Prefix: c.Int("prefix-token"), Tokenizer: c.Path("tokenizer"), Resume: c.Path("resume"), Machine: how}
	switch {
	case r.BOS != eval.BOSNone && r.BOS != eval.BOSTokenizer:
		return r, &usageError{problem: fmt.Sprintf("--bos is %q", r.BOS), fix: "choose none or tokenizer"}
	case r.Window < 0 || r.Window > 1<<20 || c.IsSet("window") && r.Window == 0:
		return r, &usageError{problem: fmt.Sprintf("--window is %d", r.Window), fix: "choose from 1 to 1048576 tokens"}
	}
	progress := ui.NewProgress(os.Stderr, func() int { return ui.Width(os.Stderr) }, time.Now)
	r.At = func(done, all int, tokensPerSecond float64) {
		s := ui.Status{What: "scored", Step: int64(done), Steps: int64(all), TokensPerSecond: tokensPerSecond}
		if progress.Update(s); done == all {
			progress.Stop()
		}
	}
	return r, nil
}

func settingRows(s *train.Setting) [][]string {
	return [][]string{
		{"protocol", fmt.Sprintf("%s, at most %d tokens, bos %s, token %d before a text without context", s.Mode, s.MaxLength, s.BOS, s.PrefixToken)},
		{"time", fmt.Sprintf("%s, %s tokens/s", ui.Duration(duration(s.Seconds)), ui.Count(s.TokensPerSecond))},
	}
}

// figureRows leaves out what the task does not have.
func figureRows(r *train.TaskResult) [][]string {
	rows := [][]string{{"task", fmt.Sprintf("%s, %d items", r.Task, r.N)}}
	add := func(name string, value, stderr float64) {
		switch {
		case math.IsNaN(value):
		case math.IsNaN(stderr):
			rows = append(rows, []string{name, fmt.Sprintf("%.4f", value)})
		default:
			rows = append(rows, []string{name, fmt.Sprintf("%.4f ± %.4f", value, stderr)})
		}
	}
	add("acc", r.Acc, r.AccStderr)
	add("acc_norm", r.AccNorm, r.AccNormStderr)
	for _, f := range []struct {
		name          string
		value, stderr float64
	}{{"perplexity", r.Perplexity, r.PerplexityError}, {"word_perplexity", r.WordPerplexity, math.NaN()}, {"byte_perplexity", r.BytePerplexity, math.NaN()}, {"bits_per_byte", r.BitsPerByte, math.NaN()}} {
		add(f.name, f.value, f.stderr)
	}
	return rows
}
