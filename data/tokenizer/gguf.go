package tokenizer

import (
	"fmt"
	"slices"

	hf "github.com/sugarme/tokenizer"

	"mmfree/data/tokenizer/split"
)

// GGUF is the vocabulary of a GGUF file: the values of its keys under tokenizer.ggml. The numbers of Types are those of
// SentencePiece.
type GGUF struct {
	Model  string // llama (SentencePiece BPE), t5 (unigram) or gpt2 (byte-level BPE)
	Pre    string // gpt2: name of the pre-tokenizer
	Tokens []string
	Scores []float32 // llama, t5
	Types  []int32
	Merges []string // gpt2: "left right"
	// Ids of special tokens; -1 = not given.
	BOS, EOS, Unknown, Pad int32
	// Flags; where a file has none its reader gives the default: AddSpacePrefix true for llama and t5, AddBOS true for llama
	// and the pre-tokenizer llama-bpe, AddEOS false, RemoveExtra false.
	AddSpacePrefix, AddBOS, AddEOS, RemoveExtra bool
	Charsmap                                    []byte // precompiled_charsmap
}

// FromGGUF makes the tokenizer of a GGUF vocabulary. name is the file's, for errors. A model or pre-tokenizer that is not
// supported is an error that names it.
func FromGGUF(g *GGUF, name string) (Tokenizer, error) {
	t, err := fromGGUF(g, name)
	if err != nil {
		return nil, &Error{
			Source: name, Offset: -1, Problem: "tokenizer.ggml: " + err.Error(),
			Fix: "use the tokenizer.json or .model that the file was made from",
		}
	}
	return t, nil
}

func fromGGUF(g *GGUF, name string) (Tokenizer, error) {
	n := len(g.Tokens)
	if n == 0 || n > maxPieces {
		return nil, fmt.Errorf("%d tokens", n)
	}
	if len(g.Types) != 0 && len(g.Types) != n {
		return nil, fmt.Errorf("%d types for %d tokens", len(g.Types), n)
	}
	for key, id := range map[string]int32{"bos": g.BOS, "eos": g.EOS, "unknown": g.Unknown, "padding": g.Pad} {
		if id < -1 || int(id) >= n {
			return nil, fmt.Errorf("%s_token_id %d is not in the vocabulary of %d", key, id, n)
		}
	}
	switch g.Model {
	case "llama", "t5":
		return g.sentencePiece()
	case "gpt2":
		return g.bytePairs(name)
	}
	return nil, fmt.Errorf("unsupported model %q", g.Model)
}

func (g *GGUF) kind(id int) int {
	if len(g.Types) == 0 {
		return pieceNormal
	}
	return int(g.Types[id])
}

func (g *GGUF) sentencePiece() (Tokenizer, error) {
	if len(g.Scores) != len(g.Tokens) {
		return nil, fmt.Errorf("%d scores for %d tokens", len(g.Scores), len(g.Tokens))
	}
	m := defaultModel()
	m.kind = modelBPE
	if g.Model == "t5" {
		m.kind = modelUnigram
	}
	m.addDummyPrefix, m.removeExtra, m.charsmap = g.AddSpacePrefix, g.RemoveExtra, slices.Clone(g.Charsmap)
	m.bos, m.eos, m.pad = "", "", ""
	for id, text := range g.Tokens {
		p := spPiece{text, g.Scores[id], g.kind(id)}
		switch int32(id) {
		case g.BOS:
			m.bos = text
		case g.EOS:
			m.eos = text
		case g.Pad:
			m.pad = text
		}
		if int32(id) == g.Unknown {
			p.kind = pieceUnknown
		}
		m.byteFallback = m.byteFallback || p.kind == pieceByte
		m.pieces = append(m.pieces, p)
	}
	s, err := newSentencePiece(&m)
	if err != nil {
		return nil, err
	}
	s.addBOS, s.addEOS = g.AddBOS && s.specials.BOS >= 0, g.AddEOS && s.specials.EOS >= 0
	return s, nil
}

func (g *GGUF) bytePairs(name string) (Tokenizer, error) {
	pattern, ok := map[string]string{"gpt-2": split.GPT2, "default": split.GPT2, "": split.GPT2, "llama-bpe": split.Llama3, "qwen2": split.Qwen2}[g.Pre]
	if !ok {
		return nil, fmt.Errorf("unsupported pre-tokenizer %q", g.Pre)
	}
	added := []hf.TokenConfig{}
	vocab := make(map[string]any, len(g.Tokens))
	for id, text := range g.Tokens {
		if kind := g.kind(id); kind == pieceControl || kind == pieceUser {
			added = append(added, hf.TokenConfig{Id: int64(id), Content: text, Special: kind == pieceControl})
		}
		if _, twice := vocab[text]; twice {
			return nil, fmt.Errorf("token %d, %q, stands there twice", id, text)
		}
		vocab[text] = id
	}
	for b, r := range byteChars {
		if _, ok := vocab[string(r)]; !ok {
			return nil, fmt.Errorf("the byte %d (%q) is missing", b, r)
		}
	}
	merges := g.Merges
	if merges == nil {
		merges = []string{}
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	c := &hf.Config{
		Version: "1.0", AddedTokens: added, Decoder: byteLevel, PostProcessor: g.template(),
		PreTokenizer: map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": pattern}, "behavior": "Isolated", "invert": false}, byteLevel,
		}},
		Model: map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": g.Pre == "llama-bpe", "vocab": vocab, "merges": merges,
		},
	}
	if g.Pre == "qwen2" {
		c.Normalizer = map[string]any{"type": "NFC"}
	}
	file, err := encodeConfig(c)
	if err != nil {
		return nil, err
	}
	t, err := Parse(file, name)
	if p, ok := t.(*Pipeline); ok && err == nil {
		p.specials = Specials{g.BOS, g.EOS, g.Unknown, g.Pad}
	}
	return t, err
}

// template is the post-processor for BOS and EOS; nil for neither.
func (g *GGUF) template() map[string]any {
	item := func(id int32) []any {
		return []any{map[string]any{"SpecialToken": map[string]any{"id": g.Tokens[id], "type_id": 0}}}
	}
	tokens := map[string]any{}
	single := []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}}
	mark := func(id int32) {
		tokens[g.Tokens[id]] = map[string]any{"id": g.Tokens[id], "ids": []int32{id}, "tokens": []string{g.Tokens[id]}}
	}
	if g.AddBOS && g.BOS >= 0 {
		single = append(item(g.BOS), single...)
		mark(g.BOS)
	}
	if g.AddEOS && g.EOS >= 0 {
		single = append(single, item(g.EOS)...)
		mark(g.EOS)
	}
	if len(tokens) == 0 {
		return nil
	}
	pair := append(slices.Clone(single), map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 1}})
	return map[string]any{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}
}
