//go:build arm64 && !noasm

package arm64

import (
	"math"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel/generic"
)

const topLanes = 16 // values that largest compares at once

// top returns the largest value of x, the first one of equal ones; NaN is never larger.
func top(x []float32) float32 {
	lowest := float32(math.Inf(-1))
	var tops [topLanes]float32
	for j := range tops {
		tops[j] = lowest
	}
	rest := spans(len(x), topLanes, func(i, n int) { largest(&tops[0], &x[i], n) })
	best := lowest
	for _, list := range [...][]float32{tops[:], x[rest:]} {
		for _, v := range list {
			if v > best {
				best = v
			}
		}
	}
	if best == 0 { // of zeros of both signs the first one counts, and lanes lose sight of it
		for _, v := range x {
			if v == 0 {
				return v
			}
		}
	}
	return best
}

// sumExp is Σ e^(x−peak) in f32.Sum's order.
func sumExp(x []float32, peak float32) float32 {
	var acc [f32.Lanes]float32
	rest := spans(len(x), f32.Lanes, func(i, n int) { expSum(&acc[0], &x[i], peak, n) })
	for j, v := range x[rest:] {
		acc[j] += f32.Exp(v - peak)
	}
	return f32.Sum(acc[:])
}

// Exponentials is kernel.Set.Exponentials.
func Exponentials(x []float32) (peak, sum float32) {
	peak = top(x)
	sum = sumExp(x, peak)
	SoftmaxGradient(x, peak, 1, -1, 1)
	return peak, sum
}

// LogSumExp is kernel.Set.LogSumExp.
func LogSumExp(x []float32) (peak, sum float32, lse float64) {
	peak = top(x)
	sum = sumExp(x, peak)
	if !(sum > 0 && sum <= math.MaxFloat32) {
		return peak, sum, math.NaN() // a logit was NaN or infinite
	}
	return peak, sum, float64(peak) + f32.Log(float64(sum))
}

// SoftmaxGradient is kernel.Set.SoftmaxGradient.
func SoftmaxGradient(x []float32, top, sum float32, label int, scale float32) {
	inv := 1 / sum
	labelled := label >= 0 && label < len(x)
	var p float32
	if labelled {
		p = float32(f32.Exp(x[label]-top)*inv) - 1
	}
	rest := spans(len(x), lanes, func(i, n int) { softmax(&x[i], top, inv, scale, n) })
	for j := rest; j < len(x); j++ {
		x[j] = float32(f32.Exp(x[j]-top)*inv) * scale
	}
	if labelled {
		x[label] = p * scale
	}
}

// AdamW is kernel.Set.AdamW, its scalars one by one.
func AdamW(theta, m, v, d []float32, clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon float32) {
	n := len(theta)
	m, v, d = m[:n], v[:n], d[:n]
	scalars := [...]float32{clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon}
	rest := spans(n, lanes, func(i, n int) { adamW(&theta[i], &m[i], &v[i], &d[i], &scalars[0], n) })
	generic.AdamW(theta[rest:], m[rest:], v[rest:], d[rest:], clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon)
}
