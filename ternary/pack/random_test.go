package pack_test

import (
	"slices"
	"testing"

	"mmfree/ternary/pack"
)

// TestRandomize: whatever the shape, the words are ones that a file may hold, all trits occur alike, and cutting the work
// changes nothing.
func TestRandomize(t *testing.T) {
	for _, s := range [][2]int{{1, 1}, {33, 10}, {129, 26}, {300, 31}, {512, 90}} {
		R, K := s[0], s[1]
		m, cut := pack.New(R, K), pack.New(R, K)
		m.Randomize(7, 0, m.Superblocks())
		for b := m.Superblocks() - 1; b >= 0; b-- {
			cut.Randomize(7, b, b+1)
		}
		if !slices.Equal(m.Words, cut.Words) {
			t.Errorf("[%d, %d]: a cut changes words", R, K)
		}
		if _, err := pack.FromWords(R, K, 1, m.Words); err != nil {
			t.Errorf("[%d, %d]: %v", R, K, err)
		}
		cut.Randomize(8, 0, cut.Superblocks())
		if R*K > 100 && slices.Equal(m.Words, cut.Words) {
			t.Errorf("[%d, %d]: two seeds, one matrix", R, K)
		}
		var count [3]int
		trits := make([]int8, R*K)
		m.Decode(trits, 0, m.Superblocks())
		for _, v := range trits {
			count[v+1]++
		}
		for v, n := range count {
			if share := float64(n) / float64(R*K); R*K > 5000 && (share < 0.3 || share > 0.37) {
				t.Errorf("[%d, %d]: %.3f of the trits are %d", R, K, share, v-1)
			}
		}
	}
}
