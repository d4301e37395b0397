//go:build arm64 && !noasm

package arm64

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/quant"
)

const tritsAtOnce = 16

// Trits is kernel.Set.Trits.
func Trits(dst []int8, w []float32, m float32) {
	dst = dst[:len(w)]
	rest := spans(len(w), tritsAtOnce, func(i, n int) { trits(&dst[i], &w[i], 1/m, n) })
	quant.Trits(dst[rest:], w[rest:], m)
}

// AbsSum is kernel.Set.AbsSum.
func AbsSum(w []float32) float64 {
	var acc [f32.Lanes64]float64
	rest := spans(len(w), f32.Lanes64, func(i, n int) { absSum(&acc[0], &w[i], n) })
	for j, v := range w[rest:] {
		acc[j] += float64(f32.Abs(v))
	}
	return f32.Fold64(&acc)
}

// SquareSum is kernel.Set.SquareSum.
func SquareSum(g []float32) float64 {
	var acc [f32.Lanes64]float64
	rest := spans(len(g), f32.Lanes64, func(i, n int) { squareSum(&acc[0], &g[i], n) })
	for j, v := range g[rest:] {
		acc[j] += float64(float64(v) * float64(v))
	}
	return f32.Fold64(&acc)
}
