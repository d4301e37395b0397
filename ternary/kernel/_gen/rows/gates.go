package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func gateRoutines() []routine {
	return []routine{
		{
			"recur", "states, prev, i, z, bound, mask *float32, maskStep, T, D, n int", "",
			"generic.Recurrence of n neighbouring channels with a bound and a mask: the pointers are those of the first " +
				"token's row, prev that of the state before it, maskStep the bytes from one mask to the next.",
			recur,
		},
		{
			"recurBack", "di, dz, ds, prev, i, z, work, mask *float32, maskStep, T, D, n int", "",
			"generic.RecurrenceBackward of n ≤ 256 neighbouring channels, last token first: the pointers are those of the " +
				"last token's row, prev that of the state before it. work is [3][256]: what the later token carries over, the " +
				"bound's gradient, the bound. di may be i, and dz z.",
			recurBack,
		},
		{
			"gate", "dst, x, s, gain *float32, r float32, n, ahead int", "",
			"dst = ((x·r)∘gain)∘silu(s), the second half of generic.OutputGate. What lies ahead bytes behind x and s is fetched.",
			func(k *kern) {
				k.holdSigmoid()
				p, r, ahead := ptrs("dst", "x", "s", "gain"), k.spread("r"), ptr("ahead")
				k.eachPair(ptr("n"), func(places ...at) {
					for _, where := range places {
						k.fetch(where, ahead, 1, p[1], p[2])
					}
					s := k.loads(p[2], places)
					for j, sig := range k.sigmoids(s...) {
						where, silu := places[j], k.mul(s[j], sig)
						normed := k.mul(k.mul(k.load(p[1], where), r), k.load(p[3], where))
						k.store(k.mul(normed, silu), p[0], where)
					}
				})
			},
		},
		{
			"gateBack", "e, ds, da, x, s, gain *float32, r float32, n int", "",
			"ds = da∘((x·r)∘gain)∘silu'(s) and e = da∘silu(s), the first half of generic.OutputGateBackward.",
			func(k *kern) {
				k.holdSigmoid()
				p, r := ptrs("e", "ds", "da", "x", "s", "gain"), k.spread("r")
				k.eachPair(ptr("n"), func(places ...at) {
					s := k.loads(p[4], places)
					for j, sig := range k.sigmoids(s...) {
						where, da := places[j], k.load(p[2], places[j])
						k.store(k.mul(da, k.mul(s[j], sig)), p[0], where)
						normed := k.mul(k.mul(k.load(p[3], where), r), k.load(p[5], where))
						k.store(k.mul(k.mul(da, normed), k.slope(s[j], sig)), p[1], where)
					}
				})
			},
		},
		{
			"swiGLU", "dst, p, q *float32, n int", "", "generic.SwiGLU.",
			func(k *kern) {
				k.holdSigmoid()
				p := ptrs("dst", "p", "q")
				k.eachPair(ptr("n"), func(places ...at) {
					v := k.loads(p[1], places)
					for j, sig := range k.sigmoids(v...) {
						k.store(k.mul(k.mul(v[j], sig), k.load(p[2], places[j])), p[0], places[j])
					}
				})
			},
		},
		{
			"swiGLUBack", "dp, dq, dz, p, q *float32, n int", "", "generic.SwiGLUBackward. dp may be p, and dq q.",
			func(k *kern) {
				k.holdSigmoid()
				p := ptrs("dp", "dq", "dz", "p", "q")
				k.eachPair(ptr("n"), func(places ...at) {
					v := k.loads(p[3], places)
					for j, sig := range k.sigmoids(v...) {
						where, d, q := places[j], k.load(p[2], places[j]), k.load(p[4], places[j])
						k.store(k.mul(d, k.mul(v[j], sig)), p[1], where)
						k.store(k.mul(k.mul(d, q), k.slope(v[j], sig)), p[0], where)
					}
				})
			},
		},
		{
			"sum", "dst, a, b *float32, n int", "", "generic.Add. dst may be either.",
			func(k *kern) {
				p := ptrs("dst", "a", "b")
				k.each(ptr("n"), func(where at) {
					k.store(k.add(k.load(p[1], where), k.load(p[2], where)), p[0], where)
				})
			},
		},
	}
}

// recurAhead is how many tokens before its turn a row is fetched: too few of its channels lie side by side for the processor to see
// what follows.
const recurAhead = 2

func recur(k *kern) {
	k.holdSigmoid()
	p := ptrs("states", "prev", "i", "z", "bound", "mask", "maskStep", "T", "D", "n")
	states, prev, i, z, bound, mask, maskStep, T, step, n := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]
	SHLQ(U8(2), step)
	row := k.label("row")
	Label(row)
	keep := k.vec()
	VBROADCASTSS(Mem{Base: mask}, keep)
	k.each(n, func(where at) {
		k.fetch(where, step, recurAhead, states, i, z)
		in, lb := k.load(i, where), k.load(bound, where)
		sig := k.sigmoids(in, k.load(z, where))
		f := k.add(lb, k.mul(k.sub(k.cr("one"), lb), sig[1]))
		u := k.mul(k.mul(k.mul(in, sig[0]), k.sub(k.cr("one"), f)), keep)
		k.store(k.add(k.mul(f, k.load(prev, where)), u), states, where)
	})
	MOVQ(states, prev)
	ADDQ(step, states)
	ADDQ(step, i)
	ADDQ(step, z)
	ADDQ(maskStep, mask)
	DECQ(T)
	JNZ(LabelRef(row))
}

func recurBack(k *kern) {
	k.holdSigmoid()
	p := ptrs("di", "dz", "ds", "prev", "i", "z", "work", "mask", "maskStep", "T", "D")
	di, dz, ds, prev, i, z, work, mask, maskStep, T, step := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10]
	SHLQ(U8(2), step)
	NEGQ(step)
	row := k.label("row")
	Label(row)
	keep := k.vec()
	VBROADCASTSS(Mem{Base: mask}, keep)
	k.each(ptr("n"), func(where at) {
		k.fetch(where, step, recurAhead, ds, prev, i, z)
		carried, total, bound := where, at{where.offset, 4 * workChannels}, at{where.offset, 8 * workChannels}
		// Both sigmoids first: AVX2 has few registers, and they need most of them.
		in := k.load(i, where)
		both := k.sigmoids(in, k.load(z, where))
		sigIn, sig := both[0], both[1]
		delta := k.add(k.load(ds, where), k.load(work, carried))
		lb := k.load(work, bound)
		open := k.sub(k.cr("one"), lb)
		f := k.add(lb, k.mul(open, sig))
		k.store(k.mul(f, delta), work, carried)
		du := k.mul(delta, keep)
		through := k.mul(du, k.sub(k.cr("one"), f))
		df := k.sub(k.mul(delta, k.load(prev, where)), k.mul(du, k.mul(in, sigIn)))
		k.store(k.mul(through, k.slope(in, sigIn)), di, where)
		rest := k.sub(k.cr("one"), sig)
		k.store(k.add(k.load(work, total), k.mul(df, rest)), work, total)
		k.store(k.mul(k.mul(df, open), k.mul(sig, rest)), dz, where)
	})
	for _, r := range p[:6] {
		ADDQ(step, r)
	}
	SUBQ(maskStep, mask)
	DECQ(T)
	JNZ(LabelRef(row))
}

// workChannels is the length of each row of recurBack's work.
const workChannels = 256
