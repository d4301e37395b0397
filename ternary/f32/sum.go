package f32

import "math"

// Lanes is the number of partial sums of every float32 reduction: lane j takes the elements whose index is j modulo
// Lanes, in order; then the upper half of the lanes is added to the lower half, until one is left. The number is part
// of the numeric contract: four 16-float registers, so that a vector unit's adders stay busy.
const Lanes = 64

// SumSquares returns Σ x², in the order that Lanes describes.
func SumSquares(x []float32) float32 {
	var acc [Lanes]float32
	for len(x) >= Lanes {
		for j, v := range x[:Lanes] {
			acc[j] += float32(v * v)
		}
		x = x[Lanes:]
	}
	for j, v := range x {
		acc[j] += float32(v * v)
	}
	return fold(&acc)
}

// Dot returns Σ x∘y, in the order that Lanes describes. The slices are equally long.
func Dot(x, y []float32) float32 {
	var acc [Lanes]float32
	for len(x) >= Lanes {
		a, b := x[:Lanes], y[:Lanes]
		for j := range a {
			acc[j] += float32(a[j] * b[j])
		}
		x, y = x[Lanes:], y[Lanes:]
	}
	for j, v := range x {
		acc[j] += float32(v * y[j])
	}
	return fold(&acc)
}

// Sum returns Σ x, in the order that Lanes describes.
func Sum(x []float32) float32 {
	var acc [Lanes]float32
	for len(x) > 0 {
		part := x[:min(Lanes, len(x))]
		for j, v := range part {
			acc[j] += v
		}
		x = x[len(part):]
	}
	return fold(&acc)
}

// Lanes64 is the number of partial sums of every float64 reduction of float32 values, as Lanes.
const Lanes64 = 32

// AbsSum returns Σ|x| in float64, in the order that Lanes64 describes; a NaN or an infinity in x makes it non-finite.
func AbsSum(x []float32) float64 {
	var acc [Lanes64]float64
	for len(x) >= Lanes64 {
		for j, v := range x[:Lanes64] {
			acc[j] += float64(Abs(v))
		}
		x = x[Lanes64:]
	}
	for j, v := range x {
		acc[j] += float64(Abs(v))
	}
	return Fold64(&acc)
}

// SquareSum returns Σ x² in float64, in the order that Lanes64 describes. A square of a float32 is exact.
func SquareSum(x []float32) float64 {
	var acc [Lanes64]float64
	for len(x) >= Lanes64 {
		for j, v := range x[:Lanes64] {
			acc[j] += float64(float64(v) * float64(v))
		}
		x = x[Lanes64:]
	}
	for j, v := range x {
		acc[j] += float64(float64(v) * float64(v))
	}
	return Fold64(&acc)
}

// Fold64 adds the upper half of the lanes to the lower half until one is left.
func Fold64(acc *[Lanes64]float64) float64 {
	for n := Lanes64 / 2; n > 0; n /= 2 {
		for j := range n {
			acc[j] += acc[j+n]
		}
	}
	return acc[0]
}

func fold(acc *[Lanes]float32) float32 {
	for n := Lanes / 2; n > 0; n /= 2 {
		for j := range n {
			acc[j] += acc[j+n]
		}
	}
	return acc[0]
}

// Sqrt returns the correctly rounded square root: rounding the float64 root once more cannot err (53 ≥ 2·24 + 2).
func Sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// MaxAbsBits returns the largest bit pattern of |x|: for finite values the largest magnitude's, and a NaN's or an
// infinity's if there is one, so that no bad value can hide behind a comparison that NaN makes false.
func MaxAbsBits(x []float32) uint32 {
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	return top
}
