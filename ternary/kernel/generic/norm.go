package generic

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/quant"
)

func inverseRMS(x []float32, eps float32) float32 {
	return 1 / f32.Sqrt(f32.SumSquares(x)/float32(len(x))+eps)
}

// RMSNorm is kernel.Set.RMSNorm.
func RMSNorm(dst, x, gain []float32, eps float32) (r float32) {
	r = inverseRMS(x, eps)
	dst, gain = dst[:len(x)], gain[:len(x)]
	for j, v := range x {
		dst[j] = float32(v*r) * gain[j]
	}
	return r
}

// normChunk is the number of floats that NormQuantize keeps at a time; they live on the stack.
const normChunk = 256

// NormQuantize is kernel.Set.NormQuantize: two passes, the first for the largest magnitude.
func NormQuantize(codes []int8, x, gain []float32, eps float32, away bool) (r, s float32) {
	r = inverseRMS(x, eps)
	var buf [normChunk]float32
	var top uint32
	for j := 0; j < len(x); j += normChunk {
		top = max(top, f32.MaxAbsBits(scaled(&buf, x[j:], gain[j:], r)))
	}
	s = quant.ActivationScale(top)
	for j := 0; j < len(x); j += normChunk {
		quant.Codes(codes[j:], scaled(&buf, x[j:], gain[j:], r), s, away)
	}
	return r, s
}

// scaled returns (x·r)∘gain of the first normChunk values.
func scaled(buf *[normChunk]float32, x, gain []float32, r float32) []float32 {
	n := min(normChunk, len(x))
	x, gain = x[:n], gain[:n]
	for j, v := range x {
		buf[j] = float32(v*r) * gain[j]
	}
	return buf[:n]
}

// RMSNormBackward is kernel.Set.RMSNormBackward.
func RMSNormBackward(dx, dgain, dy, x, gain []float32, r float32, add bool) {
	n := len(x)
	dx, dgain, dy, gain = dx[:n], dgain[:n], dy[:n], gain[:n]
	var acc [f32.Lanes]float32 // Σ v∘x̂ in f32.Dot's order
	for from := 0; from < n; from += f32.Lanes {
		to := min(from+f32.Lanes, n)
		x, dgain, dy, gain := x[from:to], dgain[from:to], dy[from:to], gain[from:to]
		for j, v := range x {
			hat := float32(v * r)
			acc[j] += float32(float32(dy[j]*gain[j]) * hat)
			dgain[j] += float32(dy[j] * hat)
		}
	}
	mean := f32.Sum(acc[:]) / float32(n)
	for j, v := range x {
		hat := float32(v * r)
		// Rounded here, or some compilers would fuse it with the addition.
		d := float32(r * (float32(dy[j]*gain[j]) - float32(hat*mean)))
		if add {
			d += dx[j]
		}
		dx[j] = d
	}
}
