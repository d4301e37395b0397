package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func timeMixRoutines() []routine {
	return []routine{
		{
			"shift", "dst, x, before, mix *float32, n int", "", "generic.Shift.",
			func(k *kern) {
				k.hold("one")
				p := ptrs("dst", "x", "before", "mix")
				k.each(ptr("n"), func(where at) {
					m := k.load(p[3], where)
					own := k.mul(k.load(p[1], where), m)
					k.store(k.add(own, k.mul(k.load(p[2], where), k.sub(k.cr("one"), m))), p[0], where)
				})
			},
		},
		{
			"receptance", "dst, r, y *float32, n int", "", "generic.Receptance.",
			func(k *kern) {
				k.holdSigmoid()
				p := ptrs("dst", "r", "y")
				k.eachPair(ptr("n"), func(places ...at) {
					for j, sig := range k.sigmoids(k.loads(p[1], places)...) {
						k.store(k.mul(sig, k.load(p[2], places[j])), p[0], places[j])
					}
				})
			},
		},
		{
			"receptanceBack", "dr, dy, da, r, y *float32, n int", "", "generic.ReceptanceBackward. dr may be r, and dy da.",
			func(k *kern) {
				k.holdSigmoid()
				p := ptrs("dr", "dy", "da", "r", "y")
				k.eachPair(ptr("n"), func(places ...at) {
					for j, sig := range k.sigmoids(k.loads(p[3], places)...) {
						where, d := places[j], k.load(p[2], places[j])
						slope := k.mul(sig, k.sub(k.cr("one"), sig))
						k.store(k.mul(k.mul(d, k.load(p[4], where)), slope), p[0], where)
						k.store(k.mul(d, sig), p[1], where)
					}
				})
			},
		},
		{
			"wkv", "y, a, b, top, key, value, rate, bonus *float32, n int", "",
			"generic.WKV of one token and n channels; a, b and top are the three rows of the state.",
			func(k *kern) {
				zero := k.holdWKV()
				p := ptrs("y", "a", "b", "top", "key", "value", "rate", "bonus")
				y, a, b, top, key, value, rate, bonus := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
				k.each(ptr("n"), func(where at) {
					last := k.exponent(zero, b, top, where)
					past, now := k.exponents(last, k.add(k.load(bonus, where), k.load(key, where)))
					sumA, sumB := k.mul(past, k.load(a, where)), k.mul(past, k.load(b, where))
					sumA = k.add(sumA, k.mul(now, k.load(value, where)))
					k.store(k.div(sumA, k.add(sumB, now)), y, where)

					p, own := k.add(last, k.load(rate, where)), k.load(key, where)
					past, now = k.exponents(p, own)
					k.store(k.two(VMAXPS, own, p), top, where) // p, the second operand, unless own is greater
					k.store(k.add(k.mul(past, k.load(a, where)), k.mul(now, k.load(value, where))), a, where)
					k.store(k.add(k.mul(past, k.load(b, where)), now), b, where)
				})
			},
		},
		{
			"wkvBack", "dk, dv, work, dy, y, a, b, top, key, value, rate, bonus *float32, n int", "",
			"generic.WKVBackward of one token and n ≤ 256 channels, last token first; a, b and top are the rows of the state " +
				"before it. work is [4][256]: da and db, which the later token carries over, the rate's gradient and the bonus's. " +
				"dk may be key, and dv value.",
			wkvBack,
		},
	}
}

// holdWKV returns zeros.
func (k *kern) holdWKV() (zero reg.VecVirtual) {
	k.holdExp(false)
	if k.wide {
		k.hold("minusInf")
	}
	zero = k.vec()
	VXORPS(zero, zero, zero)
	return zero
}

// load1 loads from a pointer parameter, which is read anew: there are more of them than registers.
func (k *kern) load1(name string, where at) reg.VecVirtual { return k.load(ptr(name), where) }

func wkvBack(k *kern) {
	zero := k.holdWKV()
	work := ptr("work")
	k.each(ptr("n"), func(where at) {
		da, db := where, at{where.offset, 4 * workChannels}
		dRate, dBonus := at{where.offset, 8 * workChannels}, at{where.offset, 12 * workChannels}
		last := k.exponent(zero, ptr("b"), ptr("top"), where)
		lastPast, lastNow := k.exponents(last, k.add(k.load1("bonus", where), k.load1("key", where)))
		g := k.div(k.load1("dy", where), k.add(k.mul(lastPast, k.load1("b", where)), lastNow))
		shareNow, reach := k.mul(g, lastNow), k.mul(g, lastPast)
		own := k.mul(shareNow, k.sub(k.load1("value", where), k.load1("y", where)))
		k.store(k.add(k.load(work, dBonus), own), work, dBonus)

		past, now := k.exponents(k.add(last, k.load1("rate", where)), k.load1("key", where))
		a, b := k.load(work, da), k.load(work, db)
		dKey := k.mul(now, k.add(k.mul(a, k.load1("value", where)), b))
		k.store(k.add(dKey, own), ptr("dk"), where)
		k.store(k.add(k.mul(now, a), shareNow), ptr("dv"), where)
		both := k.add(k.mul(a, k.load1("a", where)), k.mul(b, k.load1("b", where)))
		k.store(k.add(k.load(work, dRate), k.mul(past, both)), work, dRate)
		k.store(k.add(k.mul(past, a), reach), work, da)
		k.store(k.sub(k.mul(past, b), k.mul(reach, k.load1("y", where))), work, db)
	})
}

// exponent returns p of the state: −Inf where its sum b is 0, before the first token.
func (k *kern) exponent(zero reg.VecVirtual, b, top reg.GPVirtual, where at) reg.VecVirtual {
	const ordEQ = 0x00
	p := k.load(top, where)
	if k.wide {
		none := K()
		VCMPPS(U8(ordEQ), zero, k.load(b, where), none)
		VMOVAPS(k.cr("minusInf"), none, p)
		return p
	}
	none := k.vec()
	VCMPPS(U8(ordEQ), zero, k.load(b, where), none)
	VBLENDVPS(none, k.c("minusInf"), p, p)
	return p
}

// exponents is generic's: e^−|own − p| is the weight of the smaller exponent, 1 that of the other. Where one is NaN, so is
// the difference.
func (k *kern) exponents(p, own reg.VecVirtual) (past, now reg.VecVirtual) {
	e := k.exp(k.or(k.sub(own, p), k.c("signBit")), false)
	past, now = k.vec(), k.vec()
	if k.wide {
		later := K()
		VCMPPS(U8(ordGT), p, own, later)
		// Not VBLENDMPS: the generator takes its result for one that is read before, and keeps a register for it throughout.
		for _, choice := range []struct{ from, other, to reg.VecVirtual }{{k.cr("one"), e, past}, {e, k.cr("one"), now}} {
			VMOVAPS(choice.from, choice.to)
			VMOVAPS(choice.other, later, choice.to)
		}
		return past, now
	}
	later := k.vec()
	VCMPPS(U8(ordGT), p, own, later)
	VBLENDVPS(later, e, k.cr("one"), past)
	VBLENDVPS(later, k.cr("one"), e, now)
	return past, now
}
