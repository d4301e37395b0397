package tokenizer

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

const (
	maxCached = 24 // bytes of the longest word that is remembered
	maxIDs    = 9  // ids of one
	cacheBits = 15 // 32,768 words of 64 bytes: 2 MiB, as much as a core's own cache
)

// cachedWord is a word and its ids in one cache line.
type cachedWord struct {
	key [maxCached]byte // zeros behind the word
	len uint8           // bytes of the word; 0 = empty
	n   uint8           // ids
	_   [2]byte
	ids [maxIDs]int32
}

// words remembers the ids of words: a table in which each word has two neighbouring places and a new word takes that of
// an older one. Text repeats its words, so most are merged once.
type words struct {
	slots []cachedWord
}

func newWords() *words { return &words{slots: make([]cachedWord, 1<<cacheBits)} }

// wordKey is a word of at most maxCached bytes as three numbers, and where to look for it.
type wordKey struct {
	a, b, c uint64
	at      uint32
}

// keyOf makes the key of text[from:to]. Where the text goes on far enough it is read as a whole and masked.
func keyOf(text []byte, from, to int) (k wordKey) {
	n := to - from
	if from+maxCached <= len(text) {
		p := text[from : from+maxCached]
		k.a = binary.LittleEndian.Uint64(p)
		switch {
		case n <= 8:
			k.a &= ^uint64(0) >> (64 - 8*uint(n))
		case n <= 16:
			k.b = binary.LittleEndian.Uint64(p[8:]) & (^uint64(0) >> (128 - 8*uint(n)))
		default:
			k.b = binary.LittleEndian.Uint64(p[8:])
			k.c = binary.LittleEndian.Uint64(p[16:]) & (^uint64(0) >> (192 - 8*uint(n)))
		}
	} else {
		var p [maxCached]byte
		copy(p[:], text[from:to])
		k.a, k.b, k.c = binary.LittleEndian.Uint64(p[:]), binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[16:])
	}
	hi, lo := bits.Mul64(k.a^0x9e3779b97f4a7c15, k.b^0xe7037ed1a0b428db^uint64(n))
	hi2, lo2 := bits.Mul64(hi^lo^k.c, 0x8ebc6af09c88c6e3)
	k.at = uint32((hi2^lo2)>>(64-cacheBits)) &^ 1
	return k
}

func (k *wordKey) is(w *cachedWord, n int) bool {
	return int(w.len) == n && binary.LittleEndian.Uint64(w.key[:]) == k.a &&
		binary.LittleEndian.Uint64(w.key[8:]) == k.b && binary.LittleEndian.Uint64(w.key[16:]) == k.c
}

// find returns the word's place, or nil.
func (w *words) find(k *wordKey, n int) *cachedWord {
	if s := &w.slots[k.at]; k.is(s, n) {
		return s
	}
	if s := &w.slots[k.at+1]; k.is(s, n) {
		return s
	}
	return nil
}

// put remembers a word. The place's older word moves to the second place.
func (w *words) put(k *wordKey, n int, ids []int32) {
	s := &w.slots[k.at]
	if s.len != 0 {
		w.slots[k.at+1] = *s
	}
	binary.LittleEndian.PutUint64(s.key[:], k.a)
	binary.LittleEndian.PutUint64(s.key[8:], k.b)
	binary.LittleEndian.PutUint64(s.key[16:], k.c)
	s.len, s.n = uint8(n), uint8(len(ids))
	copy(s.ids[:], ids)
}

// speller makes the ids of a word that is not remembered.
type speller interface {
	spell(s *scratch, dst []int32, word []byte) []int32
}

// word appends the ids of the word text[at:end], which may be any.
func (s *scratch) word(m speller, dst []int32, text []byte, at, end int) []int32 {
	n := end - at
	if n > maxCached {
		return m.spell(s, dst, text[at:end])
	}
	key := keyOf(text, at, end)
	if w := s.words.find(&key, n); w != nil {
		if w.n == 1 {
			return append(dst, w.ids[0])
		}
		return append(dst, w.ids[:w.n]...)
	}
	before := len(dst)
	dst = m.spell(s, dst, text[at:end])
	if ids := dst[before:]; len(ids) <= maxIDs && s.fault == "" {
		s.words.put(&key, n, ids)
	}
	return dst
}

// scratch is what one call of Encode needs beside the vocabulary.
type scratch struct {
	words   *words
	merger  merger
	symbols []int32
	text    [2][]byte // buffers of the steps before the model
	normal  [2][]byte // of the normalizer's steps, by turns
	pieces  [][]byte  // of the pre-tokenizer's steps
	kept    []byte
	lattice []latticeNode
	fault   string // the first piece that has no id, for the error of this call
}

// fail notes a piece that has no id.
func (s *scratch) fail(piece []byte) {
	if s.fault == "" {
		s.fault = shortPiece(piece)
	}
}

// size is the largest of the buffers.
func (s *scratch) size() int {
	n := max(4*cap(s.symbols), 16*cap(s.lattice), cap(s.text[0]), cap(s.text[1]), cap(s.normal[0]), cap(s.normal[1]), cap(s.kept))
	for _, p := range s.pieces {
		n = max(n, cap(p))
	}
	return n
}

// scratches lends scratch memory to calls, so that remembered words outlive a call and calls may run side by side.
type scratches struct {
	mu   sync.Mutex
	free []*scratch
}

// maxFree bounds what is kept between calls: two mebibytes each.
const maxFree = 16

func (p *scratches) get() *scratch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		s := p.free[n-1]
		p.free = p.free[:n-1]
		return s
	}
	return &scratch{words: newWords()}
}

func (p *scratches) put(s *scratch) {
	const maxKept = 16 << 20 // a giant text's buffers are not held for ever
	if s.fault = ""; s.size() > maxKept {
		*s = scratch{words: s.words}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFree {
		p.free = append(p.free, s)
	}
}
