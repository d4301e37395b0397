//go:build amd64 && !noasm

package amd64

import (
	"unsafe"

	"mmfree/ternary/f32"
)

// Trits is kernel.Set.Trits.
func (wide Rows) Trits(dst []int8, w []float32, m float32) {
	n, inv := len(w), 1/m
	dst = dst[:n]
	for i := 0; i < n; i += span {
		wide.trits(unsafe.SliceData(dst[i:]), at(w, i), inv, min(span, n-i))
	}
}

// AbsSum is kernel.Set.AbsSum.
func (wide Rows) AbsSum(w []float32) float64 {
	var acc [f32.Lanes64]float64
	whole := len(w) &^ (f32.Lanes64 - 1)
	for i := 0; i < whole; i += span {
		wide.absSum(&acc[0], at(w, i), min(span, whole-i))
	}
	for j, v := range w[whole:] {
		acc[j] += float64(f32.Abs(v))
	}
	return f32.Fold64(&acc)
}

// SquareSum is kernel.Set.SquareSum.
func (wide Rows) SquareSum(g []float32) float64 {
	var acc [f32.Lanes64]float64
	whole := len(g) &^ (f32.Lanes64 - 1)
	for i := 0; i < whole; i += span {
		wide.squareSum(&acc[0], at(g, i), min(span, whole-i))
	}
	for j, v := range g[whole:] {
		acc[j] += float64(float64(v) * float64(v))
	}
	return f32.Fold64(&acc)
}
