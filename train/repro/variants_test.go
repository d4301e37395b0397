package repro

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
)

func randoms(g *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(g.NormFloat64())
	}
	return x
}

// Without a change the variant is the MLGRU, forward and backward, and every variant's gradients are its differences'.
func TestVariants(t *testing.T) {
	const T, D = 5, 4
	g := rand.New(rand.NewPCG(1, 2))
	i, z, weights := randoms(g, T*D), randoms(g, T*D), randoms(g, T*D)
	bound := []float32{0.1, 0.3, 0, 0.7}
	plain := kernel.Generic()
	states, same := make([]float32, T*D), make([]float32, T*D)
	plain.Recurrence(states, make([]float32, D), i, z, bound, nil, T, D, 0, D)
	mixerVariant{}.recurrence(same, make([]float32, D), i, z, bound, nil, T, D, 0, D)
	for j := range states {
		if math.Abs(float64(states[j]-same[j])) > 1e-6 {
			t.Fatalf("the MLGRU itself: %v, want %v", same[j], states[j])
		}
	}
	for name, v := range map[string]mixerVariant{
		"none": {}, "fixed": {forget: 0.9}, "tanh": {tanh: true}, "untied": {untied: true},
	} {
		loss := func() (sum float64) {
			s := make([]float32, T*D)
			v.recurrence(s, make([]float32, D), i, z, bound, nil, T, D, 0, D)
			for j, x := range s {
				sum += float64(x) * float64(weights[j])
			}
			return sum
		}
		s := make([]float32, T*D)
		v.recurrence(s, make([]float32, D), i, z, bound, nil, T, D, 0, D)
		di, dz, db := make([]float32, T*D), make([]float32, T*D), make([]float32, D)
		v.recurrenceBackward(di, dz, db, weights, s, make([]float32, D), i, z, bound, nil, T, D, 0, D)
		compare(t, name+" di", i, di, loss)
		compare(t, name+" dz", z, dz, loss)
		compare(t, name+" dbound", bound, db, loss)
	}
	for name, v := range map[string]mixerVariant{"none": {}, "no gate": {noGate: true}, "sigmoid": {sigmoid: true}} {
		gate, back := v.outputGate(plain), v.outputGateBackward(plain)
		gs, ss, gain, da := randoms(g, 8), randoms(g, 8), randoms(g, 8), randoms(g, 8)
		loss := func() (sum float64) {
			out := make([]float32, 8)
			gate(out, gs, ss, gain, 1e-6)
			for j, x := range out {
				sum += float64(x) * float64(da[j])
			}
			return sum
		}
		out := make([]float32, 8)
		r := gate(out, gs, ss, gain, 1e-6)
		dg, ds, dgain := make([]float32, 8), make([]float32, 8), make([]float32, 8)
		back(dg, ds, dgain, da, gs, ss, gain, r)
		compare(t, name+" dg", gs, dg, loss)
		compare(t, name+" ds", ss, ds, loss)
		compare(t, name+" dgain", gain, dgain, loss)
	}
}

// compare holds a gradient against central differences.
func compare(t *testing.T, name string, x, got []float32, loss func() float64) {
	t.Helper()
	const h = 1.0 / 128
	for j := range x {
		was := x[j]
		x[j] = was + h
		up := loss()
		x[j] = was - h
		down := loss()
		x[j] = was
		if want := (up - down) / (2 * h); math.Abs(want-float64(got[j])) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%s[%d]: %v, want %v", name, j, got[j], want)
		}
	}
}

func TestRounding(t *testing.T) {
	x := []float32{1, -0.5, 0.003, 0}
	powerOfTwo(x) // step 1/64: the power of two behind 1/127
	for i, want := range []float32{1, -0.5, 0, 0} {
		if x[i] != want {
			t.Errorf("power of two: %v", x)
		}
	}
	y := []float32{127, -63.4, 0.4, 1.5}
	roundTo(y, 8, largestMagnitude(y))
	for i, want := range []float32{127, -63, 0, 2} {
		if y[i] != want {
			t.Errorf("8 bits: %v", y)
		}
	}
}

// A scale a tensor is learnt in one pass and clamps in the next; tensors of other parts have others.
func TestRoundingByTensor(t *testing.T) {
	plain := func() *kernel.Set {
		return &kernel.Set{RMSNorm: func(dst, x, gain []float32, eps float32) float32 { copy(dst, x); return 1 }}
	}
	a := &activations{bits: 8, most: map[tensorAt]float64{}}
	row := make([]float32, 3)
	pass := func(part int, x ...float32) []float32 {
		s := plain()
		a.install(s)
		a.enter(part, nil)
		s.RMSNorm(row, x, nil, 0)
		return row
	}
	if got := pass(0, 127, 0.4, -3); got[1] != 0.4 {
		t.Errorf("rounded while learning: %v", got)
	}
	pass(0, -2, 0, 0)
	pass(1, 1, 0, 0)
	a.known = true
	for part, want := range [][]float32{{127, -126, 1}, {1, -1, 1}, {0, 0, 0}} { // the last one was never seen
		got := pass(part, 500, -126.4, 0.997)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("part %d: %v, want %v", part, got, want)
			}
		}
	}
}

