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
	WKVTokens(WKVToken, y, states, state, k, v, rate, bonus, mask, T, D, c0, c1)
}

// WKVTokens is kernel.Set.WKV by what takes neighbouring channels through one token, such as WKVToken.
func WKVTokens(token func(y, a, b, top, k, v, rate, bonus []float32), y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
	if c0 >= c1 {
		return
	}
	a, b, top := state[c0:c1], state[D+c0:D+c1], state[2*D+c0:2*D+c1]
	for t := range T {
		if states != nil {
			for part, row := range [3][]float32{a, b, top} {
				copy(states[(3*t+part)*D+c0:], row)
			}
		}
		from, to := t*D+c0, t*D+c1
		if mask != nil && mask[t] == 0 {
			clear(y[from:to])
			continue
		}
		token(y[from:to], a, b, top, k[from:to], v[from:to], rate[c0:c1], bonus[c0:c1])
	}
}

// WKVToken takes channels through one token; a, b and top are their rows of the state.
func WKVToken(y, a, b, top, k, v, rate, bonus []float32) {
	for c := range y {
		p := exponent(b[c], top[c])
		past, now, _ := exponents(p, bonus[c]+k[c])
		y[c] = (float32(past*a[c]) + float32(now*v[c])) / (float32(past*b[c]) + now)
		past, now, larger := exponents(p+rate[c], k[c])
		a[c] = float32(past*a[c]) + float32(now*v[c])
		b[c] = float32(past*b[c]) + now
		top[c] = larger
	}
}

// exponent returns p of a channel's state, whose sums are divided by e^p. Before the first token b and p are 0, which stands for p =
// −∞; behind one b is at least 1.
func exponent(b, p float32) float32 {
	if b == 0 {
		return float32(math.Inf(-1))
	}
	return p
}

// WKVBackward is kernel.Set.WKVBackward.
func WKVBackward(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		// The results do not depend on p, which only scales: its gradient is 0, and a, b have theirs as if it were a constant.
		var da, db, sumRate, sumBonus float32
		for t := T - 1; t >= 0; t-- {
			at := t*D + c
			before := states[3*t*D:]
			a, b := before[c], before[D+c]
			p := exponent(b, before[2*D+c])
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
