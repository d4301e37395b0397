package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"

	"mmfree/ternary/kernel"
)

// guarded returns a copy of v between two pages that nobody may touch: its end, or its start, lies on their border.
func guarded[T any](t *testing.T, v []T, atEnd bool) []T {
	t.Helper()
	page, size := syscall.Getpagesize(), len(v)*int(unsafe.Sizeof(v[0]))
	inside := (size + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, inside+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	for _, border := range [][]byte{all[:page], all[page+inside:]} {
		if err := syscall.Mprotect(border, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	first := page
	if atEnd {
		first += inside - size
	}
	u := unsafe.Slice((*T)(unsafe.Pointer(&all[first])), len(v))
	copy(u, v)
	return u
}

// TestProductsStayInside: no product reads or writes outside its slices, or the test dies of a fault.
func TestProductsStayInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 1))
	for _, set := range kernel.Available() {
		// Gradients are of the rows from the shape's index on: of the last shape whole panels, as its tokens and columns are whole tiles.
		for i, shape := range [][3]int{{1, 1, 1}, {33, 17, 5}, {96, 53, 3}, {128, 64, 9}, {130, 55, 17}, {259, 130, 33}, {32, 127, 40}, {7 + 48, 128, 64}} {
			for _, atEnd := range []bool{true, false} {
				R, K, n := shape[0], shape[1], shape[2]
				t.Run(fmt.Sprintf("%s/%v/end=%v", set.Name, shape, atEnd), func(t *testing.T) {
					w := randomMatrix(rng, R, K)
					w.Words = guarded(t, w.Words, atEnd)
					x, y := guarded(t, randomCodes(rng, n*K), atEnd), guarded(t, randomFloats(rng, n*K), atEnd)
					dy, s := guarded(t, randomFloats(rng, n*R), atEnd), guarded(t, randomFloats(rng, n), atEnd)
					dst, back := guarded(t, make([]float32, n*R), atEnd), guarded(t, make([]float32, n*K), atEnd)
					dw := guarded(t, make([]float32, R*K), atEnd)
					prepared := guarded(t, make([]int16, kernel.PreparedLen(K)), atEnd)
					one := guarded(t, x[:K], atEnd)
					trits := guarded(t, randomTrits(rng, R*K), atEnd)
					last := w.Superblocks()
					set.MatMul(dst, R, w, 0, last, x, s, n)
					set.MatMul(dst, R, w, last-1, last, x[(n-1)*K:], s[n-1:], 1)
					set.Prepare(prepared, one)
					set.MatVec(dst[(n-1)*R:], w, 0, last, prepared, s[0])
					set.MatMulFloat(dst, R, w, 0, last, y, n, 1)
					set.OuterCodes(dw, dy, R, s, x, K, n, 0, R)
					set.OuterFloat(dw, dy, R, nil, y, K, n, i%R, R)
					set.OuterInts(dw, dy, R, s, x, K, n, i%R, R)
					set.Dense(dst, R, dw, y, K, n, 0, R)
					set.DenseTransposed(back, dw, dy, R, K, n)
					set.Encode(w, trits, 0, last)
					set.EncodeTransposed(w, trits, 0, last)
				})
			}
		}
	}
}
