package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func normRoutines() []routine {
	return []routine{
		{
			"sumSquares", "x *float32, n int", "float32", "Σ x², f32.SumSquares.",
			func(k *kern) {
				x, acc := ptr("x"), k.sums("")
				k.reduce(ptr("n"), acc, func(where at, acc reg.VecVirtual) {
					v := k.load(x, where)
					k.accumulate(acc, k.mul(v, v))
				})
				give(k.fold(acc, VADDPS))
			},
		},
		{
			"normalise", "dst, x, gain *float32, r float32, n, ahead int", "",
			"dst = (x·r)∘gain, the second half of generic.RMSNorm. What lies ahead bytes behind x is fetched.",
			func(k *kern) {
				p, r, ahead := ptrs("dst", "x", "gain"), k.spread("r"), ptr("ahead")
				k.each(ptr("n"), func(where at) {
					k.fetch(where, ahead, 1, p[1])
					k.store(k.mul(k.mul(k.load(p[1], where), r), k.load(p[2], where)), p[0], where)
				})
			},
		},
		{
			"normTop", "x, gain *float32, r float32, n, ahead int", "uint32",
			"f32.MaxAbsBits of (x·r)∘gain. What lies ahead bytes behind x is fetched.",
			func(k *kern) {
				p, r, acc := ptrs("x", "gain"), k.spread("r"), k.sums("")
				k.hold("allButSign")
				ahead := ptr("ahead")
				k.reduce(ptr("n"), acc, func(where at, acc reg.VecVirtual) {
					k.fetch(where, ahead, 1, p[0])
					v := k.and(k.mul(k.mul(k.load(p[0], where), r), k.load(p[1], where)), k.c("allButSign"))
					switch {
					case !k.masked:
						VPMAXUD(v, acc, acc)
					case k.wide:
						VPMAXUD(v, acc, k.mask, acc)
					default:
						VPMAXUD(k.and(v, k.mask), acc, acc)
					}
				})
				top := GP32()
				VMOVD(k.fold(acc, VPMAXUD).AsX(), top)
				Store(top, ReturnIndex(0))
			},
		},
		{
			"normCodes", "codes *int8, x, gain *float32, r, s float32, n int", "",
			"quant.Codes of (x·r)∘gain for a finite s, halves to even.",
			func(k *kern) {
				k.hold("magic")
				normCodes(k, func(v reg.VecVirtual) reg.VecVirtual {
					// The magic number's own low byte is 0, so that of the sum is the code, and needs no conversion.
					return k.add(v, k.c("magic"))
				})
			},
		},
		{
			"normCodesAway", "codes *int8, x, gain *float32, r, s float32, n int", "",
			"normCodes with halves away from zero.",
			func(k *kern) {
				k.hold("half", "minusHalf")
				if k.wide {
					k.hold("intOne")
				}
				normCodes(k, func(v reg.VecVirtual) reg.VecVirtual { return k.roundAway(v) })
			},
		},
		{
			"normSlope", "dgain, dy, x, gain *float32, r float32, n int", "float32",
			"dgain += dy∘x̂ and Σ (dy∘gain)∘x̂, x̂ = x·r: the first half of generic.RMSNormBackward.",
			func(k *kern) {
				p, r, acc := ptrs("dgain", "dy", "x", "gain"), k.spread("r"), k.sums("")
				k.reduce(ptr("n"), acc, func(where at, acc reg.VecVirtual) {
					hat, dy := k.mul(k.load(p[2], where), r), k.load(p[1], where)
					k.accumulate(acc, k.mul(k.mul(dy, k.load(p[3], where)), hat))
					k.store(k.add(k.load(p[0], where), k.mul(dy, hat)), p[0], where)
				})
				give(k.fold(acc, VADDPS))
			},
		},
		{
			"normBack", "dx, dy, x, gain *float32, r, mean float32, n int", "",
			"dx = r·(dy∘gain − x̂·mean), the second half of generic.RMSNormBackward. dx may be dy.",
			func(k *kern) { normBack(k, false) },
		},
		{
			"normBackAdd", "dx, dy, x, gain *float32, r, mean float32, n int", "", "normBack, added to dx.",
			func(k *kern) { normBack(k, true) },
		},
	}
}

func normBack(k *kern, add bool) {
	p, r, mean := ptrs("dx", "dy", "x", "gain"), k.spread("r"), k.spread("mean")
	k.each(ptr("n"), func(where at) {
		hat := k.mul(k.load(p[2], where), r)
		v := k.mul(k.load(p[1], where), k.load(p[3], where))
		d := k.mul(r, k.sub(v, k.mul(hat, mean)))
		if add {
			d = k.add(d, k.load(p[0], where))
		}
		k.store(d, p[0], where)
	})
}

// normCodes stores the low bytes of round's words.
func normCodes(k *kern, round func(v reg.VecVirtual) reg.VecVirtual) {
	p, r, s := ptrs("codes", "x", "gain"), k.spread("r"), k.spread("s")
	k.each(ptr("n"), func(where at) {
		v := k.mul(k.mul(k.load(p[1], where), r), k.load(p[2], where))
		k.storeBytes(round(k.mul(v, s)), p[0], where)
	})
}

// roundAway returns v as integers, halves away from zero: toward zero, then one on where half or more was cut off.
func (k *kern) roundAway(v reg.VecVirtual) reg.VecVirtual {
	whole, back := k.vec(), k.vec()
	VCVTTPS2DQ(v, whole)
	VCVTDQ2PS(whole, back)
	cut := k.sub(v, back)
	if k.wide {
		up, down := K(), K()
		VCMPPS(U8(ordGE), k.c("half"), cut, up)
		VCMPPS(U8(ordLE), k.c("minusHalf"), cut, down)
		VPADDD(k.c("intOne"), whole, up, whole)
		VPSUBD(k.c("intOne"), whole, down, whole)
		return whole
	}
	up, down := k.vec(), k.vec() // −1 where true
	VCMPPS(U8(ordGE), k.c("half"), cut, up)
	VCMPPS(U8(ordLE), k.c("minusHalf"), cut, down)
	return k.two(VPADDD, k.two(VPSUBD, whole, up), down)
}

// storeBytes stores the low byte of each word of v; where's offset counts floats' bytes.
func (k *kern) storeBytes(v reg.VecVirtual, base reg.GPVirtual, where at) {
	index := GP64()
	MOVQ(where.offset, index)
	SHRQ(U8(2), index)
	m := Mem{Base: base, Index: index, Scale: 1}
	if k.wide {
		if k.masked {
			VPMOVDB(v, k.mask, m)
		} else {
			VPMOVDB(v, m)
		}
		return
	}
	// Bytes 0, 4, 8 and 12 of each half to its front, then both fronts side by side.
	VPSHUFB(place("lowBytes"), v, v)
	high, low := XMM(), v.AsX()
	VEXTRACTI128(U8(1), v, high)
	VPUNPCKLDQ(high, low, low)
	if !k.masked {
		VMOVQ(low, m)
		return
	}
	eight, count, loop := GP64(), GP64(), k.label("bytes")
	VMOVQ(low, eight)
	MOVQ(k.left, count)
	Label(loop)
	MOVB(eight.As8(), m)
	SHRQ(U8(8), eight)
	INCQ(index)
	DECQ(count)
	JNZ(LabelRef(loop))
}
