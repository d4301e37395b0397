//go:build amd64 && !noasm

package amd64

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
	if c0 >= c1 {
		return
	}
	a, b, p := state[c0:c1], state[D+c0:D+c1], state[2*D+c0:2*D+c1]
	rate, bonus = rate[c0:c1], bonus[c0:c1]
	for t := range T {
		if states != nil {
			for part, row := range [3][]float32{a, b, p} {
				copy(states[(3*t+part)*D+c0:], row)
			}
		}
		out, key, value := y[t*D+c0:t*D+c1], k[t*D+c0:t*D+c1], v[t*D+c0:t*D+c1]
		if mask != nil && mask[t] == 0 {
			clear(out)
			continue
		}
		for i := 0; i < len(out); i += span {
			wide.wkv(&out[i], &a[i], &b[i], &p[i], &key[i], &value[i], &rate[i], &bonus[i], min(span, len(out)-i))
		}
	}
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
