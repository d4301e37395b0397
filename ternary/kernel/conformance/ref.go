package conformance

import (
	"math"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
)

// The oracle. w is row-major trits [R, K]; every float operation is one call of add, sub, mul or div.

func add(a, b float32) float32 { return float32(a + b) }
func sub(a, b float32) float32 { return float32(a - b) }
func mul(a, b float32) float32 { return float32(a * b) }
func div(a, b float32) float32 { return float32(a / b) }

// lanes adds values in f32's order: element j to lane j mod 64, then halves.
func lanes(n int, value func(j int) float32) float32 {
	acc := make([]float32, 64)
	for j := range n {
		acc[j%64] = add(acc[j%64], value(j))
	}
	for len(acc) > 1 {
		half := len(acc) / 2
		for j := range half {
			acc[j] = add(acc[j], acc[j+half])
		}
		acc = acc[:half]
	}
	return acc[0]
}

func refMatMul(dst []float32, ldd int, w []int8, R, K, r0, r1 int, x []int8, scale []float32, n int) {
	for t := range n {
		for r := r0; r < min(r1, R); r++ {
			var sum int64
			for k := range K {
				sum += int64(w[r*K+k]) * int64(x[t*K+k])
			}
			dst[t*ldd+r] = mul(float32(sum), scale[t])
		}
	}
}

func refMatMulFloat(dst []float32, ldd int, w []int8, R, K, r0, r1 int, y []float32, n int, scale float32) {
	for t := range n {
		for r := r0; r < min(r1, R); r++ {
			var total float32
			for block := 0; block < K; block += 54 {
				var chain [3]float32
				for k := block; k < min(block+54, K); k += 3 {
					var group float32
					for d := k; d < min(k+3, K); d++ {
						switch w[r*K+d] {
						case 1:
							group = add(group, y[t*K+d])
						case -1:
							group = sub(group, y[t*K+d])
						}
					}
					which := (k - block) / 3 % 3
					chain[which] = add(chain[which], group)
				}
				total = add(total, add(add(chain[0], chain[1]), chain[2]))
			}
			dst[t*ldd+r] = mul(total, scale)
		}
	}
}

// fusedSum adds Σ value(k) = x·y to total by blocks, each step rounded once (f32's test has FMA against math/big).
func fusedSum(total float32, n int, factors func(k int) (x, y float32)) float32 {
	for block := 0; block < n; block += kernel.ProductBlock {
		var sum float32
		for k := block; k < min(block+kernel.ProductBlock, n); k++ {
			x, y := factors(k)
			sum = f32.FMA(x, y, sum)
		}
		total = add(total, sum)
	}
	return total
}

// refOuter serves both forms: codes come as floats, and a nil s is all ones.
func refOuter(dst, a []float32, lda int, s, x []float32, K, n, o0, o1 int) {
	for o := o0; o < o1; o++ {
		for k := range K {
			dst[o*K+k] = fusedSum(dst[o*K+k], n, func(t int) (float32, float32) {
				left := a[t*lda+o]
				if s != nil {
					left = mul(left, div(1, s[t]))
				}
				return left, x[t*K+k]
			})
		}
	}
}

func refDense(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
	for t := range n {
		for r := r0; r < r1; r++ {
			dst[t*ldd+r] = fusedSum(0, K, func(k int) (float32, float32) { return w[r*K+k], x[t*K+k] })
		}
	}
}

func refDenseTransposed(dst, w, y []float32, R, K, n int) {
	for t := range n {
		for k := range K {
			dst[t*K+k] = fusedSum(0, R, func(r int) (float32, float32) { return w[r*K+k], y[t*R+r] })
		}
	}
}

func refInverse(x []float32, eps float32) float32 {
	squares := lanes(len(x), func(j int) float32 { return mul(x[j], x[j]) })
	return div(1, f32.Sqrt(add(div(squares, float32(len(x))), eps)))
}

func refRMSNorm(dst, x, gain []float32, eps float32) float32 {
	r := refInverse(x, eps)
	for j, v := range x {
		dst[j] = mul(mul(v, r), gain[j])
	}
	return r
}

func refNormQuantize(codes []int8, x, gain []float32, eps float32, away bool) (r, s float32) {
	y := make([]float32, len(x))
	r = refRMSNorm(y, x, gain, eps)
	top := 1e-5
	for _, v := range y {
		top = max(top, math.Abs(float64(v))) // NaN if any is
	}
	if math.IsNaN(top) || math.IsInf(top, 0) {
		clear(codes[:len(x)])
		return r, float32(math.NaN())
	}
	s = div(127, float32(top))
	for j, v := range y {
		round := math.RoundToEven
		if away {
			round = halfAway
		}
		codes[j] = int8(min(127, max(-128, round(float64(mul(v, s))))))
	}
	return r, s
}

func halfAway(v float64) float64 { return math.Copysign(math.Floor(math.Abs(v)+0.5), v) }

