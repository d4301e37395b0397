//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/kernel/generic"

// Shift is kernel.Set.Shift.
func (wide Rows) Shift(dst, x, before, mix []float32) {
	n := len(dst)
	x, before, mix = x[:n], before[:n], mix[:n]
	for i := 0; i < n; i += span {
		wide.shift(at(dst, i), at(x, i), at(before, i), at(mix, i), min(span, n-i))
	}
}

// Receptance is kernel.Set.Receptance.
func (wide Rows) Receptance(dst, r, y []float32) {
	n := len(r)
	dst, y = dst[:n], y[:n]
	for i := 0; i < n; i += span {
		wide.receptance(at(dst, i), at(r, i), at(y, i), min(span, n-i))
	}
}

// ReceptanceBackward is kernel.Set.ReceptanceBackward.
func (wide Rows) ReceptanceBackward(dr, dy, da, r, y []float32) {
	n := len(r)
	dr, dy, da, y = dr[:n], dy[:n], da[:n], y[:n]
	for i := 0; i < n; i += span {
		wide.receptanceBack(at(dr, i), at(dy, i), at(da, i), at(r, i), at(y, i), min(span, n-i))
	}
}

// WKV is kernel.Set.WKV.
func (wide Rows) WKV(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
	generic.WKVTokens(func(y, a, b, top, k, v, rate, bonus []float32) {
		for i := 0; i < len(y); i += span {
			wide.wkv(&y[i], &a[i], &b[i], &top[i], &k[i], &v[i], &rate[i], &bonus[i], min(span, len(y)-i))
		}
	}, y, states, state, k, v, rate, bonus, mask, T, D, c0, c1)
}

// WKVBackward is kernel.Set.WKVBackward.
func (wide Rows) WKVBackward(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus []float32, T, D, c0, c1 int) {
	for from := c0; from < c1; from += recurChannels {
		to := min(from+recurChannels, c1)
		n := to - from
		var work [4][recurChannels]float32
		for t := T - 1; t >= 0; t-- {
			row, before := func(x []float32) *float32 { return &x[t*D+from:][:n][0] }, states[3*t*D:][:3*D]
			wide.wkvBack(row(dk), row(dv), &work[0][0], row(dy), row(y), &before[from], &before[D+from], &before[2*D+from],
				row(k), row(v), &rate[from], &bonus[from], n)
		}
		wide.Add(drate[from:to], drate[from:to], work[2][:n])
		wide.Add(dbonus[from:to], dbonus[from:to], work[3][:n])
	}
}
