package generic

import (
	"math"

	"mmfree/ternary/f32"
)

// Shift is kernel.Set.Shift.
func Shift(dst, x, before, mix []float32) {
	n := len(dst)
	x, before, mix = x[:n], before[:n], mix[:n]
	for j, m := range mix {
		dst[j] = float32(x[j]*m) + float32(before[j]*(1-m))
	}
}

// exponents returns the weights of the sums so far and of a new value, e^(p − top) and e^(own − top), with top, the larger of
// both exponents: one weight is 1.
func exponents(p, own float32) (past, now, top float32) {
	if own > p {
		return f32.Exp(p - own), 1, own
	}
	return 1, f32.Exp(own - p), p
}

// WKV is kernel.Set.WKV.
func WKV(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
	for t := range T {
		if states != nil {
			for part := range 3 {
				copy(states[(3*t+part)*D+c0:(3*t+part)*D+c1], state[part*D+c0:])
			}
		}
		if mask != nil && mask[t] == 0 {
			clear(y[t*D+c0 : t*D+c1])
			continue
		}
		for c := c0; c < c1; c++ {
			at := t*D + c
			a, b, p := sums(state, D, c)
			past, now, _ := exponents(p, bonus[c]+k[at])
			y[at] = (float32(past*a) + float32(now*v[at])) / (float32(past*b) + now)
			past, now, top := exponents(p+rate[c], k[at])
			state[c] = float32(past*a) + float32(now*v[at])
			state[D+c] = float32(past*b) + now
			state[2*D+c] = top
		}
	}
}

// sums returns a channel's state: the sums, divided by e^p, and p. Before the first token all three are 0, which stands for
// p = −∞; behind one b is at least 1.
func sums(state []float32, D, c int) (a, b, p float32) {
	a, b, p = state[c], state[D+c], state[2*D+c]
	if b == 0 {
		p = float32(math.Inf(-1))
	}
	return a, b, p
}

// WKVBackward is kernel.Set.WKVBackward.
func WKVBackward(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		// The results do not depend on p, which only scales: its gradient is 0, and a, b have theirs as if it were a constant.
		var da, db, sumRate, sumBonus float32
		for t := T - 1; t >= 0; t-- {
			at := t*D + c
			a, b, p := sums(states[3*t*D:], D, c)
			key, value := k[at], v[at]
			past, now, _ := exponents(p+rate[c], key)
			lastPast, lastNow, _ := exponents(p, bonus[c]+key)
			g := dy[at] / (float32(lastPast*b) + lastNow)
			own := float32(float32(g*lastNow) * (value - y[at]))
			dk[at] = float32(now*(float32(da*value)+db)) + own
			dv[at] = float32(now*da) + float32(g*lastNow)
			sumRate += float32(past * (float32(da*a) + float32(db*b)))
			sumBonus += own
			reach := float32(g * lastPast)
			da = float32(past*da) + reach
			db = float32(past*db) - float32(reach*y[at])
		}
		drate[c] += sumRate
		dbonus[c] += sumBonus
	}
}

// Receptance is kernel.Set.Receptance.
func Receptance(dst, r, y []float32) {
	dst, y = dst[:len(r)], y[:len(r)]
	for j, z := range r {
		dst[j] = f32.Sigmoid(z) * y[j]
	}
}

// ReceptanceBackward is kernel.Set.ReceptanceBackward.
func ReceptanceBackward(dr, dy, da, r, y []float32) {
	n := len(r)
	dr, dy, da, y = dr[:n], dy[:n], da[:n], y[:n]
	for j, z := range r {
		sig, d := f32.Sigmoid(z), da[j]
		dr[j] = float32(d*y[j]) * float32(sig*(1-sig))
		dy[j] = d * sig
	}
}
