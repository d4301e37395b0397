package conformance

import (
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// MatMul compares products of codes alone.
func MatMul(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range shapes() {
		trits, w := matrix(rng, s.R, s.K)
		compareMatMul(t, set, rng, trits, w, codes(rng, s.n*s.K), positives(rng, s.n), s.n)
	}
	// A token whose scale is NaN gives NaN, and the others are as ever.
	trits, w := matrix(rng, 129, 50)
	scale := positives(rng, maxTokens)
	scale[1], scale[9] = float32(math.NaN()), float32(math.NaN())
	compareMatMul(t, set, rng, trits, w, codes(rng, maxTokens*50), scale, maxTokens)
}

// compareMatMul runs MatMul over several row ranges and strides, and MatVec for the first token.
func compareMatMul(t *testing.T, set *kernel.Set, rng *rand.Rand, trits []int8, w *pack.Matrix, x []int8, scale []float32, n int) {
	t.Helper()
	for _, span := range spans(w) {
		r0, r1 := span[0]*pack.SuperblockRows, span[1]*pack.SuperblockRows
		ldd := w.Rows + rng.IntN(3)
		o := newOut(rng, (n-1)*ldd+w.Rows)
		set.MatMul(o.got, ldd, w, span[0], span[1], x, scale, n)
		refMatMul(o.want, ldd, trits, w.Rows, w.Cols, r0, r1, x, scale, n)
		o.check(t, "MatMul [%d, %d], %d tokens, superblocks %v", w.Rows, w.Cols, n, span)

		v := newOut(rng, w.Rows)
		prepared := make([]int16, kernel.PreparedLen(w.Cols)+5)
		for i := range prepared {
			prepared[i] = 0x7abc // what Prepare leaves alone must not be read
		}
		set.Prepare(prepared[2:][:kernel.PreparedLen(w.Cols)], x[:w.Cols])
		for _, i := range []int{0, 1, len(prepared) - 1, len(prepared) - 2, len(prepared) - 3} {
			if prepared[i] != 0x7abc {
				t.Fatalf("Prepare of %d columns wrote outside its buffer", w.Cols)
			}
		}
		set.MatVec(v.got, w, span[0], span[1], prepared[2:], scale[0])
		refMatMul(v.want, w.Rows, trits, w.Rows, w.Cols, r0, r1, x, scale, 1)
		v.check(t, "MatVec [%d, %d], superblocks %v", w.Rows, w.Cols, span)

		compareMatVecFew(t, set, rng, trits, w, x, scale, min(n, set.Few), span)
	}
}

// compareMatVecFew prepares the tokens in two parts, the second first.
func compareMatVecFew(t *testing.T, set *kernel.Set, rng *rand.Rand, trits []int8, w *pack.Matrix, x []int8, scale []float32, n int, span [2]int) {
	t.Helper()
	size := n * kernel.PreparedLen(w.Cols)
	prepared := make([]int16, size+5)
	for i := range prepared {
		prepared[i] = 0x7abc
	}
	nw := pack.WordsPerRow(w.Cols)
	cut := rng.IntN(nw)
	set.PrepareFew(prepared[2:][:size], x, w.Cols, n, cut, nw)
	if cut > 0 {
		set.PrepareFew(prepared[2:][:size], x, w.Cols, n, 0, cut)
	}
	for _, i := range []int{0, 1, len(prepared) - 1, len(prepared) - 2, len(prepared) - 3} {
		if prepared[i] != 0x7abc {
			t.Fatalf("PrepareFew of %d columns, %d tokens, wrote outside its buffer", w.Cols, n)
		}
	}
	ldd := w.Rows + rng.IntN(3)
	o := newOut(rng, (n-1)*ldd+w.Rows)
	set.MatVecFew(o.got, ldd, w, span[0], span[1], prepared[2:], scale, n)
	refMatMul(o.want, ldd, trits, w.Rows, w.Cols, span[0]*pack.SuperblockRows, span[1]*pack.SuperblockRows, x, scale, n)
	o.check(t, "MatVecFew [%d, %d], %d tokens, superblocks %v", w.Rows, w.Cols, n, span)
}

// matMulExtremes makes the sums as large as they get: 16-bit lanes that are emptied too late overflow here.
func matMulExtremes(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(2, 1))
	tokens := [...]int{maxTokens, 16, 8}
	for i, K := range []int{3, 54, 126, 252, 255, 256, 257, 270, 504, 756, 765, 1021, 2600, 4608, 4700, 9500} {
		for j, weight := range []int8{1, -1, 0} {
			for l, code := range []int8{127, -127, -128} {
				R, n := 128, tokens[(i+j+l)%len(tokens)]
				if K > 4000 { // sums of words that are widened late, if at all
					R, n = 33, min(n, 17)
				}
				trits, x, scale := make([]int8, R*K), make([]int8, n*K), make([]float32, n)
				for i := range trits {
					trits[i] = weight
				}
				for i := range x {
					if x[i] = code; i/K%3 == 2 { // neighbouring lanes of the opposite sign would show a borrow
						x[i] = -max(code, -127)
					}
				}
				for i := range scale {
					scale[i] = 1
				}
				compareMatMul(t, set, rng, trits, packed(trits, R, K), x, scale, n)
			}
		}
	}
}

