//go:build arm64 && !noasm

package arm64

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/kernel/generic"
	"mmfree/ternary/quant"
)

// Row kernels take whole vectors; the portable code takes the rest of a row, element by element the same.
const (
	lanes = 4 // float32 in a register
	eight = 8 // codes that normCodes writes at once
	// span is the number of values that one call takes where rows may be long, so that none runs long without preemption:
	// a multiple of f32.Lanes.
	span = 8192
)

// logistic is where the assembly finds the table of sigmoid.
//
//lint:ignore U1000 no Go code reads it.
var logistic = f32.Logistic()

// spans calls f for the whole vectors among n values, a span at a time, and returns where the rest begins.
func spans(n, vector int, f func(from, n int)) (rest int) {
	rest = n / vector * vector
	for from := 0; from < rest; from += span {
		f(from, min(span, rest-from))
	}
	return rest
}

func inverseRMS(x []float32, eps float32) float32 {
	var acc [f32.Lanes]float32
	rest := spans(len(x), f32.Lanes, func(i, n int) { sumSquares(&acc[0], &x[i], n) })
	for j, v := range x[rest:] {
		acc[j] += float32(v * v)
	}
	return 1 / f32.Sqrt(f32.Sum(acc[:])/float32(len(x))+eps)
}

// scale writes (x·r)∘gain.
func scale(dst, x, gain []float32, r float32) {
	rest := spans(len(x), lanes, func(i, n int) { normalise(&dst[i], &x[i], &gain[i], r, n) })
	for j := rest; j < len(x); j++ {
		dst[j] = float32(x[j]*r) * gain[j]
	}
}

// RMSNorm is kernel.Set.RMSNorm.
func RMSNorm(dst, x, gain []float32, eps float32) (r float32) {
	r = inverseRMS(x, eps)
	scale(dst[:len(x)], x, gain[:len(x)], r)
	return r
}

// NormQuantize is kernel.Set.NormQuantize: three passes over x, which stays in the nearest cache.
func NormQuantize(codes []int8, x, gain []float32, eps float32, away bool) (r, s float32) {
	codes, gain = codes[:len(x)], gain[:len(x)]
	r = inverseRMS(x, eps)
	var rest [eight]float32 // the last values, scaled
	from := len(x) / eight * eight
	last := rest[:len(x)-from]
	scale(last, x[from:], gain[from:], r)
	top := f32.MaxAbsBits(last)
	spans(from, eight, func(i, n int) {
		var tops [lanes]uint32
		normTop(&tops[0], &x[i], &gain[i], r, n)
		top = max(top, tops[0], tops[1], tops[2], tops[3])
	})
	s = quant.ActivationScale(top)
	if s != s {
		clear(codes)
		return r, s
	}
	spans(from, eight, func(i, n int) {
		if away {
			normCodesAway(&codes[i], &x[i], &gain[i], r, s, n)
		} else {
			normCodes(&codes[i], &x[i], &gain[i], r, s, n)
		}
	})
	quant.Codes(codes[from:], last, s, away)
	return r, s
}

// RMSNormBackward is kernel.Set.RMSNormBackward.
func RMSNormBackward(dx, dgain, dy, x, gain []float32, r float32, add bool) {
	n := len(x)
	dx, dgain, dy, gain = dx[:n], dgain[:n], dy[:n], gain[:n]
	var acc [f32.Lanes]float32
	rest := spans(n, f32.Lanes, func(i, n int) { normSlope(&acc[0], &dgain[i], &dy[i], &x[i], &gain[i], r, n) })
	for j := rest; j < n; j++ {
		hat := float32(x[j] * r)
		acc[j-rest] += float32(float32(dy[j]*gain[j]) * hat)
		dgain[j] += float32(dy[j] * hat)
	}
	mean := f32.Sum(acc[:]) / float32(n)
	rest = spans(n, lanes, func(i, n int) {
		if add {
			normBackAdd(&dx[i], &dy[i], &x[i], &gain[i], r, mean, n)
		} else {
			normBack(&dx[i], &dy[i], &x[i], &gain[i], r, mean, n)
		}
	})
	for j := rest; j < n; j++ {
		d := float32(r * (float32(dy[j]*gain[j]) - float32(float32(x[j]*r)*mean)))
		if add {
			d += dx[j]
		}
		dx[j] = d
	}
}

// Add is kernel.Set.Add.
func Add(dst, a, b []float32) {
	dst, b = dst[:len(a)], b[:len(a)]
	rest := spans(len(a), lanes, func(i, n int) { sum(&dst[i], &a[i], &b[i], n) })
	generic.Add(dst[rest:], a[rest:], b[rest:])
}

// OutputGate is kernel.Set.OutputGate.
func OutputGate(dst, x, s, gain []float32, eps float32) (r float32) {
	n := len(x)
	dst, s, gain = dst[:n], s[:n], gain[:n]
	r = inverseRMS(x, eps)
	rest := spans(n, lanes, func(i, n int) { gate(&dst[i], &x[i], &s[i], &gain[i], r, n) })
	for j := rest; j < n; j++ {
		dst[j] = float32(float32(x[j]*r)*gain[j]) * f32.Silu(s[j])
	}
	return r
}

// OutputGateBackward is kernel.Set.OutputGateBackward.
func OutputGateBackward(dx, ds, dgain, da, x, s, gain []float32, r float32) {
	n := len(x)
	dx, ds, da, s, gain = dx[:n], ds[:n], da[:n], s[:n], gain[:n]
	rest := spans(n, lanes, func(i, n int) { gateBack(&dx[i], &ds[i], &da[i], &x[i], &s[i], &gain[i], r, n) })
	for j := rest; j < n; j++ {
		sig := f32.Sigmoid(s[j])
		slope := sig * (1 + float32(s[j]*(1-sig)))
		ds[j] = float32(da[j]*float32(float32(x[j]*r)*gain[j])) * slope
		dx[j] = da[j] * float32(s[j]*sig)
	}
	RMSNormBackward(dx, dgain, dx, x, gain, r, false)
}

// SwiGLU is kernel.Set.SwiGLU.
func SwiGLU(dst, p, q []float32) {
	dst, q = dst[:len(p)], q[:len(p)]
	rest := spans(len(p), lanes, func(i, n int) { swiGLU(&dst[i], &p[i], &q[i], n) })
	generic.SwiGLU(dst[rest:], p[rest:], q[rest:])
}

// SwiGLUBackward is kernel.Set.SwiGLUBackward.
func SwiGLUBackward(dp, dq, dz, p, q []float32) {
	n := len(p)
	dp, dq, dz, q = dp[:n], dq[:n], dz[:n], q[:n]
	rest := spans(n, lanes, func(i, n int) { swiGLUBack(&dp[i], &dq[i], &dz[i], &p[i], &q[i], n) })
	generic.SwiGLUBackward(dp[rest:], dq[rest:], dz[rest:], p[rest:], q[rest:])
}
