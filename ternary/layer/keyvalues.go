package layer

import "mmfree/ternary/kernel"

// keyPage is the number of tokens by which a cache of keys and values grows; a multiple of kernel.KeyBlock, so that no
// block lies in two pages.
const keyPage = 4 * kernel.KeyBlock

// KeyValues is what attention carries from token to token: the keys, rotated, and the values of each sequence's document
// so far. It grows by pages as tokens come, up to the model's max_position_embeddings, and keeps its pages when reset.
type KeyValues struct {
	batch, heads, width int
	page                int         // tokens of a page
	whole               bool        // of one pass in training: its documents stay side by side
	keys, values        [][]float32 // pages, [batch, heads, page, width]
	length              []int       // tokens of each sequence's document
}

// NewPass returns the memory of a whole training pass over sequences of T tokens: its forward pass leaves keys and values
// there for the backward pass.
func (m *Attention) NewPass(batch, T int) *KeyValues {
	s := &KeyValues{batch: batch, heads: m.KeyHeads, width: m.Width, page: T, whole: true, length: make([]int, batch)}
	s.grow(T)
	return s
}

// NewState returns the state before the first token.
func (m *Attention) NewState(batch int) State {
	return &KeyValues{batch: batch, heads: m.KeyHeads, width: m.Width, page: keyPage, length: make([]int, batch)}
}

// Reset forgets all tokens.
func (s *KeyValues) Reset() { clear(s.length) }

// Copy makes s equal to from, which is of the same model and of the same batch, or of one sequence, which all then go on
// from.
func (s *KeyValues) Copy(from State) {
	o := from.(*KeyValues)
	each := s.heads * s.page * s.width
	s.grow(o.Length())
	for seq := range s.batch {
		source := seq % o.batch
		s.length[seq] = o.length[source]
		for p := range (o.Length() + s.page - 1) / s.page {
			copy(s.keys[p][seq*each:][:each], o.keys[p][source*each:][:each])
			copy(s.values[p][seq*each:][:each], o.values[p][source*each:][:each])
		}
	}
}

// Bytes returns the bytes of the keys and values that are held, without what their pages have to spare.
func (s *KeyValues) Bytes() (n int64) {
	for _, tokens := range s.length {
		n += 2 * 4 * int64(tokens) * int64(s.heads) * int64(s.width)
	}
	return n
}

// Heads returns the number of heads of keys.
func (s *KeyValues) Heads() int { return s.heads }

// Tokens returns the number of tokens that a sequence's document holds.
func (s *KeyValues) Tokens(sequence int) int { return s.length[sequence] }

// Length returns the number of tokens that the longest sequence's document holds.
func (s *KeyValues) Length() (n int) {
	for _, l := range s.length {
		n = max(n, l)
	}
	return n
}

// reach returns the longest document's tokens at any time of a batch behind s.
func (s *KeyValues) reach(b *Batch) (n int) {
	for seq := range b.B {
		length := s.length[seq]
		for t := seq * b.T; t < (seq+1)*b.T; t++ {
			if b.Starts != nil && b.Starts[t] {
				length = 0
			}
			if b.Mask == nil || b.Mask[t] != 0 {
				length++
			}
			n = max(n, length)
		}
	}
	return n
}

// grow makes room for n tokens of each sequence.
func (s *KeyValues) grow(n int) {
	for len(s.keys)*s.page < n {
		size := s.batch * s.heads * s.page * s.width
		s.keys = append(s.keys, make([]float32, size))
		s.values = append(s.values, make([]float32, size))
	}
}

// Block returns keys and values [n, width] of slots [from, from+n) of one sequence and head; the slots lie in one page.
func (s *KeyValues) Block(sequence, head, from, n int) (keys, values []float32) {
	at := ((sequence*s.heads+head)*s.page + from%s.page) * s.width
	p := from / s.page
	return s.keys[p][at:][:n*s.width], s.values[p][at:][:n*s.width]
}
