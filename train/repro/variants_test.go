package repro

import (
	"math"
	"math/rand/v2"
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
	roundRow(y, 8)
	for i, want := range []float32{127, -63, 0, 2} {
		if y[i] != want {
			t.Errorf("8 bits: %v", y)
		}
	}
}
