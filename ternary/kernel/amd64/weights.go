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
func (wide Rows) AbsSum(w []float32) float64 { return wide.sum64(w, false) }

// SquareSum is kernel.Set.SquareSum.
func (wide Rows) SquareSum(g []float32) float64 { return wide.sum64(g, true) }

// sum64 sums magnitudes or squares. The values behind the last whole round of lanes are filled up with zeros, which change no
// bit of a sum that is never −0.
func (wide Rows) sum64(x []float32, squares bool) float64 {
	var acc [f32.Lanes64]float64
	add := func(x []float32) {
		if squares {
			wide.squareSum(&acc[0], at(x, 0), len(x))
		} else {
			wide.absSum(&acc[0], at(x, 0), len(x))
		}
	}
	whole := len(x) &^ (f32.Lanes64 - 1)
	for i := 0; i < whole; i += span {
		add(x[i:min(i+span, whole)])
	}
	var last [f32.Lanes64]float32
	if copy(last[:], x[whole:]) > 0 {
		add(last[:])
	}
	return f32.Fold64(&acc)
}
