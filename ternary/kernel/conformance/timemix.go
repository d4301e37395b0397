package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
)

// RWKV-4's token mixer: the oracle walks one channel at a time, the exponents' maximum by comparison.

// refWKVToken returns y and the state behind one token of one channel; seen is false before the first.
func refWKVToken(a, b, p float32, seen bool, key, value, rate, bonus float32) (y, na, nb, np float32) {
	weigh := func(past, own float32) (float32, float32, float32) {
		top := own
		if seen {
			if past > own || past != past {
				top = past
			}
			return f32.Exp(past - top), f32.Exp(own - top), top
		}
		return 0, f32.Exp(own - top), top
	}
	e, o, _ := weigh(p, add(bonus, key))
	y = div(add(mul(e, a), mul(o, value)), add(mul(e, b), o))
	e, o, np = weigh(add(p, rate), key)
	return y, add(mul(e, a), mul(o, value)), add(mul(e, b), o), np
}

func refWKV(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
	for c := c0; c < c1; c++ {
		for t := range T {
			for part := range 3 {
				states[(3*t+part)*D+c] = state[part*D+c]
			}
			if mask != nil && mask[t] == 0 {
				y[t*D+c] = 0
				continue
			}
			y[t*D+c], state[c], state[D+c], state[2*D+c] = refWKVToken(state[c], state[D+c], state[2*D+c], state[D+c] != 0, k[t*D+c], v[t*D+c], rate[c], bonus[c])
		}
	}
}

func timeMixing(t *testing.T, set *kernel.Set) {
	rng := rand.New(rand.NewPCG(11, 1))
	for round := range 200 {
		T, D, c0, c1 := someChannels(rng, round)
		k, v, bonus, rate := floats(rng, T*D), floats(rng, T*D), floats(rng, D), positives(rng, D)
		for c := range rate {
			rate[c] = -rate[c]
		}
		if round%5 == 1 { // exponents beyond what e^x holds
			for j := range k {
				k[j] *= 1e6
			}
		}
		if round%16 == 5 {
			damaged(rng, v)
		}
		before := make([]float32, 3*D)
		if round%3 > 0 {
			copy(before, floats(rng, D))
			copy(before[D:], positives(rng, D))
			copy(before[2*D:], floats(rng, D))
		}
		var mask []float32
		if round%4 > 1 {
			mask = make([]float32, T)
			for j := range mask {
				mask[j] = float32(rng.IntN(2))
			}
		}
		what := fmt.Sprintf("T %d, D %d, channels [%d, %d), mask %v", T, D, c0, c1, mask)
		y, states, state := newOut(rng, T*D), newOut(rng, 3*T*D), newOut(rng, 3*D)
		copy(state.got, before)
		copy(state.want, before)
		set.WKV(y.got, states.got, state.got, k, v, rate, bonus, mask, T, D, c0, c1)
		refWKV(y.want, states.want, state.want, k, v, rate, bonus, mask, T, D, c0, c1)
		y.check(t, "WKV's y, %s", what)
		states.check(t, "WKV's states, %s", what)
		state.check(t, "WKV's state, %s", what)

		// In two calls, without states: the same bits.
		cut, twice, other := rng.IntN(T+1), newOut(rng, T*D), slices.Clone(before)
		var first, second []float32
		if mask != nil {
			first, second = mask[:cut], mask[cut:]
		}
		set.WKV(twice.got, nil, other, k, v, rate, bonus, first, cut, D, c0, c1)
		set.WKV(twice.got[cut*D:], nil, other, k[cut*D:], v[cut*D:], rate, bonus, second, T-cut, D, c0, c1)
		refWKV(twice.want, make([]float32, 3*T*D), slices.Clone(before), k, v, rate, bonus, mask, T, D, c0, c1)
		twice.check(t, "WKV's y in two calls, %s", what)

		if mask == nil {
			wkvBackward(t, set, rng, before, k, v, rate, bonus, T, D, c0, c1, what)
		}
	}
	rowMixing(t, set, rng)
}

// wkvBackward: the gradients are the portable set's, channel by channel, in place too, and nothing but the channels is written.
// That they are gradients, the graph's finite differences say.
func wkvBackward(t *testing.T, set *kernel.Set, rng *rand.Rand, before, k, v, rate, bonus []float32, T, D, c0, c1 int, what string) {
	t.Helper()
	y, states, dy := make([]float32, T*D), make([]float32, 3*T*D), floats(rng, T*D)
	refWKV(y, states, slices.Clone(before), k, v, rate, bonus, nil, T, D, 0, D)
	dk, dv, drate, dbonus := newOut(rng, T*D), newOut(rng, T*D), filled(rng, D), filled(rng, D)
	portable := kernel.Generic()
	for c := c0; c < c1; c++ {
		portable.WKVBackward(dk.want, dv.want, drate.want, dbonus.want, dy, y, states, k, v, rate, bonus, T, D, c, c+1)
	}
	set.WKVBackward(dk.got, dv.got, drate.got, dbonus.got, dy, y, states, k, v, rate, bonus, T, D, c0, c1)
	dk.check(t, "WKVBackward's dk, %s", what)
	dv.check(t, "WKVBackward's dv, %s", what)
	drate.check(t, "WKVBackward's drate, %s", what)
	dbonus.check(t, "WKVBackward's dbonus, %s", what)
	inK, inV := slices.Clone(k), slices.Clone(v)
	set.WKVBackward(inK, inV, make([]float32, D), make([]float32, D), dy, y, states, inK, inV, rate, bonus, T, D, c0, c1)
	for at := range T * D {
		if c := at % D; c >= c0 && c < c1 {
			checkSame(t, "WKVBackward's dk in place, "+what, inK[at], dk.want[at])
			checkSame(t, "WKVBackward's dv in place, "+what, inV[at], dv.want[at])
		}
	}
}

func rowMixing(t *testing.T, set *kernel.Set, rng *rand.Rand) {
	for _, n := range rowLengths() {
		x, before, mix, r, up := floats(rng, n), floats(rng, n), floats(rng, n), floats(rng, n), floats(rng, n)
		for j := range r { // both ends of the exponential
			if rng.IntN(20) == 0 {
				r[j] = float32(rng.IntN(400) - 200)
			}
		}
		if n%7 == 3 {
			damaged(rng, r)
		}
		o := newOut(rng, n)
		set.Shift(o.got, x, before, mix)
		for j := range x {
			o.want[j] = add(mul(x[j], mix[j]), mul(before[j], add(1, -mix[j])))
		}
		o.check(t, "Shift, row of %d", n)
		a, dr, dy := newOut(rng, n), newOut(rng, n), newOut(rng, n)
		set.Receptance(a.got, r, x)
		set.ReceptanceBackward(dr.got, dy.got, up, r, x)
		for j := range x {
			sig := f32.Sigmoid(r[j])
			a.want[j] = mul(sig, x[j])
			dr.want[j] = mul(mul(up[j], x[j]), mul(sig, add(1, -sig)))
			dy.want[j] = mul(up[j], sig)
		}
		a.check(t, "Receptance, row of %d", n)
		dr.check(t, "ReceptanceBackward's dr, row of %d", n)
		dy.check(t, "ReceptanceBackward's dy, row of %d", n)
		copy(dr.got, r)
		copy(dy.got, up)
		set.ReceptanceBackward(dr.got, dy.got, dy.got, dr.got, x)
		dr.check(t, "ReceptanceBackward's dr in place, row of %d", n)
		dy.check(t, "ReceptanceBackward's dy in place, row of %d", n)
	}
}
