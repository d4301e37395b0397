package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func lossRoutines() []routine {
	return []routine{
		{
			"largest", "x *float32, n int", "float32",
			"the largest value of x that is not NaN, −Inf if there is none; of zeros either.",
			func(k *kern) {
				k.hold("minusInf")
				x, acc := ptr("x"), k.sums("minusInf")
				k.reduce(ptr("n"), acc, func(where at, acc reg.VecVirtual) {
					// VMAXPS gives its second operand, the sum, unless the first is greater: a NaN never is.
					switch v := k.load(x, where); {
					case !k.masked:
						VMAXPS(acc, v, acc)
					case k.wide:
						VMAXPS(acc, v, k.mask, acc)
					default:
						VBLENDVPS(k.mask, v, k.cr("minusInf"), v)
						VMAXPS(acc, v, acc)
					}
				})
				give(k.fold(acc, VMAXPS))
			},
		},
		exponentials("expSum", "acc[j] += e^(x−top) in f32.Sum's order, x at most top or NaN; returns the fold of acc, which it leaves as it is.", false),
		exponentials("exponentials", "expSum, which leaves e^(x−top) in x.", true),
		{
			"softmax", "x *float32, top, inv, scale float32, n int", "",
			"x = (e^(x−top)·inv)·scale, generic.SoftmaxGradient but for the label.",
			func(k *kern) {
				k.holdExp(true)
				x, top, inv, scale := ptr("x"), k.spread("top"), k.spread("inv"), k.spread("scale")
				k.each(ptr("n"), func(where at) {
					e := k.exp(k.sub(k.load(x, where), top), true)
					k.store(k.mul(k.mul(e, inv), scale), x, where)
				})
			},
		},
		{
			"adamW",
			"theta, m, v, d *float32, clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon float32, n int", "",
			"generic.AdamW.",
			func(k *kern) {
				p := ptrs("theta", "m", "v", "d")
				clip, decay, beta1, beta2 := k.spread("clip"), k.spread("decay"), k.spread("beta1"), k.spread("beta2")
				rest1, rest2, rate := k.spread("rest1"), k.spread("rest2"), k.spread("rate")
				correction2, epsilon := k.spread("correction2"), k.spread("epsilon")
				k.each(ptr("n"), func(where at) {
					d := k.mul(k.load(p[3], where), clip)
					m := k.add(k.mul(k.load(p[1], where), beta1), k.mul(d, rest1))
					k.store(m, p[1], where)
					v := k.add(k.mul(k.load(p[2], where), beta2), k.mul(k.mul(d, d), rest2))
					k.store(v, p[2], where)
					root := k.vec()
					VSQRTPS(k.mul(v, correction2), root)
					step := k.div(k.mul(m, rate), k.add(root, epsilon))
					k.store(k.sub(k.mul(k.load(p[0], where), decay), step), p[0], where)
				})
			},
		},
	}
}

// exponentials sums e^(x−top), and keeps them where keep is set.
func exponentials(name, doc string, keep bool) routine {
	return routine{name, "acc *float32, x *float32, top float32, n int", "float32", doc, func(k *kern) {
		k.holdExp(false)
		x, sums, top := ptr("x"), ptr("acc"), k.spread("top")
		var acc []reg.VecVirtual
		for j := range lanes / k.floats() {
			v := k.vec()
			VMOVUPS(Mem{Base: sums, Disp: j * k.bytes()}, v)
			acc = append(acc, v)
		}
		k.reduce(ptr("n"), acc, func(where at, acc reg.VecVirtual) {
			e := k.exp(k.sub(k.load(x, where), top), false)
			if keep {
				k.store(e, x, where)
			}
			k.accumulate(acc, e)
		})
		for j, v := range acc {
			VMOVUPS(v, Mem{Base: sums, Disp: j * k.bytes()})
		}
		give(k.fold(acc, VADDPS))
	}}
}
