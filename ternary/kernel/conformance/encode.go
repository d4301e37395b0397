package conformance

import (
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// encoding compares the packing of trits, and of their transpose, with package pack's: all row counts round a vector's, with and
// without rows of padding, columns that end anywhere in a word and in a pass, and some superblocks alone.
func encoding(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(15, 1))
	for _, R := range []int{1, 16, 31, 32, 48, 64, 127, 128, 129, 160, 288, 320} {
		for _, K := range []int{1, 8, 9, 10, 16, 48, 53, 54, 55, 63, 64, 108, 130} {
			trits, want := matrix(rng, R, K)
			turned := make([]int8, R*K)
			for r := range R {
				for k := range K {
					turned[k*R+r] = trits[r*K+k]
				}
			}
			for _, span := range spans(want) {
				checkEncoding(t, "Encode", set.Encode, trits, want, span)
				checkEncoding(t, "EncodeTransposed", set.EncodeTransposed, turned, want, span)
			}
		}
	}
}

func checkEncoding(t *testing.T, name string, encode func(*pack.Matrix, []int8, int, int), trits []int8, want *pack.Matrix, span [2]int) {
	t.Helper()
	const untouched = 0x7abc // no word of trits
	got := *want
	words := slices.Repeat([]uint16{untouched}, len(want.Words)+6)
	got.Words = words[3 : 3+len(want.Words) : 3+len(want.Words)]
	encode(&got, trits, span[0], span[1])
	first, behind := len(want.Words), len(want.Words) // of the words that are written
	if span[0] < span[1] {
		first, behind = wordsBefore(want, span[0]), wordsBefore(want, span[1])
	}
	for i, w := range words {
		expected := uint16(untouched)
		if at := i - 3; at >= first && at < behind {
			expected = want.Words[at]
		}
		if w != expected {
			t.Fatalf("%s [%d, %d], superblocks %v: word %d is %#04x, want %#04x", name, want.Rows, want.Cols, span, i-3, w, expected)
		}
	}
}

// wordsBefore returns the number of words before superblock s, which may be the one behind the last.
func wordsBefore(m *pack.Matrix, s int) int {
	if s == m.Superblocks() {
		return len(m.Words)
	}
	first, _, _ := m.Superblock(s)
	return first * pack.WordsPerRow(m.Cols)
}