// The table is the sigmoid to what a line over an interval of 1 can be off, h²/8 times the largest curvature, and its tail.
func TestSigmoidTable(t *testing.T) {
	s := newSigmoidTable()
	const most = 1.0/8*0.0963 + 1.0/sigmoidIn/2/4 + 1.0/sigmoidOut
	worst, before := 0.0, float32(-1)
	for i := -20 * 1024; i <= 20*1024; i++ {
		x := float64(i) / 1024
		y := s.at(float32(x))
		worst = max(worst, math.Abs(float64(y)-1/(1+math.Exp(-x))))
		if y < before {
			t.Fatalf("σ falls at %v", x)
		}
		if y+s.at(float32(-x)) != 1 {
			t.Fatalf("σ(%v) + σ(%v) is not 1", x, -x)
		}
		before = y
	}
	if worst > most || worst < most/2 {
		t.Errorf("off by up to %v, a table of 8 by about %v", worst, most)
	}
	inf := float32(math.Inf(1))
	if s.at(0) != 0.5 || s.at(inf) != s.at(7) || s.at(-inf) != 1-s.at(7) || s.at(float32(math.NaN())) == s.at(float32(math.NaN())) {
		t.Errorf("%v %v %v %v", s.at(0), s.at(inf), s.at(-inf), s.at(float32(math.NaN())))
	}
}

// Five Newton steps reach the root of the rounded input from every guess of the table, at both ends of its interval, to the
// last bits of the integer that holds it.
func TestIntegerRoot(t *testing.T) {
	r := newIntegerRoot()
	check := func(n float64) {
		t.Helper()
		want := math.Sqrt(rootIn / n)
		if got := float64(r.of(float32(n / rootIn))); math.Abs(got/want-1) > 3*math.Sqrt(n)/(1<<rootOut)+1e-7 {
			t.Errorf("1/√(%v/4096) is %v, want %v", n, got, want)
		}
	}
	for bit := range rootBits {
		check(math.Exp2(float64(bit)))
		check(math.Exp2(float64(bit+1)) - 1)
		check(math.Floor(math.Exp2(float64(bit)) * 1.37))
	}
	for x, n := range map[float32]float64{0: 1, 1e-6: 1, 1e-3: 4, 1e9: 1<<rootBits - 1} { // an epsilon of 1e-6 is lost
		if got, want := r.of(x), math.Sqrt(rootIn/n); math.Abs(float64(got)/want-1) > 1e-5 {
			t.Errorf("1/√%v is %v, want %v", x, got, want)
		}
	}
	if nan := r.of(float32(math.NaN())); nan == nan {
		t.Errorf("NaN became %v", nan)
	}
}

// Sets with the table or the integer root compute what the plain set does, but for what these are off by.
func TestFixedPointSets(t *testing.T) {
	const T, D = 3, 64
	g := rand.New(rand.NewPCG(3, 4))
	i, z, s, gain := randoms(g, T*D), randoms(g, T*D), randoms(g, D), randoms(g, D)
	run := func(change func(*kernel.Set)) (out [][]float32) {
		set := *kernel.Generic()
		if change != nil {
			change(&set)
		}
		states, gated, wide, normed, codes := make([]float32, T*D), make([]float32, D), make([]float32, D), make([]float32, D), make([]int8, D)
		set.Recurrence(states, make([]float32, D), i, z, nil, nil, T, D, 0, D)
		set.OutputGate(gated, i[:D], s, gain, 1e-6)
		set.SwiGLU(wide, i[:D], z[:D])
		set.RMSNorm(normed, i[:D], gain, 1e-6)
		_, scale := set.NormQuantize(codes, i[:D], gain, 1e-6, false)
		coded := make([]float32, D)
		for j, q := range codes {
			coded[j] = float32(q) / scale
		}
		return [][]float32{states, gated, wide, normed, coded}
	}
	plain := run(nil)
	for name, c := range map[string]struct {
		change func(*kernel.Set)
		off    float64
		same   []int // of what it does not touch
	}{
		"table": {tabulatedGates, 0.2, []int{3, 4}},
		"root":  {integerNorms, 1e-3, []int{0, 2}},
	} {
		got := run(c.change)
		var total float64
		for k := range plain {
			for j := range plain[k] {
				d := math.Abs(float64(got[k][j] - plain[k][j]))
				total += d
				if d > c.off || slices.Contains(c.same, k) && d != 0 {
					t.Fatalf("%s: result %d, value %d is %v, plainly %v", name, k, j, got[k][j], plain[k][j])
				}
			}
		}
		if total == 0 {
			t.Errorf("%s changes nothing", name)
		}
	}
}
