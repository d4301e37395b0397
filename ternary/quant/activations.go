package quant

import (
	"math"

	"mmfree/ternary/f32"
)

// MaxCode is the largest magnitude of an activation's code; −128 never occurs.
const MaxCode = 127

const (
	smallestAbsMax = 1e-5
	roundMagic     = 12582912 // 1.5·2^23: adding and subtracting it rounds to the nearest integer, halves to even
)

// ActivationScale returns s = 127/max(max|x|, 1e-5) for one token's row, given the largest bit pattern of |x|
// (f32.MaxAbsBits). A NaN or infinity in the row gives NaN, which then marks everything computed from the row: integer
// codes cannot carry it. Source: spec §3.1 step 2.
func ActivationScale(maxAbsBits uint32) float32 {
	if maxAbsBits >= infBits {
		return float32(math.NaN())
	}
	return MaxCode / max(math.Float32frombits(maxAbsBits), smallestAbsMax)
}

const infBits = 0x7f800000

// Quantize writes the codes round(x·s) of one token's row to dst and returns s. Exact halves go to the even neighbour,
// or away from zero when away. A row that holds a NaN or infinity gets codes 0 and scale NaN.
func Quantize(dst []int8, x []float32, away bool) (s float32) {
	s = ActivationScale(f32.MaxAbsBits(x))
	Codes(dst, x, s, away)
	return s
}

// Codes writes round(x·s), for a scale that ActivationScale gave for a row with x among its values: |x·s| is at most 127
// up to rounding. Scale NaN gives codes 0.
func Codes(dst []int8, x []float32, s float32, away bool) {
	dst = dst[:len(x)]
	switch {
	case s != s:
		clear(dst)
	case away:
		for j, v := range x {
			v = float32(v * s)
			t := float32(int32(v)) // toward zero
			if d := v - t; d >= 0.5 {
				t++
			} else if d <= -0.5 {
				t--
			}
			dst[j] = int8(t)
		}
	default:
		for j, v := range x {
			dst[j] = int8(float32(float32(v*s)+roundMagic) - roundMagic)
		}
	}
}
