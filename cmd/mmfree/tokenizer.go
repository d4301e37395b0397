package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/data/corpus"
	"mmfree/data/tokenizer"
)

func tokenizerVerb() *cli.Command {
	return &cli.Command{
		Name: "tokenizer", Usage: "text to token ids and back; make a vocabulary of a text",
		UsageText:   "mmfree tokenizer VERB [flags]",
		Subcommands: []*cli.Command{tokenizerTrainVerb(), tokenizerEncodeVerb(), tokenizerDecodeVerb()},
	}
}

// trainedTokenizer is the result of mmfree tokenizer train.
type trainedTokenizer struct {
	Path          string  `json:"path"`
	VocabSize     int     `json:"vocab_size"`
	Merges        int     `json:"merges"`
	Seconds       float64 `json:"seconds"`
	BytesPerToken float64 `json:"bytes_per_token"`
	Bytes         int64   `json:"bytes"`
	Words         int     `json:"words"`
	Forgotten     int64   `json:"forgotten"`

	Reading corpus.Report `json:"reading"` // all zero for the built-in text
}

func tokenizerTrainVerb() *cli.Command {
	const groupVocabulary = "Vocabulary"
	return &cli.Command{
		Name: "train", Usage: "learn a byte-level BPE vocabulary from text and write it as tokenizer.json",
		UsageText:   "mmfree tokenizer train [--corpus FILE...] --vocab-size N --out FILE [flags]",
		Description: "mmfree tokenizer train --vocab-size 1024 --out tokenizer.json",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "corpus", TakesFile: true, Usage: "learn from these `FILE`s, folders and patterns, - for standard input; FILE=2 counts twice; none = the built-in text", Category: groupVocabulary},
			&cli.IntFlag{Name: "vocab-size", Usage: "make `N` tokens, the 256 bytes and special ones among them", Category: groupVocabulary},
			&cli.IntFlag{Name: "min-frequency", Value: 2, Usage: "merge no pair that occurs less than `N` times", Category: groupVocabulary},
			&cli.StringSliceFlag{Name: "special", Usage: "add a `TOKEN` that stands for no text, such as <s>; may be repeated", Category: groupVocabulary},
			&cli.StringFlag{Name: "pre-tokenizer", Value: "gpt2", Usage: "cut words as `NAME` does: gpt2, llama3 or qwen2", Category: groupVocabulary},
			outFlag("tokenizer.json"), forceFlag(), jsonFlag(), threadsFlag(),
		}, readingFlags()...),
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0); err != nil {
				return err
			}
			return tokenizerTrainAction(c)
		},
	}
}

func tokenizerTrainAction(c *cli.Context) error {
	n, err := threads(c)
	if err != nil {
		return err
	}
	if !c.IsSet("vocab-size") {
		return &usageError{problem: "--vocab-size is missing", fix: "say how many tokens: --vocab-size 4096"}
	}
	out, err := outPath(c)
	if err != nil {
		return err
	}
	trainer, err := tokenizer.NewTrainer(tokenizer.TrainOptions{
		VocabSize: c.Int("vocab-size"), MinFrequency: c.Int("min-frequency"), Special: c.StringSlice("special"),
		PreTokenizer: c.String("pre-tokenizer"), Threads: n,
	})
	if err != nil {
		return err
	}
	begun := time.Now()
	reading, err := eachText(c, trainer.Add)
	if err != nil {
		return err
	}
	trained, err := trainer.Train()
	if err != nil {
		return err
	}
	file, err := trained.JSON()
	if err != nil {
		return err
	}
	err = durable.WriteFile(durable.OS{}, out, durable.Bytes(file))
	if err != nil {
		return err
	}
	return printTokenizer(c, &trainedTokenizer{
		Path: out, VocabSize: len(trained.Tokens), Merges: len(trained.Merges), Seconds: time.Since(begun).Seconds(),
		BytesPerToken: trained.BytesPerToken, Bytes: trained.Bytes, Words: trained.Words, Forgotten: trained.Forgotten, Reading: reading,
	})
}

// eachText calls use with each document of --corpus, a long one in pieces, so that memory stays bounded; no --corpus: with
// the built-in text.
func eachText(c *cli.Context, use func(text []byte)) (report corpus.Report, err error) {
	if !c.IsSet("corpus") {
		read, _, err := corpus.Builtin(corpus.GoRoot())
		if err != nil {
			return report, err
		}
		for _, s := range read.Sources {
			use(read.Text[s.Start : s.Start+s.Bytes])
		}
		return report, nil
	}
	reader, err := openCorpus(c)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for {
		if err := c.Context.Err(); err != nil {
			return report, stopped(c.Context, err)
		}
		d, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return reader.Report(), nil
		}
		if err != nil {
			return report, stopped(c.Context, err)
		}
		if d.Share < 1 {
			return report, &usageError{problem: fmt.Sprintf("a vocabulary cannot count a fraction of %s", reader.Sources()[d.Source].Path), fix: "use whole weights"}
		}
		use(d.Text)
	}
}

func printTokenizer(c *cli.Context, r *trainedTokenizer) error {
	if r.VocabSize < c.Int("vocab-size") {
		warn(c.App.ErrWriter, []string{fmt.Sprintf("the text gives no more than %d tokens", r.VocabSize)})
	}
	if r.Forgotten > 0 {
		warn(c.App.ErrWriter, []string{fmt.Sprintf("%d rare words were left out of the counts to bound memory", r.Forgotten)})
	}
	warnLeftOut(c, &r.Reading)
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	return ui.Table(c.App.Writer, nil, [][]string{
		{"wrote", r.Path},
		{"vocabulary", fmt.Sprintf("%d tokens, %d merges", r.VocabSize, r.Merges)},
		{"text", fmt.Sprintf("%s, %d distinct words, %.3f bytes a token", ui.Bytes(r.Bytes), r.Words, r.BytesPerToken)},
		{"time", fmt.Sprintf("%.2f s", r.Seconds)},
	})
}
