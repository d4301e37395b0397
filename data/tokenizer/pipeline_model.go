package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

const (
	bpeName       = "bpe"
	unigramName   = "unigram"
	wordLevelName = "wordlevel"
)

// readVocabulary reads the tokens and ids of a model.
func readVocabulary(m *part) (map[string]int32, error) {
	v, _ := m.value("vocab")
	switch m.kind() {
	case "BPE", "WordLevel":
		return vocabularyObject(v)
	case "Unigram":
		return vocabularyList(v)
	}
	return nil, fmt.Errorf("unsupported model type %s: BPE, Unigram and WordLevel are supported", m.kind())
}

// vocabularyObject reads an object of token and id.
func vocabularyObject(v any) (map[string]int32, error) {
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, errors.New("vocab is missing or empty")
	}
	vocab, given := make(map[string]int32, len(object)), make(map[int32]string, len(object))
	for token, value := range object {
		id, ok := value.(float64)
		if !ok || id != math.Trunc(id) || id < 0 || id >= maxPieces {
			return nil, fmt.Errorf("vocab: id %v of %q is not in 0 … %d", value, token, maxPieces-1)
		}
		if other, twice := given[int32(id)]; twice {
			return nil, fmt.Errorf("vocab: id %v is given twice, to %q and %q", id, min(token, other), max(token, other))
		}
		vocab[token], given[int32(id)] = int32(id), token
	}
	return vocab, nil
}

// vocabularyList reads a list of token and score, whose places are ids.
func vocabularyList(v any) (map[string]int32, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxPieces {
		return nil, errors.New("vocab is no list of tokens with scores, is empty or too long")
	}
	vocab := make(map[string]int32, len(list))
	for id, v := range list {
		token, _, ok := scored(v)
		if !ok {
			return nil, fmt.Errorf("vocab: entry %d is no token with a finite score", id)
		}
		if other, twice := vocab[token]; twice {
			return nil, fmt.Errorf("vocab: %q has the ids %d and %d", token, other, id)
		}
		vocab[token] = int32(id)
	}
	return vocab, nil
}

// scored reads a token and its score.
func scored(v any) (string, float64, bool) {
	pair, _ := v.([]any)
	if len(pair) != 2 {
		return "", 0, false
	}
	token, ok1 := pair[0].(string)
	score, ok2 := pair[1].(float64)
	return token, score, ok1 && ok2 && len(token) <= maxPieceBytes
}

// hasBytes tells whether each byte's character is a token.
func hasBytes(vocab map[string]int32) bool {
	for _, r := range byteChars {
		if _, ok := vocab[string(r)]; !ok {
			return false
		}
	}
	return true
}

// readModel makes the model, and returns its id for unknown pieces, or -1.
func (p *Pipeline) readModel(m *part, vocab map[string]int32) (unknown int32, err error) {
	switch m.kind() {
	case "BPE":
		p.name = bpeName
		unknown, err = p.readBPE(m, vocab)
	case "Unigram":
		p.name = unigramName
		unknown, err = p.readUnigram(m, vocab)
	default:
		p.name = wordLevelName
		unknown = p.readWordLevel(m, vocab)
	}
	if err == nil {
		err = m.done()
	}
	return unknown, err
}

func (p *Pipeline) readWordLevel(m *part, vocab map[string]int32) int32 {
	w := &wordLevel{vocab: make(map[string]int32, len(vocab)), unknown: -1}
	if id, ok := vocab[m.textOr("unk_token", "<unk>")]; ok {
		w.unknown = id
	}
	for token, id := range vocab {
		if text, can := p.inside(token); can {
			w.vocab[text] = id
		}
	}
	p.model = w
	return w.unknown
}

func (p *Pipeline) readUnigram(m *part, vocab map[string]int32) (int32, error) {
	texts, scores := make([]string, len(p.tokens)), make([]float64, len(p.tokens))
	lowest := math.Inf(1)
	for id, v := range m.list("vocab") {
		token, score, _ := scored(v)
		if text, can := p.inside(token); can {
			texts[id] = text
		}
		scores[id], lowest = score, min(lowest, score)
	}
	u := newUnigram(texts, scores)
	u.unknown, u.penalty, u.marked = -1, lowest-unknownPenalty, p.marked
	if _, ok := m.value("unk_id"); ok {
		if u.unknown = int32(m.count("unk_id", maxPieces)); int(u.unknown) >= len(texts) {
			return 0, fmt.Errorf("model: unk_id %d is not in the vocabulary of %d", u.unknown, len(texts))
		}
	}
	if m.flag("byte_fallback", false) {
		fallback, missing := byteTokens(vocab)
		if missing == "" {
			u.fallback = fallback
		} else if fallback != nil {
			return 0, fmt.Errorf("unsupported model: byte_fallback without %s in the vocabulary", missing)
		}
	}
	p.model = u
	return u.unknown, nil
}

