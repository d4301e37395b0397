package tokenizer

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata")

// The files are read by other programs too: their bytes are pinned.
func TestGoldenJSON(t *testing.T) {
	for _, tok := range []Tokenizer{Bytes{}, mustChars(t, "ab \n<é€😀\"\\\u2028")} {
		got, err := tok.JSON()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", tok.Name()+".json")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs:\n%s", path, got)
		}
	}
}

// GPT-2's vocabulary has ! for byte 33, Ġ for the space and Ċ for the line end.
func TestByteAlphabet(t *testing.T) {
	alphabet := byteChars
	for b, want := range map[byte]rune{'!': '!', ' ': 'Ġ', '\n': 'Ċ', 0: 'Ā', 127: 'ġ', 0xad: 'Ń', 0xff: 'ÿ'} {
		if alphabet[b] != want {
			t.Errorf("byte %d is %q, want %q", b, alphabet[b], want)
		}
	}
}

// edit returns tok's file with the value at path (keys joined by dots) replaced; nil removes the key.
func edit(t *testing.T, tok Tokenizer, path string, value any) []byte {
	t.Helper()
	text, err := tok.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	at, keys := file, strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		at = at[key].(map[string]any)
	}
	if last := keys[len(keys)-1]; value == nil {
		delete(at, last)
	} else {
		at[last] = value
	}
	text, err = json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParseErrors(t *testing.T) {
	chars := mustChars(t, "abc")
	whole, err := chars.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		text []byte
		want string
	}{
		{"empty", nil, "not a tokenizer.json: EOF"},
		{"cut short", whole[:len(whole)/2], "not a tokenizer.json: unexpected EOF"},
		{"not JSON", []byte("{]"), "at 2: not JSON"},
		{"null", []byte("null"), "unsupported model type <nil>"},
		{"list", []byte("[]"), "not a tokenizer.json"},
		{"trailing", append(whole[:len(whole):len(whole)], "{}"...), "something follows"},
		{"unknown part", edit(t, chars, "extra", 1), "unknown field"},
		{"WordPiece", edit(t, chars, "model.type", "WordPiece"), "unsupported model type WordPiece"},
		{"Unigram of an object", edit(t, chars, "model.type", "Unigram"), "vocab is no list"},
		{"type of a wrong kind", edit(t, chars, "model.type", []int{1}), "unsupported model type [1]"},
		{"merges", edit(t, Bytes{}, "model.merges", []string{"a b"}), "not in the vocabulary"},
		{"normalizer", edit(t, chars, "normalizer", map[string]any{"type": "BertNormalizer"}), "unsupported normalizer BertNormalizer"},
		{"post-processor", edit(t, chars, "post_processor", map[string]any{"type": "BertProcessing"}), "cls of BertProcessing is <nil>"},
		{"added token", edit(t, chars, "added_tokens", []any{map[string]any{"id": 4, "content": "<s>"}}), `"<s>" has the id 4, and 3 by`},
		{"truncation", edit(t, chars, "truncation", map[string]any{}), "unsupported truncation"},
		{"other split", edit(t, chars, "pre_tokenizer.pattern.Regex", "^."), "an anchor is not supported"},
		{"pre-tokenizer", edit(t, chars, "pre_tokenizer.type", nil), "unsupported pre_tokenizer: type is <nil>"},
		{"dropout", edit(t, Bytes{}, "model.dropout", 0.1), "dropout is 0.1"},
		{"decoder", edit(t, chars, "decoder.type", "CTC"), "unsupported decoder CTC"},
		{"no vocabulary", edit(t, chars, "model.vocab", nil), "vocab is missing"},
		{"vocabulary of lists", edit(t, chars, "model.vocab", []int{1}), "vocab is missing"},
		{"id twice", edit(t, chars, "model.vocab", map[string]int{"a": 0, "b": 0}), "id 0 is given twice"},
		{"id too large", edit(t, chars, "model.vocab", map[string]int{"a": 0, "b": 1 << 21}), "of \"b\" is not in 0 … "},
		{"id negative", edit(t, chars, "model.vocab", map[string]int{"a": -1}), "id -1"},
		{"id broken", edit(t, chars, "model.vocab", map[string]float64{"a": 0.5}), "id 0.5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.text, "some.json")
			if !errors.Is(err, ErrTokenizer) || !strings.Contains(err.Error(), "some.json") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// A library that rewrites the file may reorder it and leave nulls out.
func TestParseAcceptsHarmlessEdits(t *testing.T) {
	for _, text := range [][]byte{
		edit(t, Bytes{}, "model.unk_token", nil), edit(t, Bytes{}, "added_tokens", nil),
		edit(t, mustChars(t, "abc"), "model.vocab", map[string]int{"c": 0, "b": 1, "a": 2}),
	} {
		if _, err := Parse(text, "x"); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"bytes.json", "chars.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, c := range huggingFace(f) {
		f.Add([]byte(c.Tokenizer))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tok, err := Parse(text, "fuzz")
		if err != nil {
			if !errors.Is(err, ErrTokenizer) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		ids, err := tok.EncodeSpecial(nil, []byte("Ab  é12-\xff<s>日\n"))
		if err == nil {
			_, err = tok.Decode(nil, ids)
		}
		if err != nil && !errors.Is(err, ErrTokenizer) {
			t.Fatal(err)
		}
		ids = make([]int32, tok.VocabSize())
		for i := range ids {
			ids[i] = int32(i)
		}
		if _, err := tok.Decode(nil, ids); err != nil {
			t.Fatal(err)
		}
	})
}
