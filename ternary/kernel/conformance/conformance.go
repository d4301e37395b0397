package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// Run compares every routine of the set with the oracle.
func Run(t *testing.T, set *kernel.Set) {
	if set.Tile < 1 {
		t.Fatalf("Tile is %d", set.Tile)
	}
	for name, test := range map[string]func(*testing.T, *kernel.Set){
		"MatMul": MatMul, "MatMulExtremes": matMulExtremes, "MatMulFloat": matMulFloat, "Outer": outer, "OuterInts": OuterInts, "Dense": dense,
		"Norms": norms, "Recurrence": recurrence, "Gates": gates, "TimeMixing": timeMixing, "Loss": loss, "Weights": weights, "Encoding": encoding, "AdamW": adamW, "Edges": edges, "Functions": functions, "Attention": attention,
	} {
		t.Run(name, func(t *testing.T) { test(t, set) })
	}
}

// canary fills outputs before a call: a finite value that no routine makes by chance.
var canary = math.Float32frombits(0x7f7fabcd)

// rowCounts cover every tail of the packed layout's superblocks; token counts to maxTokens every tail of a kernel's token
// tile, those to someTokens, in all combinations with row counts, the tails of small ones.
var rowCounts = []int{1, 31, 32, 33, 127, 128, 129, 300, 700}

const (
	someTokens = 17
	maxTokens  = 67
)

// shape is one product: R rows, K columns, n tokens.
type shape struct{ R, K, n int }

// shapes returns every K to 260, every token count, most with every row count, and lengths around the blocks of words.
func shapes() []shape {
	var list []shape
	for K := 1; K <= 260; K++ {
		list = append(list, shape{rowCounts[K%7], K, 1 + K%someTokens})
	}
	for i, R := range rowCounts {
		for n := 1; n <= someTokens; n++ {
			list = append(list, shape{R, 49 + i + n, n})
		}
	}
	for n := someTokens + 1; n <= maxTokens; n++ {
		list = append(list, shape{rowCounts[n%7], 20 + n, n})
	}
	for i, K := range []int{377, 378, 379, 504, 755, 756, 757, 1000, 1513, 2600} {
		list = append(list, shape{rowCounts[(i+3)%9], K, 1 + 5*i%someTokens})
	}
	// More than a thousand rows and several passes of columns: kernels that keep sums of a part of the rows start again.
	return append(list, shape{1200, 60, 3}, shape{1100, 120, 14}, shape{1058, 110, 35}, shape{33, 4703, 2})
}

// out is an output buffer in two copies, for the set and for the oracle, with room around it. It starts at an odd offset,
// because no caller promises alignment.
type out struct{ got, want, gotAll, wantAll []float32 }

func newOut(rng *rand.Rand, n int) out {
	offset := 1 + rng.IntN(18)
	o := out{gotAll: make([]float32, offset+n+19), wantAll: make([]float32, offset+n+19)}
	for i := range o.gotAll {
		o.gotAll[i], o.wantAll[i] = canary, canary
	}
	o.got, o.want = o.gotAll[offset:][:n], o.wantAll[offset:][:n]
	return o
}

// filled is newOut with equal random contents, for outputs that are added to.
func filled(rng *rand.Rand, n int) out {
	o := newOut(rng, n)
	copy(o.got, floats(rng, n))
	copy(o.want, o.got)
	return o
}

// check compares both copies with their surroundings, bit for bit; all NaN are equal.
func (o out) check(t *testing.T, format string, args ...any) {
	t.Helper()
	for i, w := range o.wantAll {
		if g := o.gotAll[i]; !same(g, w) {
			inside := i - (cap(o.wantAll) - cap(o.want))
			t.Fatalf("%s: value %d of %d is %v (%#08x), want %v (%#08x)", fmt.Sprintf(format, args...), inside, len(o.want),
				g, math.Float32bits(g), w, math.Float32bits(w))
		}
	}
}

func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || (a != a && b != b)
}

func checkSame(t *testing.T, what string, got, want float32) {
	t.Helper()
	if !same(got, want) {
		t.Fatalf("%s is %v (%#08x), want %v (%#08x)", what, got, math.Float32bits(got), want, math.Float32bits(want))
	}
}

// floats returns normal values of many magnitudes, with some zeros of both signs and denormals among them, at an odd offset.
func floats(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n+1)[1:]
	size := math.Ldexp(1, rng.IntN(9)-4)
	for i := range x {
		switch rng.IntN(24) {
		case 0:
			x[i] = 0
		case 1:
			x[i] = float32(math.Copysign(0, -1))
		case 2:
			x[i] = math.Float32frombits(rng.Uint32() & 0x807fffff)
		case 3:
			x[i] = float32(rng.NormFloat64() * size * 100)
		default:
			x[i] = float32(rng.NormFloat64() * size)
		}
	}
	return x
}

func positives(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n+1)[1:]
	for i := range x {
		x[i] = float32(math.Ldexp(0.1+rng.Float64(), rng.IntN(7)-3))
	}
	return x
}

// damaged returns x with one NaN or infinity.
func damaged(rng *rand.Rand, x []float32) []float32 {
	bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
	x[rng.IntN(len(x))] = bad[rng.IntN(3)]
	return x
}

func codes(rng *rand.Rand, n int) []int8 {
	x := make([]int8, n+1)[1:]
	for i := range x {
		if x[i] = int8(rng.IntN(255) - 127); rng.IntN(8) == 0 {
			x[i] = 127
		}
	}
	return x
}

// matrix returns random trits and the same packed, the words at an offset that is no multiple of a vector.
func matrix(rng *rand.Rand, R, K int) ([]int8, *pack.Matrix) {
	trits := make([]int8, R*K)
	for i := range trits {
		trits[i] = int8(rng.IntN(3) - 1)
	}
	return trits, packed(trits, R, K)
}

func packed(trits []int8, R, K int) *pack.Matrix {
	m := pack.New(R, K)
	m.Words = append(make([]uint16, 3, 3+len(m.Words)), m.Words...)[3:]
	m.Encode(trits, 0, m.Superblocks())
	return m
}

// spans returns the ranges of superblocks to try: all, and where there are several also parts.
func spans(m *pack.Matrix) [][2]int {
	n := m.Superblocks()
	list := [][2]int{{0, n}}
	if n > 1 {
		list = append(list, [2]int{0, 1}, [2]int{n - 1, n}, [2]int{1, n}, [2]int{1, 1})
	}
	return list
}
