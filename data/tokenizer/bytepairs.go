package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strings"

	hf "github.com/sugarme/tokenizer"

	"mmfree/data/tokenizer/split"
)

const bpeName = "bpe"

// BytePairs is a byte-level BPE tokenizer as Trainer makes it.
type BytePairs struct {
	trained  *Trained
	splitter *split.Splitter
	bytes    [256]int32        // ids of single bytes
	pairs    map[uint64]merged // left<<32 | right
	text     []string          // of each id; none for special ones
}

// merged is what becomes of a pair. Lower ranks merge first.
type merged struct{ rank, id int32 }

// NewBPE trains a vocabulary on text and returns its tokenizer.
func NewBPE(text []byte, o TrainOptions) (Tokenizer, error) {
	t, err := NewTrainer(o)
	if err != nil {
		return nil, err
	}
	t.Add(text)
	trained, err := t.Train()
	if err != nil {
		return nil, err
	}
	return newBytePairs(trained)
}

func newBytePairs(t *Trained) (*BytePairs, error) {
	splitter, err := split.New(t.pattern)
	if err != nil {
		return nil, err
	}
	p := &BytePairs{trained: t, splitter: splitter, pairs: make(map[uint64]merged, len(t.Merges)), text: make([]string, len(t.Tokens))}
	ids := make(map[string]int32, len(t.Tokens))
	byteOf := map[rune]byte{}
	for b, r := range byteAlphabet() {
		byteOf[r] = byte(b)
	}
	for id, token := range t.Tokens {
		ids[token] = int32(id)
		if id < t.specials {
			continue
		}
		var raw strings.Builder
		for _, r := range token {
			b, ok := byteOf[r]
			if !ok {
				return nil, fmt.Errorf("vocab: %q of token %q stands for no byte", r, token)
			}
			raw.WriteByte(b)
		}
		p.text[id] = raw.String()
	}
	for b, r := range byteAlphabet() {
		id, ok := ids[string(r)]
		if !ok {
			return nil, fmt.Errorf("vocab: the byte %d (%q) is missing", b, r)
		}
		p.bytes[b] = id
	}
	for rank, m := range t.Merges {
		left, ok1 := ids[m[0]]
		right, ok2 := ids[m[1]]
		id, ok3 := ids[m[0]+m[1]]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("merges: %d, %q, has a token that is not in the vocabulary", rank, m)
		}
		p.pairs[uint64(left)<<32|uint64(right)] = merged{int32(rank), id}
	}
	return p, nil
}

// Name returns "bpe".
func (p *BytePairs) Name() string { return bpeName }

// VocabSize returns the number of tokens.
func (p *BytePairs) VocabSize() int { return len(p.text) }

// Encode appends the ids of text, which may be any bytes, to dst. It never fails. Words that a call has seen before are
// looked up.
func (p *BytePairs) Encode(dst []int32, text []byte) ([]int32, error) {
	type span struct{ at, n int32 }
	seen := map[string]span{}
	var known []int32
	for len(text) > 0 {
		n, _ := p.splitter.Next(text)
		word := text[:n]
		text = text[n:]
		if s, ok := seen[string(word)]; ok {
			dst = append(dst, known[s.at:s.at+s.n]...)
			continue
		}
		before := len(dst)
		dst = p.word(dst, word)
		if n <= 64 && len(known) < 1<<22 {
			seen[string(word)] = span{int32(len(known)), int32(len(dst) - before)}
			known = append(known, dst[before:]...)
		}
	}
	return dst, nil
}

// word appends the ids of one word: its bytes, of which again and again the pair of lowest rank is merged, everywhere
// from left to right; where that makes a pair of still lower rank, that one comes first.
func (p *BytePairs) word(dst []int32, word []byte) []int32 {
	start := len(dst)
	for _, b := range word {
		dst = append(dst, p.bytes[b])
	}
	for {
		ids := dst[start:]
		best := merged{rank: math.MaxInt32}
		for i := 1; i < len(ids); i++ {
			if m, ok := p.pair(ids[i-1], ids[i]); ok && m.rank < best.rank {
				best = m
			}
		}
		if best.rank == math.MaxInt32 {
			return dst
		}
		to, stop := 0, false
		for from := 0; from < len(ids); from++ {
			ids[to] = ids[from]
			if !stop && from+1 < len(ids) {
				if m, ok := p.pair(ids[from], ids[from+1]); ok && m.rank == best.rank {
					ids[to] = best.id
					from++
					stop = to > 0 && p.before(ids[to-1], best.id, best.rank) || from+1 < len(ids) && p.before(best.id, ids[from+1], best.rank)
				}
			}
			to++
		}
		dst = dst[:start+to]
	}
}

