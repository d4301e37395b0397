package generic

import (
	"math"

	"mmfree/ternary/f32"
)

func top(x []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

// Exponentials is kernel.Set.Exponentials.
func Exponentials(x []float32) (peak, sum float32) {
	peak = top(x)
	var acc [f32.Lanes]float32
	for rest := x; len(rest) > 0; {
		part := rest[:min(f32.Lanes, len(rest))]
		for j, v := range part {
			part[j] = f32.Exp(v - peak)
			acc[j] += part[j]
		}
		rest = rest[len(part):]
	}
	return peak, f32.Sum(acc[:])
}

// LogSumExp is kernel.Set.LogSumExp.
func LogSumExp(x []float32) (peak, sum float32, lse float64) {
	peak = top(x)
	var acc [f32.Lanes]float32
	for rest := x; len(rest) > 0; {
		part := rest[:min(f32.Lanes, len(rest))]
		for j, v := range part {
			acc[j] += f32.Exp(v - peak)
		}
		rest = rest[len(part):]
	}
	sum = f32.Sum(acc[:])
	if !(sum > 0 && sum <= math.MaxFloat32) {
		return peak, sum, math.NaN() // a logit was NaN or infinite
	}
	return peak, sum, float64(peak) + f32.Log(float64(sum))
}

// SoftmaxGradient is kernel.Set.SoftmaxGradient.
func SoftmaxGradient(x []float32, top, sum float32, label int, scale float32) {
	inv := 1 / sum
	for j, v := range x {
		p := float32(f32.Exp(v-top) * inv)
		if j == label {
			p--
		}
		x[j] = p * scale
	}
}

// AdamW is kernel.Set.AdamW.
func AdamW(theta, m, v, g []float32, clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon float32) {
	n := len(theta)
	m, v, g = m[:n], v[:n], g[:n]
	for j, w := range theta {
		d := float32(g[j] * clip)
		mj := float32(beta1*m[j]) + float32(rest1*d)
		vj := float32(beta2*v[j]) + float32(rest2*float32(d*d))
		m[j], v[j] = mj, vj
		theta[j] = float32(w*decay) - float32(rate*mj)/(f32.Sqrt(float32(vj*correction2))+epsilon)
	}
}
