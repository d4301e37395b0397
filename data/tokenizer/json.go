package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	hf "github.com/sugarme/tokenizer"
)

// The outer shape of tokenizer.json is sugarme/tokenizer's Config: its absent parts come out as the nulls that Hugging
// Face writes, and its parts are open maps, so nothing is lost on the way in. Two of its habits are worked round: an
// absent list of added tokens would come out as null (their loader wants a list), and a vocabulary kept in a map would
// come out sorted by text, not by id.

const (
	// maxJSON is more than every code point of Unicode needs.
	maxJSON = 64 << 20
	// everyChar matches one character of any kind, line ends included, in both Oniguruma and RE2 syntax; a dot with a
	// flag would mean different things in the two.
	everyChar = `[\s\S]`
)

// vocabulary is written as an object of token and id, in the order of ids.
type vocabulary []string

// MarshalJSON writes the vocabulary.
func (v vocabulary) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for id, token := range v {
		if id > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(token)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		fmt.Fprintf(&b, ":%d", id)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func write(preTokenizer, decoder, model map[string]any) ([]byte, error) {
	return writeAdded([]hf.TokenConfig{}, preTokenizer, decoder, model)
}

func writeAdded(added []hf.TokenConfig, preTokenizer, decoder, model map[string]any) ([]byte, error) {
	return encodeConfig(&hf.Config{
		Version:      "1.0",
		AddedTokens:  added,
		PreTokenizer: preTokenizer,
		Decoder:      decoder,
		Model:        model,
	})
}

func encodeConfig(c *hf.Config) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(c)
	return b.Bytes(), err
}

// bytesJSON is a byte-level BPE without merges: the pre-tokenizer maps each byte to a printable character and keeps
// the text in one piece, BPE finds each character in the vocabulary and has nothing to merge.
func bytesJSON() ([]byte, error) {
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	return write(byteLevel, byteLevel, map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary(byteTexts()), "merges": []string{},
	})
}

// byteChars is the character that stands for each byte in byte-level vocabularies: printable Latin-1 for
// itself, any other byte as the next character from U+0100 on. Source: bytes_to_unicode in GPT-2's encoder.py, which
// pre_tokenizers/byte_level.rs of Hugging Face's tokenizers repeats.
var byteChars = func() (alphabet [256]rune) {
	spare := rune(0x100)
	for i := range alphabet {
		r := rune(i)
		if r >= '!' && r <= '~' || r >= '¡' && r <= '¬' || r >= '®' && r <= 'ÿ' {
			alphabet[i] = r
			continue
		}
		alphabet[i] = spare
		spare++
	}
	return alphabet
}()

// charBytes is the byte that a character stands for.
var charBytes = func() map[rune]byte {
	back := map[rune]byte{}
	for b, r := range byteChars {
		back[r] = byte(b)
	}
	return back
}()

// charsJSON is a word-level model behind a pre-tokenizer that makes a word of each character. Not a BPE without merges,
// which drops unknown characters in silence where this one fails: its unknown token is in no vocabulary of characters.
func charsJSON(chars []rune) ([]byte, error) {
	tokens := make(vocabulary, len(chars))
	for i, r := range chars {
		tokens[i] = string(r)
	}
	return write(
		map[string]any{"type": "Split", "pattern": map[string]any{"Regex": everyChar}, "behavior": "Isolated", "invert": false},
		map[string]any{"type": "Fuse"},
		map[string]any{"type": "WordLevel", "vocab": tokens, "unk_token": "<unk>"},
	)
}

// Parse reads a tokenizer.json. name is the file's, for errors. What the file asks for and is not supported here, be it a
// type, a setting or a key inside a part, is an error that names it.
func Parse(text []byte, name string) (Tokenizer, error) {
	fail := func(format string, args ...any) (Tokenizer, error) {
		return nil, &Error{
			Source: name, Offset: -1, Problem: fmt.Sprintf(format, args...),
			Fix: "docs/TOKENIZERS.md says what is supported; a .model file, bytes and chars are other ways",
		}
	}
	if len(text) > maxJSON {
		return fail("%d bytes are more than a tokenizer.json of %d", len(text), maxJSON)
	}
	var c hf.Config
	if err := decode(text, &c); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, &Error{
				Source: name, Offset: syntax.Offset, Problem: "not JSON: " + err.Error(),
				Fix: "the file is cut short or damaged: copy it again",
			}
		}
		return fail("not a tokenizer.json: %v", err)
	}
	if c.Truncation != nil || c.Padding != nil {
		return fail("unsupported truncation or padding")
	}
	if c.Version != "" && c.Version != "1.0" {
		return fail("unsupported version %.20q", c.Version)
	}
	var t Tokenizer
	var err error
	if _, embedded := c.Decoder[modelKey]; embedded {
		t, err = parseEmbedded(&c)
	} else {
		t, err = parsePlain(&c, text)
	}
	if err != nil {
		return fail("%v", err)
	}
	return t, nil
}

// decode reads exactly one JSON value of known keys.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the end of the object")
	}
	return nil
}

// parsePlain reads a tokenizer.json without a .model inside. What Bytes and Chars write comes back as these.
func parsePlain(c *hf.Config, text []byte) (Tokenizer, error) {
	p, err := parsePipeline(c, text)
	if err != nil {
		return nil, err
	}
	if len(p.normalizer.steps)+len(p.added.flags)+len(p.before)+len(p.after) > 0 || p.decoder.spaced || len(p.decoder.whole) > 0 {
		return p, nil
	}
	switch m := p.model.(type) {
	case *bpe:
		if p.raw && len(p.cuts.steps) == 0 && m.pairs.n == 0 && len(p.decoder.each) == 1 && slices.Equal(p.tokens, byteTexts()) {
			return Bytes{}, nil
		}
	case *wordLevel:
		cuts := len(p.cuts.steps) == 1 && p.cuts.steps[0].cutter != nil && p.cuts.steps[0].cutter.Plain() != nil && p.cuts.steps[0].cutter.Plain().Pattern() == everyChar
		if chars, ok := singleChars(p.tokens); ok && cuts && m.unknown < 0 && len(p.decoder.each) == 0 {
			return newChars(chars), nil
		}
	}
	return p, nil
}

// byteTexts returns the tokens of a vocabulary of bytes.
func byteTexts() []string {
	texts := make([]string, len(byteChars))
	for i, r := range byteChars {
		texts[i] = string(r)
	}
	return texts
}

// singleChars returns the characters that tokens are, and whether each is one.
func singleChars(tokens []string) ([]rune, bool) {
	chars := make([]rune, len(tokens))
	for id, token := range tokens {
		r, n := utf8.DecodeRuneInString(token)
		if n != len(token) || n == 0 {
			return nil, false
		}
		chars[id] = r
	}
	return chars, true
}
