//go:build amd64 && !noasm

package amd64

import (
	"math"

	"mmfree/ternary/f32"
)

// top returns the largest value of x, the first one of equal ones; NaN is never larger.
func (wide Rows) top(x []float32) float32 {
	top := float32(math.Inf(-1))
	for i := 0; i < len(x); i += span {
		if v := wide.largest(at(x, i), min(span, len(x)-i)); v > top {
			top = v
		}
	}
	if top == 0 { // of zeros of both signs the first one counts, and vectors lose sight of it
		for _, v := range x {
			if v == 0 {
				return v
			}
		}
	}
	return top
}

// Exponentials is kernel.Set.Exponentials.
func (wide Rows) Exponentials(x []float32) (top, sum float32) {
	n := len(x)
	top = wide.top(x)
	var acc [f32.Lanes]float32
	for i := 0; i < n; i += span {
		sum = wide.exponentials(&acc[0], at(x, i), top, min(span, n-i))
	}
	return top, sum
}

// LogSumExp is kernel.Set.LogSumExp.
func (wide Rows) LogSumExp(x []float32) (top, sum float32, lse float64) {
	n := len(x)
	top = wide.top(x)
	var acc [f32.Lanes]float32
	for i := 0; i < n; i += span {
		sum = wide.expSum(&acc[0], at(x, i), top, min(span, n-i))
	}
	if !(sum > 0 && sum <= math.MaxFloat32) {
		return top, sum, math.NaN() // a logit was NaN or infinite
	}
	return top, sum, float64(top) + f32.Log(float64(sum))
}

// SoftmaxGradient is kernel.Set.SoftmaxGradient.
func (wide Rows) SoftmaxGradient(x []float32, top, sum float32, label int, scale float32) {
	n, inv := len(x), 1/sum
	labelled := label >= 0 && label < n
	var p float32
	if labelled {
		p = float32(f32.Exp(x[label]-top)*inv) - 1
	}
	for i := 0; i < n; i += span {
		wide.softmax(at(x, i), top, inv, scale, min(span, n-i))
	}
	if labelled {
		x[label] = p * scale
	}
}

// AdamW is kernel.Set.AdamW, its scalars one by one.
func (wide Rows) AdamW(theta, m, v, g []float32, clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon float32) {
	n := len(theta)
	m, v, g = m[:n], v[:n], g[:n]
	for i := 0; i < n; i += span {
		wide.adamW(at(theta, i), at(m, i), at(v, i), at(g, i),
			clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon, min(span, n-i))
	}
}