func refRMSNormBackward(dx, dgain, dy, x, gain []float32, r float32, accumulate bool) {
	n := len(x)
	hat := func(j int) float32 { return mul(x[j], r) }
	v := func(j int) float32 { return mul(dy[j], gain[j]) }
	mean := div(lanes(n, func(j int) float32 { return mul(v(j), hat(j)) }), float32(n))
	for j := range n {
		dgain[j] = add(dgain[j], mul(dy[j], hat(j)))
		d := mul(r, sub(v(j), mul(hat(j), mean)))
		if accumulate {
			d = add(d, dx[j])
		}
		dx[j] = d
	}
}

func refForget(z float32, bound []float32, c int) (f, sig float32) {
	sig = f32.Sigmoid(z)
	if bound == nil {
		return sig, sig
	}
	return add(bound[c], mul(sub(1, bound[c]), sig)), sig
}

func refRecurrence(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		for t := range T {
			at := t*D + c
			f, _ := refForget(z[at], bound, c)
			u := mul(mul(i[at], f32.Sigmoid(i[at])), sub(1, f))
			if mask != nil {
				u = mul(u, mask[t])
			}
			state[c] = add(mul(f, state[c]), u)
			states[at] = state[c]
		}
	}
}

// refSlope is silu'(z) = σ(1 + z(1−σ)).
func refSlope(z float32) float32 {
	sig := f32.Sigmoid(z)
	return mul(sig, add(1, mul(z, sub(1, sig))))
}

func refRecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var delta, next, total float32 // next is f_{t+1}
		for t := T - 1; t >= 0; t-- {
			at := t*D + c
			delta = add(ds[at], mul(next, delta))
			previous := before[c]
			if t > 0 {
				previous = states[at-D]
			}
			f, sig := refForget(z[at], bound, c)
			next = f
			du := delta
			if mask != nil {
				du = mul(du, mask[t])
			}
			di[at] = mul(mul(du, sub(1, f)), refSlope(i[at]))
			df := sub(mul(delta, previous), mul(du, mul(i[at], f32.Sigmoid(i[at]))))
			through := df
			if bound != nil {
				through = mul(df, sub(1, bound[c]))
				total = add(total, mul(df, sub(1, sig)))
			}
			dz[at] = mul(through, mul(sig, sub(1, sig)))
		}
		if bound != nil {
			dbound[c] = add(dbound[c], total)
		}
	}
}

func refOutputGate(dst, g, s, gain []float32, eps float32) float32 {
	r := refInverse(g, eps)
	for j, v := range g {
		dst[j] = mul(mul(mul(v, r), gain[j]), mul(s[j], f32.Sigmoid(s[j])))
	}
	return r
}

func refOutputGateBackward(dg, ds, dgain, da, g, s, gain []float32, r float32) {
	e := make([]float32, len(g))
	for j, v := range g {
		ds[j] = mul(mul(da[j], mul(mul(v, r), gain[j])), refSlope(s[j]))
		e[j] = mul(da[j], mul(s[j], f32.Sigmoid(s[j])))
	}
	refRMSNormBackward(dg, dgain, e, g, gain, r, false)
}

func refSwiGLU(dst, p, q []float32) {
	for j, v := range p {
		dst[j] = mul(mul(v, f32.Sigmoid(v)), q[j])
	}
}

func refSwiGLUBackward(dp, dq, dz, p, q []float32) {
	for j, v := range p {
		dp[j] = mul(mul(dz[j], q[j]), refSlope(v))
		dq[j] = mul(dz[j], mul(v, f32.Sigmoid(v)))
	}
}

func refLogSumExp(x []float32) (top, sum float32, lse float64) {
	top = float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	sum = lanes(len(x), func(j int) float32 { return f32.Exp(sub(x[j], top)) })
	if !(sum > 0) || math.IsInf(float64(sum), 0) {
		return top, sum, math.NaN()
	}
	return top, sum, float64(top) + f32.Log(float64(sum))
}

func refSoftmaxGradient(x []float32, top, sum float32, label int, scale float32) {
	inv := div(1, sum)
	for j, v := range x {
		p := mul(f32.Exp(sub(v, top)), inv)
		if j == label {
			p = sub(p, 1)
		}
		x[j] = mul(p, scale)
	}
}

func refAdamW(theta, m, v, g []float32, a kernel.AdamStep) {
	for j := range theta {
		d := mul(g[j], a.Clip)
		m[j] = add(mul(a.Beta1, m[j]), mul(a.Rest1, d))
		v[j] = add(mul(a.Beta2, v[j]), mul(a.Rest2, mul(d, d)))
		step := div(mul(a.Rate, m[j]), add(f32.Sqrt(mul(v[j], a.Correction2)), a.Epsilon))
		theta[j] = sub(mul(theta[j], a.Decay), step)
	}
}
