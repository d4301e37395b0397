package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
)

// TestRowsStayInside is TestProductsStayInside for the row operations, at every width that a vector can leave a rest of.
func TestRowsStayInside(t *testing.T) {
	const T = 3
	for _, set := range kernel.Available() {
		for n := 1; n <= 70; n++ {
			t.Run(fmt.Sprintf("%s/%d", set.Name, n), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(n), 2))
				atEnd := true
				row := func() []float32 { return guarded(t, randomFloats(rng, n), atEnd) }
				many := func() []float32 { return guarded(t, randomFloats(rng, T*n), atEnd) }
				for range 2 {
					x, y, gain, a, b, c := row(), row(), row(), row(), row(), row()
					codes, mask := guarded(t, make([]int8, n), atEnd), guarded(t, randomFloats(rng, T), atEnd)
					states, i, z, ds, di, dz := many(), many(), many(), many(), many(), many()
					wkv, carried := guarded(t, randomFloats(rng, 3*T*n), atEnd), guarded(t, make([]float32, 3*n), atEnd)
					set.RMSNorm(a, x, gain, 1e-6)
					set.NormQuantize(codes, x, gain, 1e-6, false)
					set.NormQuantize(codes, x, gain, 1e-6, true)
					set.RMSNormBackward(a, b, y, x, gain, 1, true)
					set.RMSNormBackward(a, b, y, x, gain, 1, false)
					set.Recurrence(states, a, i, z, nil, nil, T, n, n/2, n)
					set.Recurrence(states, a, i, z, gain, mask, T, n, 0, n)
					set.RecurrenceBackward(di, dz, b, ds, states, a, i, z, gain, mask, T, n, 0, n)
					set.OutputGate(a, x, y, gain, 1e-6)
					set.OutputGateBackward(a, b, c, y, x, z[:n], gain, 1)
					set.SwiGLU(a, x, y)
					set.SwiGLUBackward(a, b, gain, x, y)
					set.Add(a, x, y)
					set.LogSumExp(x)
					set.Exponentials(c)
					set.SoftmaxGradient(c, 1, 2, n/2, 1)
					set.Shift(a, x, y, gain)
					set.Receptance(a, x, y)
					set.ReceptanceBackward(a, b, gain, x, y)
					set.WKV(di, wkv, carried, i, z, gain, x, nil, T, n, n/2, n)
					set.WKV(di, nil, carried, i, z, gain, x, mask, T, n, 0, n)
					set.WKVBackward(i, z, a, b, ds, di, wkv, i, z, gain, x, T, n, n/2, n)
					set.Trits(codes, x, 1)
					set.AbsSum(x)
					set.SquareSum(x)
					set.AdamW(a, b, c, x, kernel.AdamStep{})
					atEnd = false
				}
			})
		}
	}
}