func (p *BytePairs) pair(left, right int32) (merged, bool) {
	m, ok := p.pairs[uint64(left)<<32|uint64(right)]
	return m, ok
}

// before tells whether a pair merges before rank.
func (p *BytePairs) before(left, right, rank int32) bool {
	m, ok := p.pair(left, right)
	return ok && m.rank < rank
}

// Decode appends the bytes that ids name to dst.
func (p *BytePairs) Decode(dst []byte, ids []int32) ([]byte, error) {
	for i, id := range ids {
		if id < 0 || int(id) >= len(p.text) {
			return dst, outOfRange(bpeName, ids, i, len(p.text))
		}
		dst = append(dst, p.text[id]...)
	}
	return dst, nil
}

// JSON returns the trained vocabulary's file.
func (p *BytePairs) JSON() ([]byte, error) { return p.trained.JSON() }

// parseBytePairs reads what Trained.JSON writes; merges may be pairs, as newer libraries have them.
func parseBytePairs(c *hf.Config) (Tokenizer, error) {
	t := &Trained{pattern: split.GPT2}
	byteLevel, regex := c.PreTokenizer, true
	if c.PreTokenizer["type"] == "Sequence" {
		parts, _ := c.PreTokenizer["pretokenizers"].([]any)
		if len(parts) != 2 {
			return nil, fmt.Errorf("unsupported pre_tokenizer: a sequence of %d", len(parts))
		}
		cut, _ := parts[0].(map[string]any)
		byteLevel, _ = parts[1].(map[string]any)
		pattern, _ := cut["pattern"].(map[string]any)
		t.pattern, _ = pattern["Regex"].(string)
		regex = false
		err := expect(
			setting{"pre_tokenizer", cut, "type", "Split"}, setting{"pre_tokenizer", cut, "behavior", "Isolated"},
			setting{"pre_tokenizer", cut, "invert", false},
		)
		if err != nil {
			return nil, err
		}
	}
	err := expect(append([]setting{
		{"pre_tokenizer", byteLevel, "type", "ByteLevel"},
		{"pre_tokenizer", byteLevel, "add_prefix_space", false},
		{"pre_tokenizer", byteLevel, "use_regex", regex},
	}, byteLevelBPE(c)...)...)
	if err != nil {
		return nil, err
	}
	if c.Model["ignore_merges"] == true {
		return nil, errors.New("unsupported model: ignore_merges is true")
	}
	vocab, _ := c.Model["vocab"].(map[string]any)
	t.Tokens = make([]string, len(vocab))
	given := make([]bool, len(vocab))
	for token, value := range vocab {
		id, ok := value.(float64)
		if !ok || id != math.Trunc(id) || id < 0 || id >= float64(len(vocab)) || given[int(id)] {
			return nil, fmt.Errorf("vocab: id %v of %q is not one of 0 … %d, each once", value, token, len(vocab)-1)
		}
		t.Tokens[int(id)], given[int(id)] = token, true
	}
	list, _ := c.Model["merges"].([]any)
	for i, m := range list {
		var pair [2]string
		ok := false
		switch m := m.(type) {
		case string:
			pair[0], pair[1], ok = strings.Cut(m, " ")
		case []any:
			if len(m) == 2 {
				var ok1, ok2 bool
				pair[0], ok1 = m[0].(string)
				pair[1], ok2 = m[1].(string)
				ok = ok1 && ok2
			}
		}
		if !ok {
			return nil, fmt.Errorf("merges: %d is no pair of tokens", i)
		}
		t.Merges = append(t.Merges, pair)
	}
	return newBytePairs(t)
}
