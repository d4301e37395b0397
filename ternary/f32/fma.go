package f32

import "math"

const (
	below    = 1<<29 - 1  // bits of a float64 that a float32 of normal size has not
	half     = 1 << 28    // of them, halfway between two float32
	smallest = 1023 - 126 // exponent, as it is stored, of the smallest float32 of normal size
)

// FMA returns x·y + z, rounded once: the fused multiply-add of every instruction set, on machines without one too.
// A product of two float32 is exact in float64, so that one addition is all that rounds before the result does.
func FMA(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := float64(p) + float64(z)
	if RoundsTwice(s) {
		return roundSum(p, float64(z))
	}
	return float32(s)
}

// horner returns y·r + c for each of the coefficients in turn, rounded once each: FMA, which the compiler does not inline,
// is called where it is needed.
func horner(y, r float32, coefficients []float32) float32 {
	for _, c := range coefficients {
		if s := float64(y)*float64(r) + float64(c); RoundsTwice(s) {
			y = FMA(y, r, c)
		} else {
			y = float32(s)
		}
	}
	return y
}

// RoundsTwice reports whether float32(s) of a rounded sum s may be another value than the exact sum, rounded once. It
// cannot where s is not halfway between two float32, because s then lies on the exact sum's side of that half. Halves are
// in the bits; those of float32 below normal size are elsewhere, so all of that size are reported, and 0.
func RoundsTwice(s float64) bool {
	b := math.Float64bits(s)
	return b&below == half || b>>52&0x7ff < smallest
}

// roundSum rounds p + z once to float32: to float64 with the last bit set wherever something was lost ("round to odd"),
// from where a second rounding cannot err, because float64 has more than two bits beyond float32's.
func roundSum(p, z float64) float32 {
	s := p + z
	zz := s - p
	lost := (p - (s - zz)) + (z - zz) // exact: Knuth's two-sum; NaN where s is not finite
	if b := math.Float64bits(s); (lost > 0 || lost < 0) && b&1 == 0 {
		if (lost > 0) == (s > 0) {
			b++
		} else {
			b--
		}
		s = math.Float64frombits(b)
	}
	return float32(s)
}
