//go:build arm64 && !noasm

package arm64

import "mmfree/ternary/kernel/generic"

// Shift is kernel.Set.Shift.
func Shift(dst, x, before, mix []float32) {
	n := len(dst)
	x, before, mix = x[:n], before[:n], mix[:n]
	rest := spans(n, lanes, func(i, n int) { shift(&dst[i], &x[i], &before[i], &mix[i], n) })
	generic.Shift(dst[rest:], x[rest:], before[rest:], mix[rest:])
}

// Receptance is kernel.Set.Receptance.
func Receptance(dst, r, y []float32) {
	dst, y = dst[:len(r)], y[:len(r)]
	rest := spans(len(r), lanes, func(i, n int) { receptance(&dst[i], &r[i], &y[i], n) })
	generic.Receptance(dst[rest:], r[rest:], y[rest:])
}

// ReceptanceBackward is kernel.Set.ReceptanceBackward.
func ReceptanceBackward(dr, dy, da, r, y []float32) {
	n := len(r)
	dr, dy, da, y = dr[:n], dy[:n], da[:n], y[:n]
	rest := spans(n, lanes, func(i, n int) { receptanceBack(&dr[i], &dy[i], &da[i], &r[i], &y[i], n) })
	generic.ReceptanceBackward(dr[rest:], dy[rest:], da[rest:], r[rest:], y[rest:])
}

// WKV is kernel.Set.WKV.
func WKV(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
	generic.WKVTokens(func(y, a, b, top, k, v, rate, bonus []float32) {
		rest := spans(len(y), lanes, func(i, n int) { wkv(&y[i], &a[i], &b[i], &top[i], &k[i], &v[i], &rate[i], &bonus[i], n) })
		generic.WKVToken(y[rest:], a[rest:], b[rest:], top[rest:], k[rest:], v[rest:], rate[rest:], bonus[rest:])
	}, y, states, state, k, v, rate, bonus, mask, T, D, c0, c1)
}

// WKVBackward is kernel.Set.WKVBackward.
func WKVBackward(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus []float32, T, D, c0, c1 int) {
	end := c0 + (c1-c0)/lanes*lanes
	for from := c0; from < end; from += recurChannels {
		to := min(from+recurChannels, end)
		n := to - from
		var work [4][recurChannels]float32
		for t := T - 1; t >= 0; t-- {
			row, before := func(x []float32) *float32 { return &x[t*D+from:][:n][0] }, states[3*t*D:][:3*D]
			wkvBack(row(dk), row(dv), &work[0][0], row(dy), row(y), &before[from], &before[D+from], &before[2*D+from],
				row(k), row(v), &rate[from:][:n][0], &bonus[from:][:n][0], n)
		}
		Add(drate[from:to], drate[from:to], work[2][:n])
		Add(dbonus[from:to], dbonus[from:to], work[3][:n])
	}
	if end < c1 {
		generic.WKVBackward(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus, T, D, end, c1)
	}
}
