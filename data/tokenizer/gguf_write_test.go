package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const ggufText = "The Rays, which are of 12345 Colours'll do\n\n  what  they've done: naïve café — ça suffit…\tand\r\nmore 2024.\n"

// throughGGUF makes a tokenizer of the GGUF vocabulary of another, and compares the ids of both.
func throughGGUF(t *testing.T, name string, tok Tokenizer, text string) *GGUF {
	t.Helper()
	g, err := ToGGUF(tok)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	again, err := FromGGUF(g, name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, encode := range []func(Tokenizer) ([]int32, error){
		func(t Tokenizer) ([]int32, error) { return t.EncodeSpecial(nil, []byte(text)) },
		func(t Tokenizer) ([]int32, error) { return t.Encode(nil, []byte(text)) },
	} {
		want, err := encode(tok)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := encode(again)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
		back, err := again.Decode(nil, got)
		if other, err2 := tok.Decode(nil, want); err != nil || err2 != nil || string(back) != string(other) {
			t.Errorf("%s: text %q, %v, want %q, %v", name, back, err, other, err2)
		}
	}
	if len(g.Types) != tok.VocabSize() || len(g.Tokens) != tok.VocabSize() {
		t.Errorf("%s: %d tokens of %d types, want %d", name, len(g.Tokens), len(g.Types), tok.VocabSize())
	}
	return g
}

func TestToGGUF(t *testing.T) {
	throughGGUF(t, "bytes", Bytes{}, ggufText)
	chars, err := NewChars([]byte(ggufText))
	if err != nil {
		t.Fatal(err)
	}
	// This program asks for a piece that stands for unknown text, which characters do not have.
	if g, err := ToGGUF(chars); err != nil || g.Model != "llama" || len(g.Tokens) != chars.VocabSize() || g.Tokens[chars.id(' ')] != spaceMark || g.Tokens[chars.id('ç')] != "ç" {
		t.Errorf("%v, %v", g, err)
	}
	for _, pattern := range []string{"gpt2", "llama3", "qwen2"} {
		b, err := NewBPE([]byte(strings.Repeat(ggufText, 3)), TrainOptions{VocabSize: 300, PreTokenizer: pattern, Special: []string{"<s>", "</s>"}})
		if err != nil {
			t.Fatal(err)
		}
		g := throughGGUF(t, "BPE", b, ggufText)
		if g.Types[0] != pieceControl || g.Types[5] != pieceNormal || g.BOS != 0 || g.EOS != 1 {
			t.Errorf("types %v, BOS %d, EOS %d", g.Types[:6], g.BOS, g.EOS)
		}
		g.Extend(310)
		if len(g.Tokens) != 310 || g.Tokens[309] != "[PAD309]" || g.Types[309] != pieceUnused {
			t.Errorf("%d tokens, the last %q", len(g.Tokens), g.Tokens[len(g.Tokens)-1])
		}
	}
}

// TestToGGUFShared: published SentencePiece models, themselves and as the tokenizer.json that is made of them.
func TestToGGUFShared(t *testing.T) {
	for _, name := range []string{"tok512", "llama-2", "mistral-7b-v0.1"} {
		s := sharedModel(t, name)
		g := throughGGUF(t, name, s, ggufText)
		if g.Model != "llama" || g.BOS != 1 || g.EOS != 2 || g.Unknown != 0 || !g.AddBOS || g.AddEOS || !g.AddSpacePrefix {
			t.Errorf("%s: %s, %d %d %d, %v %v %v", name, g.Model, g.BOS, g.EOS, g.Unknown, g.AddBOS, g.AddEOS, g.AddSpacePrefix)
		}
		if g.RemoveExtra { // its tokenizer.json is of a third kind
			continue
		}
		file := withoutModel(t, s)
		marked, err := Parse(file, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := marked.(*Pipeline); !ok {
			t.Fatalf("%s: %T", name, marked)
		}
		other := throughGGUF(t, name+" as JSON", marked, ggufText)
		if !slices.Equal(other.Tokens, g.Tokens) || !slices.Equal(other.Types, g.Types) {
			t.Errorf("%s: other tokens or types as JSON", name)
		}
	}
}

// TestToGGUFErrors: what other programs would encode otherwise.
func TestToGGUFErrors(t *testing.T) {
	chars, err := NewChars([]byte("a▁"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBPE([]byte(ggufText), TrainOptions{VocabSize: 280})
	if err != nil {
		t.Fatal(err)
	}
	file, err := b.JSON()
	if err != nil {
		t.Fatal(err)
	}
	edited := func(from, to string) Tokenizer {
		text := strings.Replace(string(file), from, to, 1)
		tok, err := Parse([]byte(text), "edited")
		if err != nil || text == string(file) {
			t.Fatal(err, from)
		}
		return tok
	}
	unmerged, err := NewBPE([]byte(ggufText), TrainOptions{VocabSize: 280, PreTokenizer: "llama3"})
	if err != nil {
		t.Fatal(err)
	}
	unmerged.(*Pipeline).model.(*bpe).pairs = newPairTable(0)
	for want, tok := range map[string]Tokenizer{
		"U+2581":                chars,
		"puts a space":          edited(`"add_prefix_space": false`, `"add_prefix_space": true`),
		"normalizes text":       edited(`"normalizer": null`, `"normalizer": {"type": "NFKC"}`),
		"into words":            edited(`"use_regex": true`, `"use_regex": false`),
		"do not reach every to": unmerged,
	} {
		if _, err := ToGGUF(tok); !errors.Is(err, ErrTokenizer) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
