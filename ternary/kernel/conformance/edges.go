package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
)

// extremes returns the values at which float32 or the exponential changes its manner, with their neighbours, both signs.
func extremes() []float32 {
	var list []float32
	for _, v := range []float32{
		0, math.SmallestNonzeroFloat32, 0x1p-126, 1e-38, 1e-20, 1.1920929e-7, 0.25, 0.34657359, 0.5, 1, 1.5, 2, 3, 7.5, 14.5, 15.5, 16.6, 63.5,
		87.33654, 88.02969, 88.72283, 103.97208, 127, 1e4, 1e19, 3e38, math.MaxFloat32,
	} {
		b := math.Float32bits(v)
		for _, near := range []uint32{b, b + 1, b - 1} {
			if v == 0 && near != b {
				continue
			}
			list = append(list, math.Float32frombits(near), -math.Float32frombits(near))
		}
	}
	return append(list, float32(math.NaN()), -float32(math.NaN()), math.Float32frombits(0x7f800001))
}

// sweepStep is the distance of the bit patterns tried. With 1, every float32, both widths of amd64 passed in under two
// minutes each.
const sweepStep = 1021

// functions compares e^x and silu with package f32 over all of float32, and patterns around the ends of their ranges and of
// the table's parts one by one.
func functions(t *testing.T, set *kernel.Set) {
	const n = 1 << 12
	x, e, s, ones := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	sweep := func(from, step uint64) {
		for i := range x {
			x[i] = math.Float32frombits(uint32(from + uint64(i)*step))
		}
		copy(e, x)
		set.SoftmaxGradient(e, 0, 1, -1, 1)
		set.SwiGLU(s, x, ones)
		for i, v := range x {
			if want := f32.Exp(v); !same(e[i], want) {
				t.Fatalf("e^%v (%#08x) is %v (%#08x), want %v (%#08x)", v, math.Float32bits(v), e[i], math.Float32bits(e[i]), want, math.Float32bits(want))
			}
			if want := f32.Silu(v); !same(s[i], want) {
				t.Fatalf("silu(%v) (%#08x) is %v (%#08x), want %v (%#08x)", v, math.Float32bits(v), s[i], math.Float32bits(s[i]), want, math.Float32bits(want))
			}
		}
	}
	for from := uint64(0); from < 1<<32; from += n * sweepStep {
		sweep(from, sweepStep)
	}
	for _, end := range []float32{-87.33654, -103.97208, 88.02969, 88.72283, 0, 1, -1, 0.5, -1.5, -7.5, -14.5, 15.5, -15.5} {
		sweep(uint64(math.Float32bits(end))-n/2, 1)
	}
}

// extremeRow returns n values from extremes; every other row is mostly ordinary values, or NaN would be everywhere.
func extremeRow(rng *rand.Rand, n, round int) []float32 {
	x, list := floats(rng, n), extremes()
	for j := range x {
		if round%2 == 0 || rng.IntN(40) == 0 {
			x[j] = list[rng.IntN(len(list))]
		}
	}
	return x
}

// copies is newOut that holds x twice.
func copies(rng *rand.Rand, x []float32) out {
	o := newOut(rng, len(x))
	copy(o.got, x)
	copy(o.want, x)
	return o
}

// pairs compares the routines of two operands for every pair of extremes.
func pairs(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(12, 1))
	list := extremes()
	n := len(list) * len(list)
	p, q := make([]float32, n), make([]float32, n)
	for j := range p {
		p[j], q[j] = list[j/len(list)], list[j%len(list)]
	}
	d := extremeRow(rng, n, 1)
	z, dp, dq := newOut(rng, n), newOut(rng, n), newOut(rng, n)
	set.SwiGLU(z.got, p, q)
	refSwiGLU(z.want, p, q)
	z.check(t, "SwiGLU of extremes")
	set.SwiGLUBackward(dp.got, dq.got, d, p, q)
	refSwiGLUBackward(dp.want, dq.want, d, p, q)
	dp.check(t, "SwiGLUBackward's dp of extremes")
	dq.check(t, "SwiGLUBackward's dq of extremes")
	set.Add(z.got, p, q)
	for j := range p {
		z.want[j] = add(p[j], q[j])
	}
	z.check(t, "Add of extremes")
}