func matMulFloat(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(3, 1))
	for i, s := range shapes() {
		trits, w := matrix(rng, s.R, s.K)
		y := floats(rng, s.n*s.K)
		if i%10 == 3 {
			damaged(rng, y)
		}
		for _, span := range spans(w) {
			ldd := s.R + rng.IntN(3)
			o := newOut(rng, (s.n-1)*ldd+s.R)
			scale := float32(rng.Float64())
			set.MatMulFloat(o.got, ldd, w, span[0], span[1], y, s.n, scale)
			refMatMulFloat(o.want, ldd, trits, s.R, s.K, span[0]*pack.SuperblockRows, span[1]*pack.SuperblockRows, y, s.n, scale)
			o.check(t, "MatMulFloat [%d, %d], %d tokens, superblocks %v", s.R, s.K, s.n, span)
		}
	}
}

func outer(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(4, 1))
	tokens := []int{1, 2, 3, 15, 16, 17, 255, 256, 257, 513}
	widths := []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 50, 64, 65}
	for i := range 96 {
		K, R, n := widths[i%len(widths)], 1+rng.IntN(75), tokens[i%len(tokens)]
		if i%24 == 23 { // more rows than are packed at a time
			R = 283
		}
		lda := R + rng.IntN(4)
		a, s, q := floats(rng, n*lda), positives(rng, n), codes(rng, n*K)
		x := make([]float32, n*K)
		for j, v := range q {
			x[j] = float32(v)
		}
		o0 := rng.IntN(R)
		o1 := o0 + rng.IntN(R-o0+1)
		if i%3 == 0 {
			o0, o1 = 0, R
		}
		if i%11 == 7 {
			s[rng.IntN(n)] = float32(math.NaN())
		}
		o := filled(rng, R*K)
		set.OuterCodes(o.got, a, lda, s, q, K, n, o0, o1)
		refOuter(o.want, a, lda, s, x, K, n, o0, o1)
		o.check(t, "OuterCodes %d×%d, %d tokens, rows [%d, %d)", R, K, n, o0, o1)

		x = floats(rng, n*K)
		if i%2 == 1 {
			s = nil
		}
		o = filled(rng, R*K)
		set.OuterFloat(o.got, a, lda, s, x, K, n, o0, o1)
		refOuter(o.want, a, lda, s, x, K, n, o0, o1)
		o.check(t, "OuterFloat %d×%d, %d tokens, rows [%d, %d)", R, K, n, o0, o1)
	}
}

func dense(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(5, 1))
	for K := 1; K <= 262; K++ {
		R, n := 1+rng.IntN(40), 1+rng.IntN(19)
		if K > 260 { // several blocks of the sum, and more tokens than are packed at a time
			R, n = 258+K%2, 283
		}
		w, x := floats(rng, R*K), floats(rng, n*K)
		r0 := rng.IntN(R)
		r1 := r0 + rng.IntN(R-r0+1)
		ldd := R + rng.IntN(3)
		o := newOut(rng, (n-1)*ldd+R)
		set.Dense(o.got, ldd, w, x, K, n, r0, r1)
		refDense(o.want, ldd, w, x, K, n, r0, r1)
		o.check(t, "Dense [%d, %d], %d tokens, rows [%d, %d)", R, K, n, r0, r1)

		y := floats(rng, n*R)
		o = newOut(rng, n*K)
		set.DenseTransposed(o.got, w, y, R, K, n)
		refDenseTransposed(o.want, w, y, R, K, n)
		o.check(t, "DenseTransposed [%d, %d], %d tokens", R, K, n)
	}
}
