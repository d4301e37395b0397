package tokenizer

import (
	"bytes"
	"slices"
)

// matcher finds the leftmost, and of several there the longest, of a set of texts.
type matcher struct {
	ids     map[string]int32
	lengths [256][]int // by first byte: lengths of the texts that begin with it, the longest first
	only    int        // the one first byte there is, or -1
}

// newMatcher makes a matcher of texts and their ids; of equal texts the last counts. Empty ones match nothing.
func newMatcher(texts []string, ids []int32) *matcher {
	m := &matcher{ids: map[string]int32{}, only: -1}
	firsts := 0
	for i, text := range texts {
		if text == "" {
			continue
		}
		m.ids[text] = ids[i]
		l := &m.lengths[text[0]]
		if len(*l) == 0 {
			firsts++
			m.only = int(text[0])
		}
		if !slices.Contains(*l, len(text)) {
			*l = append(*l, len(text))
		}
	}
	for i := range m.lengths {
		slices.SortFunc(m.lengths[i], func(a, b int) int { return b - a })
	}
	if firsts != 1 {
		m.only = -1
	}
	return m
}

func (m *matcher) empty() bool { return m == nil || len(m.ids) == 0 }

// prefix returns the longest text that stands at text[at], and its length; length 0 when there is none.
func (m *matcher) prefix(text []byte, at int) (id int32, n int) {
	for _, n := range m.lengths[text[at]] {
		if n <= len(text)-at {
			if id, ok := m.ids[string(text[at:at+n])]; ok {
				return id, n
			}
		}
	}
	return 0, 0
}

// find returns the first match from text[from] on; at is len(text) when there is none.
func (m *matcher) find(text []byte, from int) (at, n int, id int32) {
	for at := from; at < len(text); at++ {
		if m.only >= 0 {
			i := bytes.IndexByte(text[at:], byte(m.only))
			if i < 0 {
				break
			}
			at += i
		} else if len(m.lengths[text[at]]) == 0 {
			continue
		}
		if id, n := m.prefix(text, at); n > 0 {
			return at, n, id
		}
	}
	return len(text), 0, 0
}
