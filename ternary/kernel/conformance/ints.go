package conformance

import (
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
)

// refOuterInts sums in 64 bits and says whether every sum fits 32.
func refOuterInts(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) (fits bool) {
	fits = true
	for o := o0; o < o1; o++ {
		for block := 0; block < n; block += kernel.IntBlock {
			tokens := min(kernel.IntBlock, n-block)
			g := make([]float32, tokens)
			var top float64
			broken := false
			for t := range g {
				g[t] = mul(a[(block+t)*lda+o], div(1, s[block+t]))
				size := math.Abs(float64(g[t]))
				top = max(top, size)
				broken = broken || math.IsNaN(size) || math.IsInf(size, 0)
			}
			var up, down float32
			if !broken && top > math.Ldexp(1, -100) {
				up = div(32767, float32(top))
				down = div(1, up)
			}
			for k := range K {
				var sum int64
				for t := range g {
					if !broken {
						sum += int64(math.RoundToEven(float64(mul(g[t], up)))) * int64(q[(block+t)*K+k])
					}
				}
				fits = fits && sum == int64(int32(sum))
				term := mul(float32(sum), down)
				if broken {
					term = float32(math.NaN())
				}
				dst[o*K+k] = add(dst[o*K+k], term)
			}
		}
	}
	return fits
}

// OuterInts compares the set's weight gradients from integers with the oracle.
func OuterInts(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(14, 1))
	intTails(t, set, rng)
	intWhole(t, set, rng)
	intTokens(t, set, rng)
	intExtremes(t, set, rng)
	intNothing(t, set, rng)
}

// compareInts runs a range of rows; strides, offsets and what surrounds the result are at odds with every vector.
func compareInts(t *testing.T, set *kernel.Set, rng *rand.Rand, a []float32, lda int, s []float32, q []int8, R, K, n, o0, o1 int, what string) {
	t.Helper()
	o := filled(rng, R*K)
	set.OuterInts(o.got, a, lda, s, q, K, n, o0, o1)
	if !refOuterInts(o.want, a, lda, s, q, K, n, o0, o1) {
		t.Fatalf("OuterInts %d×%d, %d tokens, %s: a sum needs more than 32 bits", R, K, n, what)
	}
	o.check(t, "OuterInts %d×%d, %d tokens, rows [%d, %d), %s", R, K, n, o0, o1, what)
}

// intTails takes every remainder of rows and columns, whole matrices and parts.
func intTails(t *testing.T, set *kernel.Set, rng *rand.Rand) {
	for i := range 150 {
		K, R, n := 1+i%100, 1+rng.IntN(130), 1+rng.IntN(40)
		lda := R + rng.IntN(4)
		o0, o1 := 0, R
		if i%3 > 0 {
			o0 = rng.IntN(R)
			o1 = o0 + rng.IntN(R-o0+1)
		}
		compareInts(t, set, rng, floats(rng, n*lda), lda, positives(rng, n), codes(rng, n*K), R, K, n, o0, o1, "tails")
	}
}

// intWhole takes whole panels, strips and tiles of every set, and a few more.
func intWhole(t *testing.T, set *kernel.Set, rng *rand.Rand) {
	for _, c := range []struct{ R, K, n, o0, o1 int }{
		{16, 64, 64, 0, 16},
		{48, 128, 128, 16, 32},
		{set.IntStrip, 64, 512, 0, set.IntStrip},
		{set.IntStrip + set.IntPanel, 192, 576, 0, set.IntStrip + set.IntPanel},
		{224, 96, 640, 32, 224},
	} {
		lda := c.R + 16*rng.IntN(2)
		compareInts(t, set, rng, floats(rng, c.n*lda), lda, positives(rng, c.n), codes(rng, c.n*c.K), c.R, c.K, c.n, c.o0, c.o1, "whole panels")
	}
}

// intTokens takes numbers of tokens around pairs and blocks, tokens of very different scales, and damaged ones.
func intTokens(t *testing.T, set *kernel.Set, rng *rand.Rand) {
	tokens := []int{255, 256, 257, 510, 511, 512, 513, 514, 1023, 1024, 1025, 1099, 1100}
	for n := 1; n <= 40; n++ {
		tokens = append(tokens, n)
	}
	for i, n := range tokens {
		R, K := 1+rng.IntN(31), 1+rng.IntN(50)
		a, s, q := floats(rng, n*R), positives(rng, n), codes(rng, n*K)
		what := "ordinary"
		switch i % 7 {
		case 1:
			what = "a damaged gradient"
			damaged(rng, a)
		case 2:
			what = "a damaged scale"
			s[rng.IntN(n)] = float32(math.NaN())
		case 3:
			what = "a gradient that overflows when it is divided"
			a[rng.IntN(len(a))] = math.MaxFloat32
			for j := range s {
				s[j] = 0.25
			}
		case 4:
			what = "outliers"
			for range 3 {
				a[rng.IntN(len(a))] *= 1e6
			}
		case 5:
			what = "all NaN"
			for j := range a {
				a[j] = float32(math.NaN())
			}
		}
		compareInts(t, set, rng, a, R, s, q, R, K, n, 0, R, what)
	}
}

// intExtremes goes to the ends of 32 bits: every product has the largest size and one sign.
func intExtremes(t *testing.T, set *kernel.Set, rng *rand.Rand) {
	const R, K = 30, 35
	for _, n := range []int{511, 512, 513, 1100} {
		for _, code := range []int8{127, -127, -128} {
			for _, size := range []float32{1, -1, 3.3e-7, math.MaxFloat32, -0x1.000002p-100} {
				a, s, q := make([]float32, n*R), make([]float32, n), make([]int8, n*K)
				for i := range a {
					a[i] = size
				}
				for i := range s {
					s[i] = 1
				}
				for i := range q {
					if q[i] = code; i%K%3 == 2 { // a neighbouring column of the other sign would show a borrow
						q[i] = -max(code, -127)
					}
				}
				compareInts(t, set, rng, a, R, s, q, R, K, n, 0, R, "the largest sums")
				for i := range a { // halves, whose rounding goes to even
					a[i] = float32(rng.IntN(65535)-32767) * 0.5
				}
				for o := range R {
					a[rng.IntN(min(n, kernel.IntBlock))*R+o] = 32767
				}
				compareInts(t, set, rng, a, R, s, q, R, K, n, 0, R, "halves")
			}
		}
	}
}

// intNothing mixes columns of zeros, of what counts as zero, of denormals and of ordinary values; and calls for no work.
func intNothing(t *testing.T, set *kernel.Set, rng *rand.Rand) {
	small := []float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, -0x1p-126, 0x1p-101, -0x1p-100, 0x1.000002p-100, 1}
	for _, n := range []int{1, 2, 37, 600} {
		const R, K = 33, 34
		a, s, q := make([]float32, n*R), make([]float32, n), codes(rng, n*K)
		for i := range a {
			a[i] = small[i%R%len(small)]
			if rng.IntN(4) == 0 {
				a[i] = 0
			}
		}
		for i := range s {
			s[i] = 1
		}
		compareInts(t, set, rng, a, R, s, q, R, K, n, 0, R, "small columns")
		compareInts(t, set, rng, a, R, s, q, R, K, n, 5, 5, "no rows")
	}
	compareInts(t, set, rng, nil, 3, nil, nil, 3, 4, 0, 0, 3, "no tokens")
}
