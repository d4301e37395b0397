package quant

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkTrits(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, 1<<16)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	codes := make([]int8, len(w))
	b.SetBytes(int64(4 * len(w)))
	for b.Loop() {
		Trits(codes, w, 0.8)
	}
}
