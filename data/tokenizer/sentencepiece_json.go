package tokenizer

import (
	"encoding/base64"
	"fmt"
	"slices"
	"unicode/utf8"

	hf "github.com/sugarme/tokenizer"
)

// modelKey is where tokenizer.json keeps the whole .model file: an extra key of the decoder, which other readers pass over.
// Ids then stay exact where merges of a tokenizer.json cannot say what scores say: that several ways to make one piece rank
// the same.
const modelKey = "sentencepiece_model"

// JSON returns the tokenizer.json that Hugging Face's conversion scripts make of such a model, with the .model file inside.
func (s *SentencePiece) JSON() ([]byte, error) {
	m := s.model
	replace := func(from, to string) map[string]any {
		return map[string]any{"type": "Replace", "pattern": map[string]any{"String": from}, "content": to}
	}
	decoders := []any{replace(spaceMark, " "), map[string]any{"type": "ByteFallback"}, map[string]any{"type": "Fuse"}}
	if m.addDummyPrefix {
		decoders = append(decoders, map[string]any{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	c := hf.Config{
		Version: "1.0", AddedTokens: s.addedTokens(), PostProcessor: s.template(), Model: s.modelPart(),
		Decoder: map[string]any{
			"type": "Sequence", "decoders": decoders, modelKey: base64.StdEncoding.EncodeToString(m.write()),
		},
	}
	var normalizers []any
	if len(m.charsmap) > 0 {
		normalizers = append(normalizers, map[string]any{"type": "Precompiled", "precompiled_charsmap": base64.StdEncoding.EncodeToString(m.charsmap)})
	}
	if m.removeExtra {
		normalizers = append(normalizers, map[string]any{"type": "Strip", "strip_left": true, "strip_right": true},
			map[string]any{"type": "Replace", "pattern": map[string]any{"Regex": " {2,}"}, "content": " "})
	}
	if m.addDummyPrefix {
		normalizers = append(normalizers, map[string]any{"type": "Prepend", "prepend": spaceMark})
	}
	c.Normalizer = map[string]any{"type": "Sequence", "normalizers": append(normalizers, replace(" ", spaceMark))}
	return encodeConfig(&c)
}

func (s *SentencePiece) addedTokens() []hf.TokenConfig {
	added := []hf.TokenConfig{}
	for id, p := range s.model.pieces {
		if p.kind == pieceUnknown || p.kind == pieceControl || p.kind == pieceUser {
			added = append(added, hf.TokenConfig{Id: int64(id), Content: p.text, Special: p.kind != pieceUser})
		}
	}
	return added
}

// template is the post-processor that puts BOS and EOS round a text; nil for neither.
func (s *SentencePiece) template() map[string]any {
	var single []any
	tokens := map[string]any{}
	special := func(id int32) {
		text := s.model.pieces[id].text
		single = append(single, map[string]any{"SpecialToken": map[string]any{"id": text, "type_id": 0}})
		tokens[text] = map[string]any{"id": text, "ids": []int32{id}, "tokens": []string{text}}
	}
	if s.addBOS {
		special(s.specials.BOS)
	}
	single = append(single, map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}})
	if s.addEOS {
		special(s.specials.EOS)
	}
	if len(tokens) == 0 {
		return nil
	}
	pair := append(slices.Clone(single), map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 1}})
	return map[string]any{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}
}

func (s *SentencePiece) modelPart() map[string]any {
	m := s.model
	if m.kind == modelUnigram {
		vocab := make([][2]any, len(m.pieces))
		for i, p := range m.pieces {
			vocab[i] = [2]any{p.text, p.score}
		}
		return map[string]any{"type": "Unigram", "unk_id": s.specials.Unknown, "vocab": vocab, "byte_fallback": m.byteFallback}
	}
	tokens, ids := make(vocabulary, len(m.pieces)), make(map[string]int, len(m.pieces))
	order := make([]int, len(m.pieces))
	for i, p := range m.pieces {
		tokens[i], ids[p.text], order[i] = p.text, i, i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := m.pieces[a].score, m.pieces[b].score; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	merges := [][2]string{}
	for _, i := range order {
		text := m.pieces[i].text
		if m.pieces[i].kind != pieceNormal || utf8.RuneCountInString(text) < 2 {
			continue
		}
		first := len(merges)
		for at := range text {
			_, left := ids[text[:at]]
			_, right := ids[text[at:]]
			if at > 0 && left && right {
				merges = append(merges, [2]string{text[:at], text[at:]})
			}
		}
		slices.SortFunc(merges[first:], func(a, b [2]string) int {
			if d := ids[a[0]] - ids[b[0]]; d != 0 {
				return d
			}
			return ids[a[1]] - ids[b[1]]
		})
	}
	return map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": m.pieces[s.specials.Unknown].text, "continuing_subword_prefix": nil,
		"end_of_word_suffix": nil, "fuse_unk": true, "byte_fallback": m.byteFallback, "ignore_merges": false,
		"vocab": tokens, "merges": merges,
	}
}

// parseEmbedded reads the .model file that JSON put into a tokenizer.json.
func parseEmbedded(c *hf.Config) (*SentencePiece, error) {
	text, ok := c.Decoder[modelKey].(string)
	if !ok {
		return nil, fmt.Errorf("decoder: %s is no text", modelKey)
	}
	file, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decoder: %s: %w", modelKey, err)
	}
	m, err := readModel(file)
	if err != nil {
		return nil, fmt.Errorf("decoder: %s: %w", modelKey, err)
	}
	s, err := newSentencePiece(m)
	if err != nil {
		return nil, err
	}
	before, after, err := parseTemplate(c.PostProcessor, len(m.pieces))
	s.addBOS = len(before) == 1 && before[0] == s.specials.BOS
	s.addEOS = len(after) == 1 && after[0] == s.specials.EOS
	return s, err
}
