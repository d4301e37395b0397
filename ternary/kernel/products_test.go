package kernel_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// productCall calls each product of a set once, on shapes that are multiples of nothing, and returns all results.
func productCall(set *kernel.Set) func() []float32 {
	rng := rand.New(rand.NewPCG(7, 1))
	const R, K, n = 290, 130, 37
	w := randomMatrix(rng, R, K)
	x, y, dy, s := randomCodes(rng, n*K), randomFloats(rng, n*K), randomFloats(rng, n*R), randomFloats(rng, n)
	prepared := make([]int16, kernel.PreparedLen(K))
	dst := make([]float32, 2*n*R+R+R*K)
	trits, packed := make([]int8, R*K), pack.New(R, K)
	sums, few, one, floats, dw := dst[:n*R], dst[:9*R], dst[n*R:][:R], dst[n*R+R:][:n*R], dst[2*n*R+R:]
	return func() []float32 {
		set.MatMul(few, R, w, 0, w.Superblocks(), x, s, 9)
		set.MatMul(few, R, w, 0, w.Superblocks(), x, s, 3)
		set.MatMul(sums, R, w, 0, w.Superblocks(), x, s, n)
		set.Prepare(prepared, x[:K])
		set.MatVec(one, w, 0, w.Superblocks(), prepared, s[0])
		set.MatMulFloat(floats, R, w, 0, w.Superblocks(), y, n, 0.5)
		set.Encode(packed, trits, 0, packed.Superblocks())
		set.EncodeTransposed(packed, trits, 0, packed.Superblocks())
		clear(dw)
		set.OuterCodes(dw, dy, R, s, x, K, n, 0, R)
		set.OuterFloat(dw, dy, R, nil, y, K, n, 0, R)
		set.OuterInts(dw, dy, R, s, x, K, n, 0, R)
		return dst
	}
}

func TestProductsAllocateNothing(t *testing.T) {
	for _, set := range kernel.Available() {
		call := productCall(set)
		if got := testing.AllocsPerRun(5, func() { call() }); got != 0 {
			t.Errorf("%s: %v allocations", set.Name, got)
		}
	}
}

// TestProductsAtOnce: calls at the same time do not share scratch memory.
func TestProductsAtOnce(t *testing.T) {
	for _, set := range kernel.Available() {
		want := slices.Clone(productCall(kernel.Generic())())
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				call := productCall(set)
				for range 10 {
					if !slices.Equal(call(), want) {
						t.Errorf("%s: several calls at once give other results", set.Name)
						return
					}
				}
			})
		}
		group.Wait()
	}
}