// edges compares rows of extremes, rows longer than a vector kernel may take at once, and scalars out of the ordinary.
func edges(t *testing.T, set *kernel.Set) {
	pairs(t, set)
	rng := rand.New(rand.NewPCG(13, 1))
	for round := range 60 {
		n := 1 + rng.IntN(200)
		if round >= 50 {
			n = []int{4096, 8191, 8192, 8193, 8256, 16384, 16385, 16448, 20001, 32000}[round-50]
		}
		what := fmt.Sprintf("row %d of %d", round, n)
		edgeNorms(t, set, rng, n, round, what)
		edgeGates(t, set, rng, n, round, what)
		edgeLoss(t, set, rng, n, round, what)
		checkWeights(t, set, extremeRow(rng, n, round), 0.5, what)
		edgeAdamW(t, set, rng, n, round, what)
	}
	for round := range 40 {
		edgeRecurrence(t, set, rng, round)
	}
}

func edgeNorms(t *testing.T, set *kernel.Set, rng *rand.Rand, n, round int, what string) {
	x, gain, dy := extremeRow(rng, n, round), extremeRow(rng, n, round/2), extremeRow(rng, n, round/4)
	if round%5 == 0 {
		for j := range x { // a row whose squares sum to 0, so that without epsilon r is infinite
			x[j] *= 0
		}
	}
	eps := []float32{0, 1e-8, 1e-6}[round%3]
	o := newOut(rng, n)
	r := refRMSNorm(o.want, x, gain, eps)
	checkSame(t, "RMSNorm's r, "+what, set.RMSNorm(o.got, x, gain, eps), r)
	o.check(t, "RMSNorm, %s", what)
	for _, away := range []bool{false, true} {
		got, want := make([]int8, n), make([]int8, n)
		gr, gs := set.NormQuantize(got, x, gain, eps, away)
		wr, ws := refNormQuantize(want, x, gain, eps, away)
		checkSame(t, "NormQuantize's r, "+what, gr, wr)
		checkSame(t, "NormQuantize's s, "+what, gs, ws)
		if !slices.Equal(got, want) {
			t.Fatalf("NormQuantize, %s, away %v: codes %v, want %v", what, away, got, want)
		}
	}
	inf := float32(math.Inf(1))
	for _, r := range []float32{r, 0, 1e-30, 1e30, inf, float32(math.NaN())} {
		for _, accumulate := range []bool{false, true} {
			dx, dgain := copies(rng, extremeRow(rng, n, round+1)), copies(rng, extremeRow(rng, n, round+1))
			set.RMSNormBackward(dx.got, dgain.got, dy, x, gain, r, accumulate)
			refRMSNormBackward(dx.want, dgain.want, dy, x, gain, r, accumulate)
			dx.check(t, "RMSNormBackward's dx, r %v, add %v, %s", r, accumulate, what)
			dgain.check(t, "RMSNormBackward's dgain, r %v, %s", r, what)
		}
	}
}

func edgeGates(t *testing.T, set *kernel.Set, rng *rand.Rand, n, round int, what string) {
	g, s, gain, da := floats(rng, n), extremeRow(rng, n, round), floats(rng, n), extremeRow(rng, n, 1)
	if round%3 == 0 {
		g = extremeRow(rng, n, 1)
	}
	a := newOut(rng, n)
	r := refOutputGate(a.want, g, s, gain, 1e-6)
	checkSame(t, "OutputGate's r, "+what, set.OutputGate(a.got, g, s, gain, 1e-6), r)
	a.check(t, "OutputGate, %s", what)
	dg, ds, dgain := newOut(rng, n), newOut(rng, n), filled(rng, n)
	set.OutputGateBackward(dg.got, ds.got, dgain.got, da, g, s, gain, r)
	refOutputGateBackward(dg.want, ds.want, dgain.want, da, g, s, gain, r)
	dg.check(t, "OutputGateBackward's dg, %s", what)
	ds.check(t, "OutputGateBackward's ds, %s", what)
	dgain.check(t, "OutputGateBackward's dgain, %s", what)
	z := newOut(rng, n)
	set.SwiGLU(z.got, s, g)
	refSwiGLU(z.want, s, g)
	z.check(t, "SwiGLU, %s", what)
}

