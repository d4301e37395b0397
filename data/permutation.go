package data

import "math/bits"

// permutation is a pseudo-random bijection of 0 … n−1 that needs no memory and answers for any index at once, which
// is what makes Seek as cheap as Next: a shuffled table would cost 4 to 8 bytes a window and a full shuffle a seek.
//
// It is a Feistel network over the smallest even number of bits that holds n, walked along its cycle until the value
// falls below n again (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The arithmetic is our own,
// down to the mixer, so that the order never changes with the Go release.
type permutation struct {
	n    uint64
	half uint   // bits in each half
	mask uint64 // of one half
	keys [feistelRounds]uint64
}

const (
	feistelRounds = 6
	// A half of one or two bits leaves a round function with hardly a choice; below 256 windows the walk is the price:
	// 256/n steps on average.
	minHalfBits = 4
)

func newPermutation(n uint64, g *generator) permutation {
	half := max(minHalfBits, uint(bits.Len64(max(n, 1)-1)+1)/2)
	p := permutation{n: n, half: half, mask: 1<<half - 1}
	for i := range p.keys {
		p.keys[i] = g.next()
	}
	return p
}

// at returns the image of i, which must be below n. The walk ends: it follows a cycle of a bijection that i is on.
func (p *permutation) at(i uint64) uint64 {
	for {
		left, right := i>>p.half, i&p.mask
		for _, key := range p.keys {
			left, right = right, left^(mix(right^key)&p.mask)
		}
		if i = left<<p.half | right; i < p.n {
			return i
		}
	}
}

// generator is SplitMix64 (Steele, Lea, Flood 2014): small, well mixed from any state, and frozen here.
type generator struct{ state uint64 }

func (g *generator) next() uint64 {
	g.state += 0x9e3779b97f4a7c15
	return mix(g.state)
}

// mix is the finaliser of SplitMix64, a bijection of 64-bit words.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
