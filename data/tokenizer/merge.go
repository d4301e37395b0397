package tokenizer

import (
	"math"
	"math/bits"
)

// pairTable knows which neighbours merge: an open-addressed hash table from two symbols to the rank of their merge and the
// symbol that it makes. Lower ranks merge first. A symbol below 0 merges with nothing.
type pairTable struct {
	slots []pairSlot // a power of two, at most half full
	shift uint
	n     int
}

type pairSlot struct {
	key  uint64 // left<<32 | right; noPair = empty
	rank uint32
	id   int32
}

const (
	noPair = math.MaxUint64
	noRank = math.MaxUint32
)

// newPairTable makes room for n pairs.
func newPairTable(n int) *pairTable {
	size := max(16, 1<<bits.Len(uint(2*n)))
	t := &pairTable{slots: make([]pairSlot, size), shift: uint(64 - bits.TrailingZeros(uint(size)))}
	for i := range t.slots {
		t.slots[i].key = noPair
	}
	return t
}

func (t *pairTable) at(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 >> t.shift }

// put sets the merge of two symbols; a later call for the same pair replaces an earlier one, as in the libraries' maps.
func (t *pairTable) put(left, right int32, rank uint32, id int32) {
	key := uint64(uint32(left))<<32 | uint64(uint32(right))
	mask := uint64(len(t.slots) - 1)
	for i := t.at(key); ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.key == noPair {
			t.n++
		} else if s.key != key {
			continue
		}
		*s = pairSlot{key, rank, id}
		return
	}
}

// find returns the rank and the product of two symbols, or noRank.
func (t *pairTable) find(left, right int32) (rank uint32, id int32) {
	if left|right < 0 {
		return noRank, 0
	}
	key := uint64(left)<<32 | uint64(right)
	mask := uint64(len(t.slots) - 1)
	for i := t.at(key); ; i = (i + 1) & mask {
		switch s := &t.slots[i]; s.key {
		case key:
			return s.rank, s.id
		case noPair:
			return noRank, 0
		}
	}
}

const (
	// shortWord is the number of symbols up to which all ranks are scanned before each merge; longer words get a heap (BenchmarkMerge).
	shortWord = 48
	// window is the number of symbols that a giant word is merged by, so that lists and heap stay in the core's own cache, and
	// overlap how far a window reaches back into the one before (BenchmarkGiantWord).
	window, overlap = 1024, 64
)

// merger applies merges to one word at a time and keeps its scratch memory.
type merger struct {
	ranks [shortWord]uint32
	prev  []int32
	next  []int32
	heap  []uint64 // rank<<32 | position of the left symbol
	moved int      // heap entries ever pushed, for the test that a word costs in proportion to its length
	giant merged   // of byWindows
	piece []int32  // symbols of a window
}

// merged is a merged stretch of a word: its tokens, the symbol of the word that each starts with, and behind them its end.
type merged struct{ ids, starts []int32 }

// merge replaces, as long as there is one, the neighbours with the lowest rank, the leftmost of equals, by their product.
// It works in place and returns what is left of word.
func (m *merger) merge(t *pairTable, word []int32) []int32 {
	switch {
	case len(word) < 2:
		return word
	case len(word) <= shortWord:
		return m.scan(t, word)
	case len(word) <= 2*window:
		return m.byHeap(t, word)
	}
	return m.byWindows(t, word, window, overlap)
}

// byWindows merges a giant word a window at a time, to the same tokens as byHeap and in time proportional to its length.
//
// It rests on this: tokens are what merging gives for their text if and only if each two neighbours are what merging gives
// for the text of the two. Forwards, because merges inside the two never looked further than the two: restricted to them, the
// merge that was chosen, lowest and leftmost of all, is lowest and leftmost. Backwards, take the first merge across an end of
// a token: up to it all that happened in the two tokens beside that end is what happens to the two alone, so they alone would
// have merged across it. Hence where two stretches that were merged apart share a token, the first may be followed up to it
// and the second from there on.
func (m *merger) byWindows(t *pairTable, word []int32, window, overlap int) []int32 {
	a := &m.giant
	a.ids, a.starts = a.ids[:0], append(a.starts[:0], 0)
	back := overlap
	for end := 0; end < len(word); {
		end = min(end+window, len(word))
		for !m.extend(t, a, word[:end], back, window) {
			// Tokens here are very long, or depend on what is far away. What was needed once is kept, so that retries do not add up.
			if back *= 2; back > window {
				return m.byHeap(t, word)
			}
		}
	}
	return word[:copy(word, a.ids)]
}

