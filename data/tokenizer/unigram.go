package tokenizer

import (
	"slices"
	"unicode/utf8"
)

// unigram finds the segmentation of a text with the largest sum of scores.
type unigram struct {
	nodes    *pairTable // (node, byte) -> node of a trie; node 0 is the root
	piece    []int32    // piece that ends at a node, or -1
	scores   []float64
	unknown  int32
	penalty  float64 // score of an unknown character
	single   bool    // sums are kept in 32 bits, as SentencePiece does, instead of 64, as Hugging Face's library does
	fallback *[256]int32
	marked   bool // a space stands for U+2581
}

// latticeNode is the best way to reach a place in the text.
type latticeNode struct {
	score float64
	start int32 // where its last piece begins; -1 = not reached
	id    int32
}

const unknownPenalty = 10 // below the lowest score; in both libraries

// newUnigram makes the trie. Pieces with a text of "" are left out.
func newUnigram(texts []string, scores []float64) *unigram {
	total := 0
	for _, t := range texts {
		total += len(t)
	}
	u := &unigram{nodes: newPairTable(total), piece: []int32{-1}, scores: scores}
	for id, t := range texts {
		node := int32(0)
		for i := range len(t) {
			rank, next := u.nodes.find(node, int32(t[i]))
			if rank == noRank {
				next = int32(len(u.piece))
				u.piece = append(u.piece, -1)
				u.nodes.put(node, int32(t[i]), 0, next)
			}
			node = next
		}
		if node > 0 {
			u.piece[node] = int32(id)
		}
	}
	return u
}

// spell appends the ids of text, which must be valid UTF-8. Unknown characters side by side become one unknown id, or
// their bytes. Of equal sums the first found stays: pieces are tried from the earliest start and the shortest on.
func (u *unigram) spell(s *scratch, dst []int32, text []byte) []int32 {
	if cap(s.lattice) <= len(text) {
		s.lattice = make([]latticeNode, len(text)+1)
	}
	best := s.lattice[:len(text)+1]
	for i := range best {
		best[i].start = -1
	}
	best[0] = latticeNode{}
	for at := 0; at < len(text); {
		_, charLen := utf8.DecodeRune(text[at:])
		here, hasChar, node := best[at].score, false, int32(0)
		for end := at; end < len(text); {
			rank, next := u.nodes.find(node, int32(text[end]))
			if rank == noRank {
				break
			}
			node = next
			end++
			if id := u.piece[node]; id >= 0 {
				u.offer(&best[end], u.scores[id]+here, at, id)
				hasChar = hasChar || end-at == charLen
			}
		}
		if !hasChar && u.offer(&best[at+charLen], u.penalty+here, at, -1) && u.unknown < 0 {
			s.fail(text[at : at+charLen])
			return dst
		}
		at += charLen
	}
	if !u.single {
		return u.fused(dst, best, text)
	}
	first := len(dst)
	for end := len(text); end > 0; {
		n := best[end]
		switch {
		case n.id >= 0:
			dst = append(dst, n.id)
		case u.fallback != nil:
			dst = u.bytesBackward(dst, text[n.start:end])
		case len(dst) == first || dst[len(dst)-1] != u.unknown:
			dst = append(dst, u.unknown)
		}
		end = int(n.start)
	}
	slices.Reverse(dst[first:])
	return dst
}

// fused appends the ids on the best way through the lattice as Hugging Face's library does: unknown characters side by side,
// and the unknown piece's own text, are one text, which may be a piece after all, else its bytes, else the unknown id.
func (u *unigram) fused(dst []int32, best []latticeNode, text []byte) []int32 {
	first := len(dst)
	unknown := func(n *latticeNode) bool { return n.id < 0 || n.id == u.unknown }
	for end := len(text); end > 0; {
		n := &best[end]
		start := int(n.start)
		if !unknown(n) {
			dst, end = append(dst, n.id), start
			continue
		}
		for start > 0 && unknown(&best[start]) {
			start = int(best[start].start)
		}
		piece := text[start:end]
		end = start
		switch id := u.find(piece); {
		case id >= 0:
			dst = append(dst, id)
		case u.fallback != nil:
			dst = u.bytesBackward(dst, piece)
		default:
			dst = append(dst, u.unknown)
		}
	}
	slices.Reverse(dst[first:])
	return dst
}

// bytesBackward appends the ids of a text's bytes, the last first.
func (u *unigram) bytesBackward(dst []int32, text []byte) []int32 {
	for _, b := range slices.Backward(text) {
		if b == ' ' && u.marked {
			for _, m := range []byte{spaceMark[2], spaceMark[1], spaceMark[0]} {
				dst = append(dst, u.fallback[m])
			}
			continue
		}
		dst = append(dst, u.fallback[b])
	}
	return dst
}

// find returns the piece with a text, or -1.
func (u *unigram) find(text []byte) int32 {
	node := int32(0)
	for _, b := range text {
		rank, next := u.nodes.find(node, int32(b))
		if rank == noRank {
			return -1
		}
		node = next
	}
	return u.piece[node]
}

// ids appends the ids of the piece text[at:end].
func (u *unigram) ids(s *scratch, dst []int32, text []byte, at, end int) []int32 {
	return s.word(u, dst, text, at, end)
}

// offer takes a way to a place if it is the best so far.
func (u *unigram) offer(n *latticeNode, score float64, start int, id int32) bool {
	if n.start >= 0 && !(score > n.score) {
		return false
	}
	if u.single {
		score = float64(float32(score))
	}
	*n = latticeNode{score, int32(start), id}
	return true
}