// byteTokens returns the ids of <0x00> to <0xFF>, or the first that is missing; nil where all are.
func byteTokens(vocab map[string]int32) (ids *[256]int32, missing string) {
	var all [256]int32
	found := 0
	for b := range all {
		id, ok := vocab[byteToken(byte(b))]
		if !ok && missing == "" {
			missing = byteToken(byte(b))
		}
		if ok {
			found++
		}
		all[b] = id
	}
	if found == 0 {
		return nil, missing
	}
	return &all, missing
}

func (p *Pipeline) readBPE(m *part, vocab map[string]int32) (int32, error) {
	b := &bpe{byteLevel: p.raw, marked: p.marked, unknown: -1, vocab: int32(len(p.tokens)), fuse: m.flag("fuse_unk", false)}
	m.unset("dropout", 0.0)
	m.unset("continuing_subword_prefix", "")
	m.unset("end_of_word_suffix", "")
	if name := m.textOr("unk_token", ""); name != "" && !p.raw { // with all bytes nothing is unknown
		id, ok := vocab[name]
		if !ok {
			return 0, fmt.Errorf("vocab: the unknown token %q is missing", name)
		}
		b.unknown = id
	}
	if m.flag("byte_fallback", false) && !p.raw {
		fallback, missing := byteTokens(vocab)
		if missing != "" {
			return 0, fmt.Errorf("unsupported model: byte_fallback without %s in the vocabulary", missing)
		}
		b.fallback = fallback
	}
	b.drop = b.unknown < 0 && b.fallback == nil && !p.raw
	whole := m.flag("ignore_merges", false)
	if whole {
		b.whole = make(map[string]int32, len(vocab))
	}
	b.clearChars()
	for token, id := range vocab {
		text, can := p.inside(token)
		if p.raw {
			text, can = byteText(token)
		}
		if !can || text == "" {
			continue
		}
		if whole {
			b.whole[text] = id
		}
		if p.raw && len(text) == 1 {
			b.byteSym[text[0]] = id
		} else if r, n := utf8.DecodeRuneInString(text); !p.raw && n == len(text) {
			b.setChar(r, id)
		}
	}
	if err := p.readMerges(m.list("merges"), vocab, b); err != nil {
		return 0, err
	}
	p.model = b
	return b.unknown, nil
}

func (p *Pipeline) readMerges(list []any, vocab map[string]int32, b *bpe) error {
	b.pairs, b.joinWide = newPairTable(len(list)), newPairTable(len(list))
	unmerged := map[int32]bool{}
	if b.fallback != nil {
		for _, id := range b.fallback {
			unmerged[id] = true
		}
	}
	if b.unknown >= 0 {
		unmerged[b.unknown] = true
	}
	for rank, v := range list {
		left, right, ok := mergePair(v)
		if !ok {
			return fmt.Errorf("merges: %d is no pair of tokens", rank)
		}
		l, ok1 := vocab[left]
		r, ok2 := vocab[right]
		id, ok3 := vocab[left+right]
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("merges: %d, %q and %q, has a token that is not in the vocabulary", rank, left, right)
		}
		if unmerged[l] || unmerged[r] {
			return fmt.Errorf("unsupported merges: %d, %q and %q, joins what unknown characters become", rank, left, right)
		}
		b.pairs.put(l, r, uint32(rank), id)
		if l, can := p.inside(left); can && !p.raw {
			if r, can := p.inside(right); can {
				b.setJoin(l, r)
			}
		}
	}
	return nil
}

// mergePair reads a merge: "left right", or a list of both, as newer libraries write it.
func mergePair(v any) (left, right string, ok bool) {
	switch v := v.(type) {
	case string:
		left, right, ok = strings.Cut(v, " ")
		return left, right, ok && left != "" && right != "" && !strings.Contains(right, " ")
	case []any:
		if len(v) == 2 {
			left, ok1 := v[0].(string)
			right, ok2 := v[1].(string)
			return left, right, ok1 && ok2 && left != "" && right != ""
		}
	}
	return "", "", false
}
