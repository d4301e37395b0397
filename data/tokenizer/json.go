package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
	alphabet := byteAlphabet()
	tokens := make(vocabulary, len(alphabet))
	for i, r := range alphabet {
		tokens[i] = string(r)
	}
	return write(byteLevel, byteLevel, map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": tokens, "merges": []string{},
	})
}

// byteAlphabet returns the character that stands for each byte in byte-level vocabularies: printable Latin-1 for
// itself, any other byte as the next character from U+0100 on. Source: bytes_to_unicode in GPT-2's encoder.py, which
// pre_tokenizers/byte_level.rs of Hugging Face's tokenizers repeats.
func byteAlphabet() (alphabet [256]rune) {
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
}

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

// Parse reads a tokenizer.json that JSON wrote, perhaps rewritten since by a Hugging Face library. name is the file's,
// for errors. Any other tokenizer, and any step that would change ids, is an error that says what it is.
func Parse(text []byte, name string) (Tokenizer, error) {
	fail := func(format string, args ...any) (Tokenizer, error) {
		return nil, &Error{
			Source: name, Offset: -1, Problem: fmt.Sprintf(format, args...),
			Fix: "use a tokenizer.json written by this program, or the tokenizer bytes or chars",
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
	var t Tokenizer
	var err error
	_, embedded := c.Decoder[modelKey]
	switch {
	case embedded:
		t, err = parseEmbedded(&c)
	case c.Model["type"] == "BPE" && isMarked(&c):
		t, err = parseMarked(&c, text)
	case c.Model["type"] == "BPE":
		t, err = parseBytes(&c, text)
	case c.Model["type"] == "WordLevel":
		t, err = parseChars(&c)
	default:
		return fail("unsupported model type %v: only byte-level BPE and WordLevel over single characters are", c.Model["type"])
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

// parseBytes reads a BPE over bytes: Bytes where it has no merges and cuts no words, else BytePairs.
func parseBytes(c *hf.Config, text []byte) (Tokenizer, error) {
	if merges, ok := c.Model["merges"].([]any); !ok {
		return nil, errors.New("unsupported model type BPE without a list of merges")
	} else if len(merges) > 0 || c.PreTokenizer["use_regex"] != false {
		return parseBytePairs(c, text)
	}
	if err := plainParts(c); err != nil {
		return nil, err
	}
	err := expect(append([]setting{
		{"pre_tokenizer", c.PreTokenizer, "type", "ByteLevel"},
		{"pre_tokenizer", c.PreTokenizer, "add_prefix_space", false},
		{"pre_tokenizer", c.PreTokenizer, "use_regex", false},
	}, byteLevelBPE(c)...)...)
	if err != nil {
		return nil, err
	}
	chars, err := parseVocabulary(c.Model["vocab"])
	if err != nil {
		return nil, err
	}
	alphabet := byteAlphabet()
	if len(chars) != len(alphabet) {
		return nil, fmt.Errorf("a byte vocabulary of %d tokens, not 256", len(chars))
	}
	for i, r := range alphabet {
		if chars[i] != r {
			return nil, fmt.Errorf("vocab: id %d is %q, not the byte %d (%q)", i, chars[i], i, r)
		}
	}
	return Bytes{}, nil
}

// byteLevelBPE are the settings that any byte-level BPE has here. Every byte is in the vocabulary, so that an unknown token
// has no use.
func byteLevelBPE(c *hf.Config) []setting {
	return []setting{
		{"decoder", c.Decoder, "type", "ByteLevel"},
		{"model", c.Model, "dropout", nil},
		{"model", c.Model, "continuing_subword_prefix", nil},
		{"model", c.Model, "end_of_word_suffix", nil},
		{"model", c.Model, "byte_fallback", false},
	}
}

// plainParts refuses what bytes and chars have no use for.
func plainParts(c *hf.Config) error {
	switch {
	case c.Normalizer != nil:
		return fmt.Errorf("unsupported normalizer %v", c.Normalizer["type"])
	case c.PostProcessor != nil:
		return fmt.Errorf("unsupported post_processor %v", c.PostProcessor["type"])
	case len(c.AddedTokens) > 0:
		return fmt.Errorf("unsupported added_tokens, the first is %q", c.AddedTokens[0].Content)
	}
	return nil
}

func parseChars(c *hf.Config) (Tokenizer, error) {
	if err := plainParts(c); err != nil {
		return nil, err
	}
	pattern, _ := c.PreTokenizer["pattern"].(map[string]any)
	err := expect(
		setting{"pre_tokenizer", c.PreTokenizer, "type", "Split"},
		setting{"pre_tokenizer.pattern", pattern, "Regex", everyChar},
		setting{"pre_tokenizer", c.PreTokenizer, "behavior", "Isolated"},
		setting{"pre_tokenizer", c.PreTokenizer, "invert", false},
		setting{"decoder", c.Decoder, "type", "Fuse"},
	)
	if err != nil {
		return nil, err
	}
	// An unknown token of one character could be in the vocabulary, and would then stand for every unknown character.
	if unknown, ok := c.Model["unk_token"].(string); !ok || utf8.RuneCountInString(unknown) == 1 {
		return nil, fmt.Errorf("model: unsupported unk_token %v", c.Model["unk_token"])
	}
	chars, err := parseVocabulary(c.Model["vocab"])
	if err != nil {
		return nil, err
	}
	return newChars(chars), nil
}

// setting is a key of a part of the file and the only value it may have.
type setting struct {
	part  string
	in    map[string]any
	key   string
	value any // nil, bool or string
}

// expect returns the first setting that is not met. A null and an absent key are the same, as they are to the library
// that reads the file. Keys not asked for have no effect on ids.
func expect(settings ...setting) error {
	for _, s := range settings {
		got := s.in[s.key]
		if got == "" && s.value == nil || got == nil && s.value == false && s.part == "model" {
			continue // the library writes and reads either
		}
		if got != s.value {
			return fmt.Errorf("unsupported %s: %s is %v, not %v", s.part, s.key, got, s.value)
		}
	}
	return nil
}

// parseVocabulary reads an object of token and id, in which each token is one character and the ids are 0 … n−1, into
// the characters by id.
func parseVocabulary(v any) ([]rune, error) {
	tokens, ok := v.(map[string]any)
	if !ok || len(tokens) == 0 {
		return nil, errors.New("vocab is missing or empty")
	}
	chars := make([]rune, len(tokens))
	given := make([]bool, len(tokens))
	for token, value := range tokens {
		r, n := utf8.DecodeRuneInString(token)
		if n != len(token) || n == 0 {
			return nil, fmt.Errorf("vocab: token %q is not a single character", token)
		}
		id, ok := value.(float64)
		if !ok || id != math.Trunc(id) || id < 0 || id >= float64(len(tokens)) {
			return nil, fmt.Errorf("vocab: id %v of %q is not in 0 … %d", value, token, len(tokens)-1)
		}
		if given[int(id)] {
			return nil, fmt.Errorf("vocab: id %v is given twice", value)
		}
		chars[int(id)], given[int(id)] = r, true
	}
	return chars, nil
}
