package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
	"mmfree/data/tokenizer"
	"mmfree/train"
)

func tokenizerFlags(what string) []cli.Flag {
	const groupInput = "Input"
	return []cli.Flag{
		&cli.PathFlag{Name: "tokenizer", Usage: "`PATH` of a tokenizer.json, a SentencePiece .model, a tokenizer.bin, a GGUF file, vocab.json with merges.txt beside it, or a folder of one; or the word bytes or chars", Category: groupInput},
		&cli.StringFlag{Name: "text", Usage: what, Category: groupInput},
		&cli.PathFlag{Name: "file", Usage: "the same from `FILE`, - for standard input", Category: groupInput},
	}
}

func tokenizerEncodeVerb() *cli.Command {
	return &cli.Command{
		Name: "encode", Usage: "turn text into token ids",
		UsageText:   "mmfree tokenizer encode --tokenizer PATH --text TEXT | --file FILE [--add-special=false]",
		Description: `mmfree tokenizer encode --tokenizer bytes --text "The Rays"`,
		Flags: append(tokenizerFlags("encode `TEXT`"),
			&cli.BoolFlag{Name: "add-special", Value: true, Usage: "put the ids round the text that the tokenizer puts there (BOS, EOS)", Category: "Output"},
			jsonFlag()),
		Action: func(c *cli.Context) error {
			text, err := codeInput(c)
			if err != nil {
				return err
			}
			tok, err := namedTokenizer(c, text)
			if err != nil {
				return err
			}
			encode := tok.Encode
			if c.Bool("add-special") {
				encode = tok.EncodeSpecial
			}
			ids, err := encode([]int32{}, text)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, struct {
					IDs           []int32 `json:"ids"`
					VocabSize     int     `json:"vocab_size"`
					Bytes         int     `json:"bytes"`
					BytesPerToken float64 `json:"bytes_per_token"`
				}{ids, tok.VocabSize(), len(text), float64(len(text)) / float64(max(1, len(ids)))})
			}
			_, err = fmt.Fprintln(c.App.Writer, strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]"))
			return err
		},
	}
}

func tokenizerDecodeVerb() *cli.Command {
	return &cli.Command{
		Name: "decode", Usage: "turn token ids into text",
		UsageText:   "mmfree tokenizer decode --tokenizer PATH --ids 1,2,3 | --text 1,2,3 | --file FILE",
		Description: `mmfree tokenizer decode --tokenizer bytes --ids 84,104,101`,
		Flags: append(tokenizerFlags("decode `IDS` with commas between"),
			&cli.StringFlag{Name: "ids", Usage: "the same as --text", Category: "Input"},
			&cli.PathFlag{Name: "ids-file", Usage: "the same as --file", Category: "Input"}, jsonFlag()),
		Action: func(c *cli.Context) error {
			list, err := codeInput(c)
			if err != nil {
				return err
			}
			tok, err := namedTokenizer(c, nil)
			if err != nil {
				return err
			}
			ids, err := train.ParseSequence("the ids", list)
			if err != nil {
				return err
			}
			text, err := tok.Decode(nil, ids)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, struct {
					Text string `json:"text"`
				}{string(text)})
			}
			_, err = c.App.Writer.Write(append(text, '\n'))
			return err
		},
	}
}

// codeInput returns the text of --text or --file, or of --ids where the verb has it.
func codeInput(c *cli.Context) ([]byte, error) {
	if _, err := arguments(c, 0); err != nil {
		return nil, err
	}
	given, text := 0, ""
	for _, name := range []string{"text", "file", "ids", "ids-file"} {
		if c.IsSet(name) {
			given++
			text = c.String(name)
		}
	}
	switch {
	case given != 1:
		return nil, &usageError{problem: "one of --text and --file is needed", fix: "usage: " + c.Command.UsageText}
	case c.IsSet("text") || c.IsSet("ids"):
		return []byte(text), nil
	}
	in := durable.Stoppable(c.Context, c.App.Reader)
	if text != "-" {
		f, err := durable.Open(c.Context, text)
		switch {
		case err != nil && c.Context.Err() != nil:
			return nil, stopped(c.Context, err)
		case err != nil:
			return nil, &usageError{problem: err.Error(), fix: "check the path and the permissions"}
		}
		defer f.Close()
		in = f
	}
	file, err := io.ReadAll(io.LimitReader(in, maxCodeBytes+1))
	switch {
	case err != nil && c.Context.Err() != nil:
		return nil, stopped(c.Context, err)
	case err != nil:
		return nil, &usageError{problem: err.Error(), fix: "name a text file"}
	case len(file) > maxCodeBytes:
		return nil, &usageError{problem: fmt.Sprintf("%s has more than %d bytes", text, maxCodeBytes), fix: "cut it"}
	}
	return file, nil
}

// maxCodeBytes is the largest text that is read: it is held whole.
const maxCodeBytes = 1 << 30

// namedTokenizer opens --tokenizer. text is what chars takes its characters from.
func namedTokenizer(c *cli.Context, text []byte) (tokenizer.Tokenizer, error) {
	switch path := c.Path("tokenizer"); path {
	case "":
		return nil, &usageError{problem: "--tokenizer is missing", fix: "usage: " + c.Command.UsageText}
	case train.TokenizerChars:
		return tokenizer.New(path, text)
	default:
		return train.LoadTokenizer(path)
	}
}
