package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	hf "github.com/sugarme/tokenizer"
)

// Marked is the tokenizer.json that Hugging Face's conversion makes of a SentencePiece BPE model: characters merged by rank,
// U+2581 for a space and before each text, bytes for unknown characters. Inside, a space stands for U+2581.
type Marked struct {
	file        []byte
	bpe         bpe
	raw, inside *matcher // added tokens in raw text, and in normalized text
	decoded     []string
	strip       bool // decoding drops one space at the beginning
	before      []int32
	after       []int32
	specials    Specials
	lent        *scratches
}

// isMarked tells whether a BPE puts U+2581 before texts and in place of spaces.
func isMarked(c *hf.Config) bool {
	list, _ := c.Normalizer["normalizers"].([]any)
	if c.Normalizer["type"] != "Sequence" || len(list) != 2 || c.PreTokenizer != nil {
		return false
	}
	prepend, _ := list[0].(map[string]any)
	replace, _ := list[1].(map[string]any)
	return prepend["type"] == "Prepend" && prepend["prepend"] == spaceMark && replacesWith(replace, " ", spaceMark)
}

func replacesWith(part map[string]any, from, to string) bool {
	pattern, _ := part["pattern"].(map[string]any)
	return part["type"] == "Replace" && len(pattern) == 1 && pattern["String"] == from && part["content"] == to
}

// parseMarked reads such a file.
func parseMarked(c *hf.Config, file []byte) (Tokenizer, error) {
	m := &Marked{file: slices.Clone(file), lent: &scratches{}, specials: noSpecials()}
	err := expect(
		setting{"model", c.Model, "dropout", nil}, setting{"model", c.Model, "continuing_subword_prefix", nil},
		setting{"model", c.Model, "end_of_word_suffix", nil}, setting{"model", c.Model, "ignore_merges", false},
	)
	if err != nil {
		return nil, err
	}
	if err := m.readDecoder(c.Decoder); err != nil {
		return nil, err
	}
	vocab, err := readVocabulary(c.Model["vocab"])
	if err != nil {
		return nil, err
	}
	if err := m.readModel(c, vocab); err != nil {
		return nil, err
	}
	if err := m.readAdded(c.AddedTokens, vocab); err != nil {
		return nil, err
	}
	m.before, m.after, err = parseTemplate(c.PostProcessor)
	for _, id := range slices.Concat(m.before, m.after) {
		if id < 0 || int(id) >= len(m.decoded) {
			return nil, fmt.Errorf("post_processor: id %d is not in the vocabulary of %d", id, len(m.decoded))
		}
	}
	return m, err
}

func (m *Marked) readDecoder(part map[string]any) error {
	list, _ := part["decoders"].([]any)
	if part["type"] != "Sequence" || len(list) < 3 || len(list) > 4 {
		return fmt.Errorf("unsupported decoder %v", part["type"])
	}
	var parts [4]map[string]any
	for i, v := range list {
		parts[i], _ = v.(map[string]any)
	}
	if !replacesWith(parts[0], spaceMark, " ") || parts[1]["type"] != "ByteFallback" || parts[2]["type"] != "Fuse" {
		return errors.New("unsupported decoder: a Sequence other than Replace, ByteFallback, Fuse, Strip")
	}
	if m.strip = parts[3] != nil; !m.strip {
		return nil
	}
	return expect(setting{"decoder", parts[3], "type", "Strip"}, setting{"decoder", parts[3], "content", " "},
		setting{"decoder", parts[3], "start", 1.0}, setting{"decoder", parts[3], "stop", 0.0})
}

func (m *Marked) readModel(c *hf.Config, vocab map[string]int32) error {
	m.bpe = bpe{unknown: -1, fuse: c.Model["fuse_unk"] == true}
	m.bpe.clearChars()
	inside := func(token string) string { return strings.ReplaceAll(token, spaceMark, " ") }
	for token, id := range vocab {
		for int(id) >= len(m.decoded) {
			m.decoded = append(m.decoded, "")
		}
		m.decoded[id] = inside(token)
		if text := inside(token); text != "" && token != " " { // no text has a space of its own
			if r, n := utf8.DecodeRuneInString(text); n == len(text) {
				m.bpe.setChar(r, id)
			}
		}
	}
	if name, ok := c.Model["unk_token"].(string); ok {
		if m.bpe.unknown, ok = vocab[name]; !ok {
			return fmt.Errorf("vocab: the unknown token %q is missing", name)
		}
		m.specials.Unknown = m.bpe.unknown
	}
	if c.Model["byte_fallback"] == true {
		m.bpe.fallback = new([256]int32)
		for b := range m.bpe.fallback {
			id, ok := vocab[byteToken(byte(b))]
			if !ok {
				return fmt.Errorf("byte_fallback without %s in the vocabulary", byteToken(byte(b)))
			}
			m.bpe.fallback[b], m.decoded[id] = id, string([]byte{byte(b)})
		}
	}
	m.bpe.vocab = int32(len(m.decoded))
	list, ok := c.Model["merges"].([]any)
	if !ok {
		return errors.New("merges is no list")
	}
	m.bpe.pairs, m.bpe.joinWide = newPairTable(len(list)), newPairTable(len(list))
	for rank, v := range list {
		left, right, ok := mergePair(v)
		l, ok1 := vocab[left]
		r, ok2 := vocab[right]
		id, ok3 := vocab[left+right]
		if !ok || !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("merges: %d is no pair of tokens of the vocabulary that make a third", rank)
		}
		if strings.Contains(left+right, " ") {
			return fmt.Errorf("merges: %d, %q and %q, has a space, which no text has", rank, left, right)
		}
		m.bpe.pairs.put(l, r, uint32(rank), id)
		m.bpe.setJoin(inside(left), inside(right))
	}
	return nil
}

