package quant

import "math"

const (
	// MaxGradient is the largest 16-bit integer of a gradient. 512 products with codes, −128 included, sum to less than
	// 2^31: 32767·128·512 = 2^31 − 2^16.
	MaxGradient = 32767
	// smallestGradient keeps the factors and their inverses normal numbers; gradients this small count as zero.
	smallestGradient = 0x1p-100
)

// GradientScale returns the factors between gradients and their 16-bit integers, given the largest bit pattern of the
// absolute values that share them: up = 32767/max, down = 1/up, both rounded once. |g·up| is at most 32767 up to rounding,
// so that it rounds to an integer within ±32767. At most 2^-100 counts as zero: both factors are 0. With a NaN or an
// infinity among the values up is 0 and down NaN, whatever their integers are: NaN comes back.
func GradientScale(maxAbsBits uint32) (up, down float32) {
	top := math.Float32frombits(maxAbsBits)
	switch {
	case maxAbsBits >= infBits:
		return 0, float32(math.NaN())
	case top <= smallestGradient:
		return 0, 0
	}
	up = MaxGradient / top
	return up, 1 / up
}