func edgeLoss(t *testing.T, set *kernel.Set, rng *rand.Rand, n, round int, what string) {
	inf := float32(math.Inf(1))
	x := floats(rng, n)
	switch round % 6 {
	case 0:
		x = extremeRow(rng, n, round/6)
	case 1: // the largest value is 0, and the sign of the first one counts
		for j := range x {
			if x[j] = -abs(x[j]); rng.IntN(4) == 0 {
				x[j] = []float32{0, float32(math.Copysign(0, -1))}[rng.IntN(2)]
			}
		}
	case 2:
		for j := range x {
			x[j] = []float32{-inf, float32(math.NaN())}[rng.IntN(1+round/6%2)]
		}
	case 3: // far apart: most exponentials vanish or are denormal
		for j := range x {
			x[j] = float32(rng.Float64()*-120 + 90)
		}
	}
	top, sum, lse := set.LogSumExp(x)
	wantTop, wantSum, want := refLogSumExp(x)
	checkSame(t, "LogSumExp's maximum, "+what, top, wantTop)
	checkSame(t, "LogSumExp's sum, "+what, sum, wantSum)
	if math.Float64bits(lse) != math.Float64bits(want) && !(lse != lse && want != want) {
		t.Fatalf("LogSumExp, %s: %v (%#x), want %v (%#x)", what, lse, math.Float64bits(lse), want, math.Float64bits(want))
	}
	sameExponentials(t, set, copies(rng, x), what)
	label := rng.IntN(n)
	for _, c := range []struct {
		top, sum float32
		label    int
	}{{wantTop, wantSum, label}, {0, 1, -1}, {0, 0, n}, {-100, 3, label}, {inf, -1, label}} {
		g := copies(rng, x)
		set.SoftmaxGradient(g.got, c.top, c.sum, c.label, 0.037)
		refSoftmaxGradient(g.want, c.top, c.sum, c.label, 0.037)
		g.check(t, "SoftmaxGradient, top %v, sum %v, label %d, %s", c.top, c.sum, c.label, what)
	}
}

func abs(v float32) float32 { return float32(math.Abs(float64(v))) }

func edgeAdamW(t *testing.T, set *kernel.Set, rng *rand.Rand, n, round int, what string) {
	theta, m := copies(rng, extremeRow(rng, n, round)), copies(rng, extremeRow(rng, n, round/2))
	v, g := copies(rng, extremeRow(rng, n, round/4)), extremeRow(rng, n, round/8)
	a := kernel.AdamStep{Clip: 1, Decay: 0.999, Beta1: 0.9, Beta2: 0.95, Rest1: 0.1, Rest2: 0.05, Rate: 0.01, Correction2: 1.5}
	a.Epsilon = []float32{0, 1e-8}[round%2]
	set.AdamW(theta.got, m.got, v.got, g, a)
	refAdamW(theta.want, m.want, v.want, g, a)
	theta.check(t, "AdamW's values, %s", what)
	m.check(t, "AdamW's m, %s", what)
	v.check(t, "AdamW's v, %s", what)
}

// edgeRecurrence takes extremes, and every fourth time more channels and tokens than a vector kernel takes at once.
func edgeRecurrence(t *testing.T, set *kernel.Set, rng *rand.Rand, round int) {
	T, D := 1+rng.IntN(6), 1+rng.IntN(100)
	if round%4 == 3 {
		T, D = 30+rng.IntN(60), 250+rng.IntN(300)
	}
	c0 := rng.IntN(min(D, 20))
	c1 := D - rng.IntN(min(D-c0, 20))
	i, z, ds, before := extremeRow(rng, T*D, round), extremeRow(rng, T*D, round), extremeRow(rng, T*D, 1), extremeRow(rng, D, 1)
	var bound, mask []float32
	if round%3 > 0 {
		bound = make([]float32, D)
		for c := range bound {
			bound[c] = []float32{rng.Float32(), 0, 1, float32(math.Copysign(0, -1))}[rng.IntN(4)]
		}
	}
	if round%5 > 1 {
		mask = make([]float32, T)
		for t := range mask {
			mask[t] = []float32{0, 1, 1, 0.5}[rng.IntN(4)]
		}
	}
	what := fmt.Sprintf("round %d: T %d, D %d, channels [%d, %d), bound %v, mask %v", round, T, D, c0, c1, bound != nil, mask)
	states, state := newOut(rng, T*D), copies(rng, before)
	set.Recurrence(states.got, state.got, i, z, bound, mask, T, D, c0, c1)
	refRecurrence(states.want, state.want, i, z, bound, mask, T, D, c0, c1)
	states.check(t, "Recurrence's states, %s", what)
	state.check(t, "Recurrence's state, %s", what)

	di, dz, dbound := newOut(rng, T*D), newOut(rng, T*D), copies(rng, extremeRow(rng, D, 1))
	gotBound, wantBound := dbound.got, dbound.want
	if bound == nil {
		gotBound, wantBound = nil, nil
	}
	set.RecurrenceBackward(di.got, dz.got, gotBound, ds, states.want, before, i, z, bound, mask, T, D, c0, c1)
	refRecurrenceBackward(di.want, dz.want, wantBound, ds, states.want, before, i, z, bound, mask, T, D, c0, c1)
	di.check(t, "RecurrenceBackward's di, %s", what)
	dz.check(t, "RecurrenceBackward's dz, %s", what)
	dbound.check(t, "RecurrenceBackward's dbound, %s", what)
}
