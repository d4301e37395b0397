package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
	"mmfree/data/corpus"
)

const groupReading = "Reading"

// readingFlags are the flags of verbs that read a corpus document by document.
func readingFlags() []cli.Flag {
	o := corpus.DefaultOptions()
	flags := []cli.Flag{
		&cli.StringFlag{Name: "format", Value: o.Format, Usage: "`FORMAT` of the files: auto (by name), text, jsonl or parquet; gzip and zstd are seen in the bytes", Category: groupReading},
		&cli.StringFlag{Name: "field", Value: o.Field, Usage: "JSONL: `NAME` of the field with the text", Category: groupReading},
		&cli.StringFlag{Name: "column", Value: o.Column, Usage: "Parquet: `NAME` of the column with the text", Category: groupReading},
		&cli.StringFlag{Name: "separator", Usage: `text files: ` + "`TEXT`" + ` between two documents; \n, \t, \\ and \xNN stand for characters`, DefaultText: "a file is one document", Category: groupReading},
		&cli.IntFlag{Name: "max-line-bytes", Value: o.MaxLine, Usage: "JSONL: a line above `N` bytes is giant", Category: groupReading},
	}
	for _, c := range corpus.Cases() {
		words := make([]string, len(c.Policies()))
		for i, p := range c.Policies() {
			words[i] = string(p)
		}
		flags = append(flags, &cli.StringFlag{
			Name: policyFlag(c), Value: string(o.Policy(c)), Usage: fmt.Sprintf("%s: `%s`", c.About(), strings.Join(words, "|")), Category: groupReading,
		})
	}
	return flags
}

func policyFlag(c corpus.Case) string { return strings.ReplaceAll(c.String(), "_", "-") }

// readingOptions takes the flags of readingFlags.
func readingOptions(c *cli.Context) (corpus.Options, error) {
	o := corpus.DefaultOptions()
	o.Format, o.Field, o.Column, o.MaxLine = c.String("format"), c.String("field"), c.String("column"), c.Int("max-line-bytes")
	separator, err := unescape(c.String("separator"))
	if err != nil {
		return o, err
	}
	o.Separator = separator
	for _, kind := range corpus.Cases() {
		o.SetPolicy(kind, corpus.Policy(c.String(policyFlag(kind))))
	}
	return o, o.Validate()
}

// unescape reads backslash escapes as Go has them, beside which every character stands for itself.
func unescape(s string) (string, error) {
	var b strings.Builder
	for rest := s; rest != ""; {
		if rest[0] != '\\' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		c, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return "", &usageError{problem: fmt.Sprintf("--separator %q has an escape that is not known", s), fix: `write \\ for a backslash`}
		}
		if multibyte {
			b.WriteRune(c)
		} else {
			b.WriteByte(byte(c))
		}
		rest = tail
	}
	return b.String(), nil
}

// openCorpus opens the paths of --corpus.
func openCorpus(c *cli.Context) (*corpus.Reader, error) {
	o, err := readingOptions(c)
	if err != nil {
		return nil, err
	}
	return corpus.Open(c.StringSlice("corpus"), o, durable.Stoppable(c.Context, c.App.Reader))
}

// warnLeftOut says on stderr what policies left out or changed; --json has all counts.
func warnLeftOut(c *cli.Context, r *corpus.Report) {
	if r.Skipped > 0 {
		warn(c.App.ErrWriter, []string{fmt.Sprintf("%d documents, lines or files were left out: %s", r.Skipped, strings.Join(met(r, corpus.Skip), ", "))})
	}
	if mended := met(r, corpus.Replace); len(mended) > 0 {
		warn(c.App.ErrWriter, []string{"replaced in the text: " + strings.Join(mended, ", ")})
	}
}

// met lists the cases that a policy was applied to, with counts.
func met(r *corpus.Report, p corpus.Policy) (list []string) {
	for _, x := range r.Cases {
		if x.Policy == p && x.Places > 0 {
			list = append(list, fmt.Sprintf("%d %s", x.Places, x.Case))
		}
	}
	return list
}
