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

// rowLengths are the widths of row operations: every one to 260, and some around chunks.
func rowLengths() []int {
	var list []int
	for n := 1; n <= 260; n++ {
		list = append(list, n)
	}
	return append(list, 511, 512, 513, 1000, 2049)
}

// rowKinds are the contents of a row that the norms meet.
var rowKinds = []struct {
	name string
	make func(rng *rand.Rand, n int) []float32
}{
	{"random", floats},
	{"zero", func(_ *rand.Rand, n int) []float32 { return make([]float32, n) }},
	{"tiny", func(rng *rand.Rand, n int) []float32 {
		x := floats(rng, n)
		for i := range x {
			x[i] *= 1e-30
		}
		return x
	}},
	{"huge", func(rng *rand.Rand, n int) []float32 { // the squares overflow
		x := floats(rng, n)
		for i := range x {
			x[i] *= 1e30
		}
		return x
	}},
	{"damaged", func(rng *rand.Rand, n int) []float32 { return damaged(rng, floats(rng, n)) }},
	{"halves", func(rng *rand.Rand, n int) []float32 { // with a gain of 127, many exact halves
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.IntN(255)-127) / 2
		}
		return x
	}},
}

func norms(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(6, 1))
	for _, n := range rowLengths() {
		for _, kind := range rowKinds {
			what := fmt.Sprintf("%s row of %d", kind.name, n)
			x, gain, dy := kind.make(rng, n), floats(rng, n), floats(rng, n)
			if kind.name == "halves" {
				for j := range gain {
					gain[j] = 1
				}
			}
			eps := []float32{1e-8, 1e-6}[n%2]

			o := newOut(rng, n)
			r := refRMSNorm(o.want, x, gain, eps)
			checkSame(t, "RMSNorm's r, "+what, set.RMSNorm(o.got, x, gain, eps), r)
			o.check(t, "RMSNorm, %s", what)
			copy(o.got, x)
			checkSame(t, "RMSNorm's r in place, "+what, set.RMSNorm(o.got, o.got, gain, eps), r)
			o.check(t, "RMSNorm in place, %s", what)

			for _, away := range []bool{false, true} {
				got, want := make([]int8, n+2), make([]int8, n+2)
				got[0], got[n+1], want[0], want[n+1] = 99, 99, 99, 99
				gr, gs := set.NormQuantize(got[1:][:n], x, gain, eps, away)
				wr, ws := refNormQuantize(want[1:][:n], x, gain, eps, away)
				checkSame(t, "NormQuantize's r, "+what, gr, wr)
				checkSame(t, "NormQuantize's s, "+what, gs, ws)
				if !slices.Equal(got, want) {
					t.Fatalf("NormQuantize, %s, away %v: codes %v, want %v", what, away, got, want)
				}
			}

			for _, accumulate := range []bool{false, true} {
				dx, dgain := filled(rng, n), filled(rng, n)
				set.RMSNormBackward(dx.got, dgain.got, dy, x, gain, r, accumulate)
				refRMSNormBackward(dx.want, dgain.want, dy, x, gain, r, accumulate)
				dx.check(t, "RMSNormBackward's dx, add %v, %s", accumulate, what)
				dgain.check(t, "RMSNormBackward's dgain, %s", what)
			}
			dx, dgain := newOut(rng, n), filled(rng, n)
			copy(dx.got, dy)
			set.RMSNormBackward(dx.got, dgain.got, dx.got, x, gain, r, false)
			refRMSNormBackward(dx.want, dgain.want, dy, x, gain, r, false)
			dx.check(t, "RMSNormBackward's dx over dy, %s", what)
			dgain.check(t, "RMSNormBackward's dgain, dx over dy, %s", what)
		}
	}
}

// someChannels returns numbers of tokens T and channels D, and the channels [c0, c1) for which a kernel runs: all in even rounds.
func someChannels(rng *rand.Rand, round int) (T, D, c0, c1 int) {
	T, D = 1+rng.IntN(maxTokens), 1+rng.IntN(150)
	c0 = rng.IntN(D)
	c1 = c0 + rng.IntN(D-c0+1)
	if round%2 == 0 {
		c0, c1 = 0, D
	}
	return T, D, c0, c1
}

