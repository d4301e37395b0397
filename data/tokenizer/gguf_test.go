package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func FuzzFromGGUF(f *testing.F) {
	f.Add("llama", "", "<unk> <s> a b ab", "", 3, true)
	f.Add("t5", "", "<unk> a b ab", "", 1, false)
	f.Add("gpt2", "gpt-2", "a b ab <s>", "a b", 3, true)
	f.Fuzz(func(t *testing.T, model, pre, tokens, merges string, kind int, flag bool) {
		g := &GGUF{Model: model, Pre: pre, Tokens: strings.Split(tokens, " "), Merges: strings.Split(merges, ","), BOS: 1, EOS: -1, Unknown: 0, Pad: -1, AddSpacePrefix: flag, AddBOS: flag}
		g.Scores, g.Types = make([]float32, len(g.Tokens)), make([]int32, len(g.Tokens))
		for i := range g.Types {
			g.Scores[i], g.Types[i] = -float32(i), pieceNormal
		}
		g.Types[len(g.Types)-1] = int32(kind)
		alphabet := byteChars
		if model == "gpt2" {
			for _, r := range alphabet {
				g.Tokens, g.Types = append(g.Tokens, string(r)), append(g.Types, pieceNormal)
			}
		}
		tok, err := FromGGUF(g, "fuzz")
		if err != nil {
			if !errors.Is(err, ErrTokenizer) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		ids, err := tok.EncodeSpecial(nil, []byte(tokens+"\xff"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.Decode(nil, ids); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFromGGUFErrors(t *testing.T) {
	none := GGUF{BOS: -1, EOS: -1, Unknown: -1, Pad: -1}
	for want, edit := range map[string]func(*GGUF){
		"0 tokens":                   func(g *GGUF) { g.Tokens = nil },
		`unsupported model "bert"`:   func(g *GGUF) { g.Model = "bert" },
		"1 types for 2 tokens":       func(g *GGUF) { g.Types = []int32{1} },
		"0 scores for 2 tokens":      func(g *GGUF) { g.Model = "llama" },
		"bos_token_id 9":             func(g *GGUF) { g.BOS = 9 },
		`pre-tokenizer "deepseek"`:   func(g *GGUF) { g.Pre = "deepseek" },
		`token 1, "a", stands there`: func(g *GGUF) { g.Tokens[1] = "a" },
		"the byte 0 (":               func(*GGUF) {},
		"no piece of type unknown":   func(g *GGUF) { g.Model, g.Scores = "t5", []float32{0, 0} },
		"is not a byte":              func(g *GGUF) { g.Model, g.Scores, g.Types = "t5", []float32{0, 0}, []int32{6, 6} },
		"has the unknown type 7":     func(g *GGUF) { g.Model, g.Scores, g.Types = "t5", []float32{0, 0}, []int32{7, 7} },
		"byte pieces, not 256": func(g *GGUF) {
			g.Model, g.Scores, g.Types, g.Tokens = "t5", []float32{0, 0}, []int32{2, 6}, []string{"u", "<0x41>"}
		},
		"cut short": func(g *GGUF) {
			g.Model, g.Scores, g.Types, g.Charsmap = "t5", []float32{0, 0}, []int32{2, 1}, []byte{4, 0, 0, 0}
		},
		"are both of type unknown": func(g *GGUF) { g.Model, g.Scores, g.Types = "llama", []float32{0, 0}, []int32{2, 2} },
	} {
		g := none
		g.Model, g.Tokens = "gpt2", slices.Clone([]string{"a", "b"})
		edit(&g)
		if _, err := FromGGUF(&g, "f.gguf"); !errors.Is(err, ErrTokenizer) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
