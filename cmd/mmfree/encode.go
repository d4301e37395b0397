package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"mmfree/data/tokenizer"
	"mmfree/train"
)

// maxEncodeBytes is the largest text that encode reads: it is held whole.
const maxEncodeBytes = 1 << 30

// encoded is the result of mmfree tokenizer encode, decoded that of decode.
type encoded struct {
	IDs           []int32 `json:"ids"`
	Tokens        int     `json:"tokens"`
	Bytes         int     `json:"bytes"`
	BytesPerToken float64 `json:"bytes_per_token"`
}

type decoded struct {
	Text string `json:"text"`
}

const groupTokenizer = "Tokenizer"

func tokenizerFlag() cli.Flag {
	return &cli.PathFlag{
		Name: "tokenizer", Category: groupTokenizer,
		Usage: "tokenizer.json, SentencePiece .model, vocab.json beside merges.txt, a folder with one, or the word bytes: `PATH`",
	}
}

func encodeVerb() *cli.Command {
	const groupText = "Text"
	return &cli.Command{
		Name: "encode", Usage: "print the ids of a text",
		UsageText:   "mmfree tokenizer encode --tokenizer PATH (--text TEXT | --file FILE) [--add-special=false] [--json]",
		Description: "mmfree tokenizer encode --tokenizer bytes --text \"The Rays\"",
		Flags: []cli.Flag{
			tokenizerFlag(),
			&cli.BoolFlag{Name: "add-special", Value: true, Usage: "put BOS and EOS round the text where the tokenizer does", Category: groupTokenizer},
			&cli.StringFlag{Name: "text", Usage: "the `TEXT` itself", Category: groupText},
			&cli.PathFlag{Name: "file", Usage: "a `FILE` of text, - for standard input", Category: groupText},
			jsonFlag(), threadsFlag(),
		},
		Action: encodeAction,
	}
}

func encodeAction(c *cli.Context) error {
	tok, err := openTokenizer(c)
	if err != nil {
		return err
	}
	if c.IsSet("text") == c.IsSet("file") {
		return &usageError{problem: "one of --text and --file is needed", fix: "usage: " + c.Command.UsageText}
	}
	text := []byte(c.String("text"))
	if c.IsSet("file") {
		if text, err = readText(c, c.Path("file")); err != nil {
			return err
		}
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
		r := encoded{IDs: ids, Tokens: len(ids), Bytes: len(text)}
		if len(ids) > 0 {
			r.BytesPerToken = float64(len(text)) / float64(len(ids))
		}
		return printJSON(c.App.Writer, r)
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprint(id)
	}
	_, err = fmt.Fprintln(c.App.Writer, strings.Join(words, ","))
	return err
}

func decodeVerb() *cli.Command {
	const groupIDs = "Ids"
	return &cli.Command{
		Name: "decode", Usage: "print the text of ids",
		UsageText:   "mmfree tokenizer decode --tokenizer PATH (--ids 1,2,3 | --ids-file F.json) [--json]",
		Description: "mmfree tokenizer decode --tokenizer bytes --ids 84,104,101",
		Flags: []cli.Flag{
			tokenizerFlag(),
			&cli.StringFlag{Name: "ids", Usage: "token `IDS` with commas between", Category: groupIDs},
			&cli.PathFlag{Name: "ids-file", Usage: "JSON `FILE` with a list of ids", Category: groupIDs},
			jsonFlag(), threadsFlag(),
		},
		Action: decodeAction,
	}
}

func decodeAction(c *cli.Context) error {
	tok, err := openTokenizer(c)
	if err != nil {
		return err
	}
	if c.IsSet("ids") == c.IsSet("ids-file") {
		return &usageError{problem: "one of --ids and --ids-file is needed", fix: "usage: " + c.Command.UsageText}
	}
	var lists [][]int32
	if c.IsSet("ids-file") {
		lists, err = train.ReadIDs(c.Path("ids-file"))
	} else {
		lists = make([][]int32, 1)
		lists[0], err = train.ListIDs("--ids", c.String("ids"))
	}
	if err != nil {
		return err
	}
	var text []byte
	for _, ids := range lists {
		if text, err = tok.Decode(text, ids); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, decoded{string(text)})
	}
	_, err = c.App.Writer.Write(append(text, '\n'))
	return err
}

// openTokenizer opens what --tokenizer names.
func openTokenizer(c *cli.Context) (tokenizer.Codec, error) {
	if _, err := arguments(c, 0); err != nil {
		return nil, err
	}
	if _, err := threads(c); err != nil {
		return nil, err
	}
	if !c.IsSet("tokenizer") {
		return nil, &usageError{problem: "--tokenizer is missing", fix: "name a tokenizer.json, a .model, or the word bytes"}
	}
	return tokenizer.Open(c.Path("tokenizer"))
}

// readText reads a text file whole, or standard input.
func readText(c *cli.Context, path string) ([]byte, error) {
	in := c.App.Reader
	if path != "-" {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			err = fmt.Errorf("it is a folder")
		}
		if err != nil {
			return nil, unreadableText(path, err)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, unreadableText(path, err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxEncodeBytes+1))
	if err == nil && len(text) > maxEncodeBytes {
		return nil, &usageError{problem: fmt.Sprintf("--file %s has more than %d bytes", path, maxEncodeBytes), fix: "cut it"}
	}
	return text, err
}

func unreadableText(path string, err error) error {
	return &usageError{problem: "--file " + path + " cannot be read: " + err.Error(), fix: "name a text file"}
}
