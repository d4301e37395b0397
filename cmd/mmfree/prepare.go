package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
	"mmfree/cmd/mmfree/internal/ui"
	"mmfree/data/corpus"
	"mmfree/data/prepare"
	"mmfree/data/shard"
	"mmfree/data/tokenizer"
	"mmfree/train"
)

func prepareVerb() *cli.Command {
	const groupDocuments = "Documents"
	return &cli.Command{
		Name: "prepare", Usage: "turn a corpus into shards of token ids, which train reads at once",
		UsageText:   "mmfree prepare --corpus PATH... --tokenizer PATH --out DIR [flags]",
		Description: "mmfree prepare --corpus runs/example/config.yaml --tokenizer bytes --out shards",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "corpus", TakesFile: true, Usage: "read `PATH`s: files, folders, patterns, - for standard input; PATH=W has weight W", Category: groupDocuments},
			&cli.PathFlag{Name: "tokenizer", Usage: "encode with `PATH`: a tokenizer.json, a .model, a GGUF file, a folder of one, or the word bytes or chars", Category: groupDocuments},
			&cli.BoolFlag{Name: "dedup", Usage: "leave out documents whose text came before", Category: groupDocuments, DisableDefaultText: true},
			&cli.Float64Flag{Name: "val-fraction", Usage: "hold out a share `F` of the documents, chosen by their sums", Category: groupDocuments},
			&cli.BoolFlag{Name: "add-special", Usage: "put the ids round each document that the tokenizer puts round a text (BOS, EOS)", Category: groupDocuments, DisableDefaultText: true},
			&cli.BoolFlag{Name: "add-eos", Usage: "put the tokenizer's end of text behind each document", Category: groupDocuments, DisableDefaultText: true},
			&cli.IntFlag{Name: "shard-tokens", Value: prepare.DefaultShardTokens, Usage: "end a shard with the text that brings it to `N` tokens", Category: groupOutput},
			outFlag("the shards"), forceFlag(), jsonFlag(), threadsFlag(),
		}, readingFlags()...),
		Action: prepareAction,
	}
}

// prepared is the result of mmfree prepare.
type prepared struct {
	Path string `json:"path"`
	prepare.Report
	Seconds float64 `json:"seconds"`
}

func prepareAction(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	for name, fix := range map[string]string{"corpus": "name what to read: --corpus PATH", "tokenizer": "name a tokenizer, or take bytes: --tokenizer bytes", "out": "name a folder: --out DIR"} {
		if !c.IsSet(name) {
			return &usageError{problem: fmt.Sprintf("--%s is missing", name), fix: fix}
		}
	}
	n, err := threads(c)
	if err != nil {
		return err
	}
	tok, err := corpusTokenizer(c)
	if err != nil {
		return err
	}
	reader, err := openCorpus(c)
	if err != nil {
		return err
	}
	defer reader.Close()
	begun := time.Now()
	watch := ui.NewProgress(os.Stderr, func() int { return ui.Width(os.Stderr) }, time.Now)
	report, err := prepare.ToFolder(c.Context, durable.OS{}, c.Path("out"), c.Bool("force"), reader, tok, prepare.Options{
		Special: c.Bool("add-special"), EOS: c.Bool("add-eos"), Dedup: c.Bool("dedup"), ValFraction: c.Float64("val-fraction"),
		ShardTokens: c.Int("shard-tokens"), Threads: n, Progress: func(p prepare.Progress) {
			if gone := time.Since(begun); gone > time.Second { // less is not worth a line
				watch.Update(prepareStatus(p, gone))
			}
		},
	})
	watch.Stop()
	if err != nil {
		if err := stopped(c.Context, err); !errors.Is(err, errStopped) {
			return err
		}
		return &interruptedError{command: "run the same command again"}
	}
	return printPrepared(c, &prepared{filepath.Clean(c.Path("out")), *report, time.Since(begun).Seconds()})
}

// corpusTokenizer opens --tokenizer; chars is made of the corpus, which is read for it.
func corpusTokenizer(c *cli.Context) (tokenizer.Tokenizer, error) {
	if c.Path("tokenizer") != train.TokenizerChars {
		return train.LoadTokenizer(c.Path("tokenizer"))
	}
	reader, err := openCorpus(c)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for _, s := range reader.Sources() {
		if s.Path == corpus.Stdin {
			return nil, &usageError{problem: "the tokenizer chars reads the corpus twice, and standard input can be read once", fix: "save it to a file"}
		}
	}
	return prepare.Characters(reader)
}

func prepareStatus(p prepare.Progress, gone time.Duration) ui.Status {
	const MB = 1_000_000
	s := ui.Status{What: "MB", Step: p.Bytes / MB, Steps: p.TotalBytes / MB, Elapsed: gone, TokensPerSecond: float64(p.Tokens) / gone.Seconds()}
	if p.Again {
		s.What = "read again: MB"
	}
	if p.Bytes > 0 && p.TotalBytes > p.Bytes {
		s.ETA = time.Duration(float64(gone) * float64(p.TotalBytes-p.Bytes) / float64(p.Bytes))
	}
	return s
}

func printPrepared(c *cli.Context, r *prepared) error {
	if c.Float64("val-fraction") > 0 && r.ValTokens == 0 {
		warn(c.App.ErrWriter, []string{fmt.Sprintf("none of %d documents fell to validation", r.Documents)})
	}
	warnLeftOut(c, &r.Reading)
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	rows := [][]string{
		{"wrote", fmt.Sprintf("%s, %d shards", filepath.Join(r.Path, shard.IndexFile), r.Shards)},
		{"to train on", fmt.Sprintf("%d documents, %d tokens", r.Documents-r.ValDocuments, r.Tokens-r.ValTokens)},
		{"held out", fmt.Sprintf("%d documents, %d tokens", r.ValDocuments, r.ValTokens)},
		{"text", fmt.Sprintf("%s, %.3f bytes a token", ui.Bytes(r.Bytes), float64(r.Bytes)/float64(max(1, r.Tokens)))},
	}
	for _, p := range r.Paths {
		rows = append(rows, []string{"from", fmt.Sprintf("%s: %d files, weight %g, %d documents, %d tokens", p.Path, p.Files, p.Weight, p.Documents, p.Tokens)})
	}
	rows = append(rows, []string{"left out", fmt.Sprintf("%d by policies, %d duplicates, %d by weights, %d readings of what is held out", r.Reading.Skipped, r.Duplicates, r.Unchosen, r.HeldAgain)})
	for _, x := range r.Reading.Cases {
		rows = append(rows, []string{x.Case, fmt.Sprintf("%s: %d in %d documents", x.Policy, x.Places, x.Docs)})
	}
	rows = append(
		rows, []string{"blank lines", fmt.Sprint(r.Reading.Blank)}, []string{"without tokens", fmt.Sprintf("%d documents", r.NoTokens)},
		[]string{"time", fmt.Sprintf("%.2f s, %.1f MB/s", r.Seconds, float64(r.Bytes)/1e6/r.Seconds)},
	)
	return ui.Table(c.App.Writer, nil, rows)
}
