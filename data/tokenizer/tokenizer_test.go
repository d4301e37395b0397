package tokenizer

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func mustChars(t interface{ Fatal(...any) }, text string) *Chars {
	c, err := NewChars([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name string
		t    Tokenizer
		text string
		want []int32
	}{
		{"bytes", Bytes{}, "aé\x00\xff", []int32{97, 0xc3, 0xa9, 0, 255}},
		{"bytes of nothing", Bytes{}, "", nil},
		{"chars", mustChars(t, "né\nb€a😀b"), "a\n😀bé€", []int32{1, 0, 6, 2, 4, 5}},
		{"chars with the replacement character", mustChars(t, "\ufffda"), "\ufffd", []int32{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.t.Encode(nil, []byte(tc.text))
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%q: %v, %v; want %v", tc.text, got, err, tc.want)
			}
		})
	}
}

// Whatever can be encoded comes back, behind what dst held before, also through tokenizer.json.
func TestRoundTrip(t *testing.T) {
	check := func(t *rapid.T, tok Tokenizer, text []byte) {
		js, err := tok.JSON()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse(js, "tokenizer.json")
		if err != nil {
			t.Fatalf("%v in %s", err, js)
		}
		if again, _ := parsed.JSON(); !bytes.Equal(js, again) || parsed.Name() != tok.Name() || parsed.VocabSize() != tok.VocabSize() {
			t.Fatalf("parsed as %s of %d", parsed.Name(), parsed.VocabSize())
		}
		ids, err := tok.Encode([]int32{-7}, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids[1:] {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Fatalf("id %d in a vocabulary of %d", id, tok.VocabSize())
			}
		}
		back, err := parsed.Decode([]byte("x"), ids[1:])
		if err != nil || string(back) != "x"+string(text) || ids[0] != -7 {
			t.Fatalf("%q came back as %q, %v", text, back, err)
		}
	}
	t.Run("bytes", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { check(t, Bytes{}, rapid.SliceOf(rapid.Byte()).Draw(t, "text")) })
	})
	t.Run("chars", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			// Strings of any runes, surrogates and the like becoming the replacement character.
			text := rapid.StringOfN(rapid.Rune(), 1, -1, -1).Draw(t, "text")
			check(t, mustChars(t, text), []byte(text))
		})
	})
}

func TestNoAllocation(t *testing.T) {
	text := []byte(strings.Repeat("all of it, é and all\n", 50))
	for _, tok := range []Tokenizer{Bytes{}, mustChars(t, string(text))} {
		ids, back := make([]int32, 0, len(text)), make([]byte, 0, len(text))
		n := testing.AllocsPerRun(50, func() {
			ids, _ = tok.Encode(ids[:0], text)
			back, _ = tok.Decode(back[:0], ids)
		})
		if n != 0 || !bytes.Equal(back, text) {
			t.Errorf("%s: %v allocations", tok.Name(), n)
		}
	}
}

func TestNew(t *testing.T) {
	text := []byte("hello")
	for kind, size := range map[string]int{"bytes": 256, "chars": 4} {
		tok, err := New(kind, text)
		if err != nil || tok.Name() != kind || tok.VocabSize() != size {
			t.Errorf("%s: %v, %v", kind, tok, err)
		}
	}
	_, err := New("words", text)
	var fault *Error
	if !errors.Is(err, ErrTokenizer) || !errors.As(err, &fault) || !strings.Contains(err.Error(), `"words": no such tokenizer`) ||
		!strings.Contains(fault.Hint(), "use bytes, chars") {
		t.Errorf("got %v", err)
	}
}

func TestErrors(t *testing.T) {
	chars := mustChars(t, "abcé")
	encode := func(text string) error {
		_, err := chars.Encode(nil, []byte(text))
		return err
	}
	decode := func(tok Tokenizer, ids ...int32) error {
		_, err := tok.Decode(nil, ids)
		return err
	}
	_, invalid := NewChars([]byte("ab\xffc"))
	_, cut := NewChars([]byte("abc\xc3"))
	_, empty := NewChars(nil)
	for _, tc := range []struct {
		name   string
		err    error
		offset int64
		want   string
	}{
		{"vocabulary from invalid UTF-8", invalid, 2, "byte 0xff is not valid UTF-8"},
		{"vocabulary from a cut character", cut, 3, "byte 0xc3 is not valid UTF-8"},
		{"vocabulary from nothing", empty, -1, "no text"},
		{"invalid UTF-8", encode("éa\x80"), 3, "byte 0x80 is not valid UTF-8"},
		{"unknown ASCII", encode("éz"), 2, "the character 'z' is not in the vocabulary"},
		{"unknown character", encode("aü"), 1, "the character 'ü' is not in the vocabulary"},
		{"chars id too large", decode(chars, 0, 4), 1, "id 4 is not in the vocabulary of 4"},
		{"chars id negative", decode(chars, -1), 0, "id -1"},
		{"bytes id too large", decode(Bytes{}, 255, 0, 256), 2, "id 256 is not in the vocabulary of 256"},
		{"bytes id negative", decode(Bytes{}, -100), 0, "id -100"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e *Error
			if !errors.As(tc.err, &e) || !errors.Is(tc.err, ErrTokenizer) {
				t.Fatalf("got %v", tc.err)
			}
			if e.Offset != tc.offset || !strings.Contains(e.Error(), tc.want) || e.Fix == "" {
				t.Errorf("got %v at %d, want %q at %d", e, e.Offset, tc.want, tc.offset)
			}
		})
	}
}

func FuzzChars(f *testing.F) {
	f.Add([]byte("abcé"), []byte("cab"))
	f.Add([]byte("a"), []byte("\xff"))
	f.Fuzz(func(t *testing.T, corpus, text []byte) {
		c, err := NewChars(corpus)
		if err != nil {
			if utf8.Valid(corpus) && len(corpus) > 0 {
				t.Fatal(err)
			}
			return
		}
		ids, err := c.Encode(nil, text)
		if err != nil {
			return
		}
		if back, err := c.Decode(nil, ids); err != nil || !bytes.Equal(back, text) {
			t.Fatalf("%q came back as %q, %v", text, back, err)
		}
	})
}