func recurrence(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(7, 1))
	for round := range 300 {
		T, D, c0, c1 := someChannels(rng, round)
		i, z, ds, before := floats(rng, T*D), floats(rng, T*D), floats(rng, T*D), floats(rng, D)
		if round%16 == 5 {
			damaged(rng, i)
		}
		var bound, mask []float32
		if round%3 > 0 {
			bound = make([]float32, D)
			for c := range bound {
				bound[c] = rng.Float32()
			}
		}
		if round%4 > 1 {
			mask = make([]float32, T)
			for j := range mask {
				mask[j] = float32(rng.IntN(2))
			}
		}
		what := fmt.Sprintf("T %d, D %d, channels [%d, %d), bound %v, mask %v", T, D, c0, c1, bound != nil, mask)
		states, state := newOut(rng, T*D), newOut(rng, D)
		copy(state.got, before)
		copy(state.want, before)
		set.Recurrence(states.got, state.got, i, z, bound, mask, T, D, c0, c1)
		refRecurrence(states.want, state.want, i, z, bound, mask, T, D, c0, c1)
		states.check(t, "Recurrence's states, %s", what)
		state.check(t, "Recurrence's state, %s", what)

		refRecurrence(states.want, slices.Clone(before), i, z, bound, mask, T, D, 0, D)
		di, dz, dbound := newOut(rng, T*D), newOut(rng, T*D), filled(rng, D)
		gotBound, wantBound := dbound.got, dbound.want
		if bound == nil {
			gotBound, wantBound = nil, nil
		}
		set.RecurrenceBackward(di.got, dz.got, gotBound, ds, states.want, before, i, z, bound, mask, T, D, c0, c1)
		refRecurrenceBackward(di.want, dz.want, wantBound, ds, states.want, before, i, z, bound, mask, T, D, c0, c1)
		di.check(t, "RecurrenceBackward's di, %s", what)
		dz.check(t, "RecurrenceBackward's dz, %s", what)
		dbound.check(t, "RecurrenceBackward's dbound, %s", what)
		inI, inZ := newOut(rng, len(i)), newOut(rng, len(z))
		for _, o := range []struct {
			out            out
			values, result []float32
		}{{inI, i, di.want}, {inZ, z, dz.want}} {
			copy(o.out.got, o.values)
			copy(o.out.want, o.values)
			for t := range T {
				copy(o.out.want[t*D+c0:t*D+c1], o.result[t*D+c0:])
			}
		}
		set.RecurrenceBackward(inI.got, inZ.got, gotBound, ds, states.want, before, inI.got, inZ.got, bound, mask, T, D, c0, c1)
		inI.check(t, "RecurrenceBackward's di in place, %s", what)
		inZ.check(t, "RecurrenceBackward's dz in place, %s", what)
	}
}

func gates(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(8, 1))
	for _, n := range rowLengths() {
		for _, broken := range []bool{false, true} {
			g, s, gain, up := floats(rng, n), floats(rng, n), floats(rng, n), floats(rng, n)
			for j := range s { // both ends of the exponential
				if rng.IntN(20) == 0 {
					s[j] = float32(rng.IntN(400) - 200)
				}
			}
			if broken {
				damaged(rng, g)
				damaged(rng, s)
			}
			a := newOut(rng, n)
			r := refOutputGate(a.want, g, s, gain, 1e-6)
			checkSame(t, fmt.Sprintf("OutputGate's r, row of %d", n), set.OutputGate(a.got, g, s, gain, 1e-6), r)
			a.check(t, "OutputGate, row of %d", n)
			dg, ds, dgain := newOut(rng, n), newOut(rng, n), filled(rng, n)
			set.OutputGateBackward(dg.got, ds.got, dgain.got, up, g, s, gain, r)
			refOutputGateBackward(dg.want, ds.want, dgain.want, up, g, s, gain, r)
			dg.check(t, "OutputGateBackward's dg, row of %d", n)
			ds.check(t, "OutputGateBackward's ds, row of %d", n)
			dgain.check(t, "OutputGateBackward's dgain, row of %d", n)

			z, dp, dq := newOut(rng, n), newOut(rng, n), newOut(rng, n)
			set.SwiGLU(z.got, s, g)
			refSwiGLU(z.want, s, g)
			z.check(t, "SwiGLU, row of %d", n)
			set.SwiGLUBackward(dp.got, dq.got, up, s, g)
			refSwiGLUBackward(dp.want, dq.want, up, s, g)
			dp.check(t, "SwiGLUBackward's dp, row of %d", n)
			dq.check(t, "SwiGLUBackward's dq, row of %d", n)
			copy(dp.got, s)
			copy(dq.got, g)
			set.SwiGLUBackward(dp.got, dq.got, up, dp.got, dq.got)
			dp.check(t, "SwiGLUBackward's dp in place, row of %d", n)
			dq.check(t, "SwiGLUBackward's dq in place, row of %d", n)

			sum := newOut(rng, n)
			for j := range g {
				sum.want[j] = add(g[j], s[j])
			}
			set.Add(sum.got, g, s)
			sum.check(t, "Add, row of %d", n)
			copy(sum.got, g)
			set.Add(sum.got, sum.got, s)
			sum.check(t, "Add into a, row of %d", n)
			copy(sum.got, s)
			set.Add(sum.got, g, sum.got)
			sum.check(t, "Add into b, row of %d", n)
		}
	}
}

