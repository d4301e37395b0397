package kernel_test

import (
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
)

func TestRowsAllocateNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	const n, T = 333, 40
	row := func() []float32 { return randomFloats(rng, n) }
	x, y, gain, a, b, c, codes := row(), row(), row(), row(), row(), row(), make([]int8, n)
	many := func() []float32 { return randomFloats(rng, T*n) }
	states, i, z, ds, di, dz, mask := many(), many(), many(), many(), many(), many(), randomFloats(rng, T)
	wkv, carried := make([]float32, 3*T*n), make([]float32, 3*n)
	for _, set := range kernel.Available() {
		got := testing.AllocsPerRun(5, func() {
			set.RMSNorm(a, x, gain, 1e-6)
			set.NormQuantize(codes, x, gain, 1e-6, false)
			set.NormQuantize(codes, x, gain, 1e-6, true)
			set.RMSNormBackward(a, b, y, x, gain, 1, true)
			set.Recurrence(states, a, i, z, nil, nil, T, n, 0, n)
			set.RecurrenceBackward(di, dz, b, ds, states, a, i, z, gain, mask, T, n, 0, n)
			set.OutputGate(a, x, y, gain, 1e-6)
			set.OutputGateBackward(a, b, c, y, x, gain, x, 1)
			set.SwiGLU(a, x, y)
			set.SwiGLUBackward(a, b, gain, x, y)
			set.Add(a, x, y)
			set.LogSumExp(x)
			set.Exponentials(c)
			set.SoftmaxGradient(c, 1, 2, 3, 1)
			set.Shift(a, x, y, gain)
			set.Receptance(a, x, y)
			set.ReceptanceBackward(a, b, gain, x, y)
			set.WKV(di, wkv, carried, i, z, gain, x, mask, T, n, 0, n)
			set.WKVBackward(di, dz, a, b, ds, states, wkv, i, z, gain, x, T, n, 0, n)
			set.Trits(codes, x, 1)
			set.AbsSum(x)
			set.SquareSum(x)
			set.AdamW(a, b, c, x, kernel.AdamStep{})
		})
		if got != 0 {
			t.Errorf("%s: %v allocations", set.Name, got)
		}
	}
}