func (m *Marked) readAdded(added []hf.TokenConfig, vocab map[string]int32) error {
	var texts [2][]string
	var ids [2][]int32
	for _, a := range added {
		known, inVocab := vocab[a.Content]
		switch {
		case a.Content == "" || len(a.Content) > maxPieceBytes || a.Id < 0 || a.Id >= maxPieces:
			return fmt.Errorf("added_tokens: the token %.20q with the id %d", a.Content, a.Id)
		case inVocab && int64(known) != a.Id:
			return fmt.Errorf("added_tokens: %q has the id %d, and %d in the vocabulary", a.Content, a.Id, known)
		case a.SingleWord || a.Lstrip || a.Rstrip:
			return fmt.Errorf("unsupported added_tokens: %q is single_word, lstrip or rstrip", a.Content)
		}
		id, phase, text := int32(a.Id), 0, a.Content
		if a.Normalized {
			phase, text = 1, " "+strings.ReplaceAll(text, spaceMark, " ")
		}
		for int(id) >= len(m.decoded) {
			m.decoded = append(m.decoded, "")
		}
		m.decoded[id] = strings.ReplaceAll(a.Content, spaceMark, " ")
		if a.Special {
			m.decoded[id] = ""
			switch a.Content {
			case "<s>", "<bos>":
				m.specials.BOS = id
			case "</s>", "<eos>":
				m.specials.EOS = id
			case "<pad>":
				m.specials.Pad = id
			}
		}
		texts[phase], ids[phase] = append(texts[phase], text), append(ids[phase], id)
	}
	m.raw, m.inside = newMatcher(texts[0], ids[0]), newMatcher(texts[1], ids[1])
	return nil
}

// Name returns "bpe".
func (m *Marked) Name() string { return bpeName }

// VocabSize returns the number of ids, added tokens among them.
func (m *Marked) VocabSize() int { return len(m.decoded) }

// Specials returns the ids with a meaning.
func (m *Marked) Specials() Specials { return m.specials }

// Encode appends the ids of text to dst; the spelling of an added token is that token, and the text behind one gets a mark
// of its own, as in Hugging Face's library. A byte that is not part of valid UTF-8 counts as U+FFFD. It never fails.
func (m *Marked) Encode(dst []int32, text []byte) ([]int32, error) {
	s := m.lent.get()
	defer m.lent.put(s)
	text, s.text[0] = validUTF8(s.text[0], text)
	for at := 0; at < len(text); {
		end, n, id := len(text), 0, int32(0)
		if !m.raw.empty() {
			end, n, id = m.raw.find(text, at)
		}
		if end > at {
			s.text[1] = append(append(s.text[1][:0], ' '), text[at:end]...)
			if bytes.Contains(s.text[1], []byte(spaceMark)) {
				s.text[1] = bytes.ReplaceAll(s.text[1], []byte(spaceMark), []byte{' '})
			}
			dst = m.segment(s, dst, s.text[1])
		}
		if n > 0 {
			dst = append(dst, id)
		}
		at = end + n
	}
	return dst, nil
}

// segment encodes normalized text.
func (m *Marked) segment(s *scratch, dst []int32, text []byte) []int32 {
	for at := 0; at < len(text); {
		end, n, id := len(text), 0, int32(0)
		if !m.inside.empty() {
			end, n, id = m.inside.find(text, at)
		}
		dst = m.bpe.encode(s, dst, text[at:end])
		if n > 0 {
			dst = append(dst, id)
		}
		at = end + n
	}
	return dst
}

// EncodeSpecial is Encode with the template's ids round the text.
func (m *Marked) EncodeSpecial(dst []int32, text []byte) ([]int32, error) {
	dst, err := m.Encode(append(dst, m.before...), text)
	return append(dst, m.after...), err
}

// Decode appends the text of ids to dst; special tokens have none, and one space at the beginning goes.
func (m *Marked) Decode(dst []byte, ids []int32) ([]byte, error) {
	start := len(dst)
	for i, id := range ids {
		if id < 0 || int(id) >= len(m.decoded) {
			return dst, outOfRange(bpeName, ids, i, len(m.decoded))
		}
		text := m.decoded[id]
		if m.strip && len(dst) == start && strings.HasPrefix(text, " ") {
			text, start = text[1:], -1
		}
		dst = append(dst, text...)
	}
	return dst, nil
}

// JSON returns the tokenizer.json that it was read from.
func (m *Marked) JSON() ([]byte, error) { return slices.Clone(m.file), nil }
