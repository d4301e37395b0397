package dtype

import "math"

// The two types of 8 bits (OCP 8-bit Floating Point Specification): E5M2 is IEEE's with infinities and NaNs, E4M3 has NaN at
// ±0x7f alone and ends at ±448.

func fromF8(b byte, t Type) uint32 {
	if t == E5M2 {
		return fromF16(uint16(b) << 8)
	}
	sign, exp, man := uint32(b&0x80)<<24, uint32(b>>3&15), uint32(b&7)
	switch {
	case b&0x7f == 0x7f:
		return sign | 0x7fc00000
	case exp == 0: // man·2^-9
		return sign | math.Float32bits(float32(man)*0x1p-9)
	}
	return sign | (exp+127-7)<<23 | man<<20
}

// toF8 rounds to the nearest, halves to even. A value between two neighbours is nearer to one of them or halfway: the codes of
// positive values are in order, so the lower neighbour is found by bisection.
func toF8(b uint32, t Type) byte {
	sign, abs := byte(b>>24&0x80), b&0x7fffffff
	top := byte(0x7e) // the largest finite value
	if t == E5M2 {
		top = 0x7b
	}
	if abs > 0x7f800000 { // NaN: cut the payload, but never down to infinity
		if t == E5M2 && abs>>21&3 != 0 {
			return sign | 0x7c | byte(abs>>21&3)
		}
		return sign | 0x7f
	}
	x := float64(math.Float32frombits(abs))
	value := func(code byte) float64 { return float64(math.Float32frombits(fromF8(code, t))) }
	low, high := byte(0), top
	for low < high {
		if mid := (low + high + 1) / 2; value(mid) <= x {
			low = mid
		} else {
			high = mid - 1
		}
	}
	if low == top { // as if there were one more value behind the last
		step := value(top) - value(top-1)
		if x < value(top)+step/2 || t == E4M3 && x == value(top)+step/2 {
			return sign | top
		}
		return sign | (top + 1) // infinity, or NaN
	}
	below, above := x-value(low), value(low+1)-x
	if above < below || above == below && low&1 == 1 {
		low++
	}
	return sign | low
}