// extend continues a, the beginning of word, to its end. It merges again from the token that lies back symbols before a's
// end, if that starts no more than limit before that, and tells whether a token there is one of a's.
func (m *merger) extend(t *pairTable, a *merged, word []int32, back, limit int) bool {
	i := len(a.ids)
	end := int(a.starts[i])
	for i > 0 && int(a.starts[i]) > end-back {
		i--
	}
	from := int(a.starts[i])
	if end-from > back+limit {
		return false
	}
	m.piece = append(m.piece[:0], word[from:]...)
	b := merged{ids: m.byHeap(t, m.piece)}
	b.starts = m.prev[:len(b.ids)+1]
	for j := range b.starts {
		b.starts[j] += int32(from)
	}
	j := 0
	for from > 0 && (a.starts[i] != b.starts[j] || a.starts[i+1] != b.starts[j+1]) {
		if a.starts[i] <= b.starts[j] {
			i++
		} else {
			j++
		}
		if i == len(a.ids) || j == len(b.ids) {
			return false
		}
	}
	a.ids, a.starts = append(a.ids[:i], b.ids[j:]...), append(a.starts[:i], b.starts[j:]...)
	return true
}

func (m *merger) scan(t *pairTable, word []int32) []int32 {
	ranks := m.ranks[:len(word)-1]
	for i := range ranks {
		ranks[i], _ = t.find(word[i], word[i+1])
	}
	for {
		best, at := uint32(noRank), 0
		for i, r := range ranks {
			if r < best {
				best, at = r, i
			}
		}
		if best == noRank {
			return word
		}
		_, word[at] = t.find(word[at], word[at+1])
		copy(word[at+1:], word[at+2:])
		word = word[:len(word)-1]
		copy(ranks[at:], ranks[at+1:])
		ranks = ranks[:len(ranks)-1]
		if at > 0 {
			ranks[at-1], _ = t.find(word[at-1], word[at])
		}
		if at < len(ranks) {
			ranks[at], _ = t.find(word[at], word[at+1])
		}
	}
}

// byHeap keeps candidates in a heap and symbols in a linked list. An entry whose symbols have changed since is passed
// over: the rank of the pair that stands there now tells. Behind it m.prev holds the position at
// which each token starts, and the word's end.
func (m *merger) byHeap(t *pairTable, word []int32) []int32 {
	const gone = math.MinInt32
	n := len(word)
	m.prev, m.next, m.heap = resize(m.prev, n+1), resize(m.next, n), m.heap[:0]
	for i := range word {
		m.prev[i], m.next[i] = int32(i-1), int32(i+1)
	}
	for i := range n - 1 {
		if rank, _ := t.find(word[i], word[i+1]); rank != noRank {
			m.heap = append(m.heap, uint64(rank)<<32|uint64(i))
		}
	}
	m.moved += len(m.heap)
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	offer := func(at int32) {
		if right := m.next[at]; int(right) < n {
			if rank, _ := t.find(word[at], word[right]); rank != noRank {
				m.push(uint64(rank)<<32 | uint64(at))
			}
		}
	}
	for len(m.heap) > 0 {
		top := m.pop()
		at := int32(uint32(top))
		if word[at] == gone || int(m.next[at]) >= n {
			continue
		}
		right := m.next[at]
		rank, id := t.find(word[at], word[right])
		if uint64(rank) != top>>32 {
			continue
		}
		word[at], word[right] = id, gone
		m.next[at] = m.next[right]
		if after := m.next[at]; int(after) < n {
			m.prev[after] = at
		}
		offer(at)
		if before := m.prev[at]; before >= 0 {
			offer(before)
		}
	}
	out := word[:0]
	for i := int32(0); int(i) < n; i = m.next[i] {
		m.prev[len(out)] = i
		out = append(out, word[i])
	}
	m.prev[len(out)] = int32(n)
	return out
}

func (m *merger) push(v uint64) {
	m.moved++
	m.heap = append(m.heap, v)
	for i := len(m.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if m.heap[up] <= m.heap[i] {
			return
		}
		m.heap[up], m.heap[i] = m.heap[i], m.heap[up]
		i = up
	}
}

func (m *merger) pop() uint64 {
	top := m.heap[0]
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
	m.down(0)
	return top
}

func (m *merger) down(i int) {
	h := m.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

func resize(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}
