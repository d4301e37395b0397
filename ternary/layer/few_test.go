package layer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TestFewTokensTogether runs products of several inputs together, one job after another, on so many workers that each
// makes tables and on so many that they share them, and compares each with the kernel's product alone.
func TestFewTokensTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	c := spec.Default()
	c.HiddenSize, c.IntermediateSize = 320, 704
	matrix := func(rows, cols int) *pack.Matrix {
		m := pack.New(rows, cols)
		m.Scale = 0.25
		m.Randomize(rng.Uint64(), 0, m.Superblocks())
		return m
	}
	shapes := []*pack.Matrix{matrix(900, 320), matrix(1500, 320), matrix(700, 704)}
	const most = 9 // tokens: more than any set's Few
	codes := make([]layer.Codes, len(shapes))
	for i, w := range shapes {
		codes[i] = layer.NewCodes(most, w.Cols, false)
		for j := range codes[i].Q {
			codes[i].Q[j] = int8(rng.IntN(255) - 127)
		}
		for j := range codes[i].Out {
			codes[i].Out[j] = rng.Float32()
		}
	}
	for _, set := range kernel.Available() {
		for _, threads := range []int{1, 2, 3, 6} {
			pool := par.New(threads)
			defer pool.Close()
			e := layer.NewEnv(set, pool, c)
			for n := 1; n <= most; n++ {
				products := make([]layer.Product, len(shapes))
				for i, w := range shapes {
					products[i] = layer.Product{Dst: make([]float32, n*w.Rows), W: w, Codes: &codes[i]}
				}
				e.MatMuls(n, products...)
				for i, p := range products {
					want := make([]float32, n*p.W.Rows)
					set.MatMul(want, p.W.Rows, p.W, 0, p.W.Superblocks(), codes[i].Q, codes[i].Out, n)
					same(t, fmt.Sprintf("%s, %d threads, %d tokens, product %d", set.Name, threads, n, i), p.Dst, want)
				}
			}
		}
	}
}