func loss(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(9, 1))
	inf := float32(math.Inf(1))
	for _, n := range rowLengths() {
		for kind := range 5 {
			x := filled(rng, n)
			edit := func(f func(x []float32)) { f(x.got); f(x.want) }
			at := rng.IntN(n)
			switch kind {
			case 1: // a large common offset
				edit(func(x []float32) {
					for j := range x {
						x[j] += 1e4
					}
				})
			case 2:
				edit(func(x []float32) { x[at] = float32(math.NaN()) })
			case 3:
				edit(func(x []float32) { x[at] = inf })
			case 4:
				edit(func(x []float32) { x[at] = -inf })
			}
			what := fmt.Sprintf("row of %d, kind %d", n, kind)
			top, sum, lse := set.LogSumExp(x.got)
			wantTop, wantSum, want := refLogSumExp(x.want)
			checkSame(t, "LogSumExp's maximum, "+what, top, wantTop)
			checkSame(t, "LogSumExp's sum, "+what, sum, wantSum)
			if math.Float64bits(lse) != math.Float64bits(want) && !(lse != lse && want != want) {
				t.Fatalf("LogSumExp, %s: %v (%#x), want %v (%#x)", what, lse, math.Float64bits(lse), want, math.Float64bits(want))
			}
			sameExponentials(t, set, copies(rng, x.want), what)
			label := rng.IntN(n)
			set.SoftmaxGradient(x.got, wantTop, wantSum, label, 0.037)
			refSoftmaxGradient(x.want, wantTop, wantSum, label, 0.037)
			x.check(t, "SoftmaxGradient, %s", what)
		}
	}
}

func sameExponentials(t *testing.T, set *kernel.Set, x out, what string) {
	t.Helper()
	top, sum := set.Exponentials(x.got)
	wantTop, wantSum, _ := refLogSumExp(x.want)
	for j, v := range x.want {
		x.want[j] = f32.Exp(sub(v, wantTop))
	}
	checkSame(t, "Exponentials' maximum, "+what, top, wantTop)
	checkSame(t, "Exponentials' sum, "+what, sum, wantSum)
	x.check(t, "Exponentials, %s", what)
}

func adamW(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(10, 1))
	for _, n := range rowLengths() {
		theta, m, v, g := filled(rng, n), filled(rng, n), newOut(rng, n), floats(rng, n)
		copy(v.got, positives(rng, n))
		copy(v.want, v.got)
		for step := range 3 {
			a := kernel.AdamStep{
				Clip: rng.Float32(), Decay: 1 - 0.01*rng.Float32(), Beta1: 0.9, Beta2: 0.95, Rest1: 0.1, Rest2: 0.05,
				Rate: 0.01 * float32(1+step), Correction2: 1 + rng.Float32(), Epsilon: 1e-8,
			}
			set.AdamW(theta.got, m.got, v.got, g, a)
			refAdamW(theta.want, m.want, v.want, g, a)
			theta.check(t, "AdamW's values, %d of them", n)
			m.check(t, "AdamW's m, %d of them", n)
			v.check(t, "AdamW's v, %d of them", n)
		}
	}
}
