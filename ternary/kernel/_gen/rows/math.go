package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Predicates of VCMPPS, all quiet: a NaN makes the ordered ones false and the unordered ones true.
const (
	ordGE    = 0x1d
	ordLE    = 0x12
	ordGT    = 0x1e
	notLess  = 0x15
	lessThan = 0x11
)

// holdExp puts the constants of exp and sigmoid into registers; AVX2 has too few and reads all but one from the table.
func (k *kern) holdExp(upper bool) {
	k.hold("one")
	if k.wide {
		k.hold("log2e", "magic", "ln2Hi", "ln2Lo", "p5", "p4", "p3", "p2", "p1", "p0", "lowest", "signBit")
		if upper {
			k.hold("highest", "inf")
		}
	}
}

// exp is f32.Exp. Without upper x is at most 88.02, where n is 127, or NaN.
func (k *kern) exp(x reg.VecVirtual, upper bool) reg.VecVirtual {
	t := k.add(k.mul(x, k.c("log2e")), k.c("magic"))
	n := k.sub(t, k.c("magic"))
	r := k.sub(x, k.mul(n, k.c("ln2Hi")))
	r = k.sub(r, k.mul(n, k.c("ln2Lo")))
	p := k.mul(r, k.c("p5"))
	for _, name := range []string{"p4", "p3", "p2", "p1"} {
		p = k.mul(k.add(p, k.c(name)), r)
	}
	p = k.add(p, k.c("p0"))
	y := k.add(k.add(k.mul(p, k.mul(r, r)), r), k.c("one"))
	if k.wide {
		// y·2^n, rounded once if the result is denormal: what f32 does in two steps, the first of them exact.
		keep, v := K(), k.vec()
		VCMPPS(U8(notLess), k.c("lowest"), x, keep)
		VSCALEFPS_Z(n, y, keep, v)
		if upper {
			big := K()
			VCMPPS(U8(ordGT), k.c("highest"), x, big)
			VMOVAPS(k.cr("inf"), big, v)
		}
		return v
	}
	if upper {
		whole := k.vec()
		VCVTTPS2DQ(n, whole)
		first := k.vec()
		VPSRAD(U8(1), whole, first)
		second := k.two(VPSUBD, whole, first)
		for _, exponent := range []reg.VecVirtual{first, second} {
			VPADDD(k.c("bias"), exponent, exponent)
			VPSLLD(U8(23), exponent, exponent)
		}
		y = k.mul(k.mul(y, first), second)
	} else {
		// One step is exact: n is at most 127, and a result that is not put to 0 below is normal. The low bits of t are n.
		power := k.vec()
		VPSLLD(U8(23), t, power)
		VPADDD(k.c("one"), power, power)
		y = k.mul(y, power)
	}
	keep := k.vec()
	VCMPPS(U8(notLess), k.c("lowest"), x, keep)
	y = k.and(y, keep)
	if upper {
		big := k.vec()
		VCMPPS(U8(ordGT), k.c("highest"), x, big)
		VBLENDVPS(big, k.c("inf"), y, y)
	}
	return y
}

// sigmoid is f32.Sigmoid.
func (k *kern) sigmoid(z reg.VecVirtual) reg.VecVirtual {
	e := k.exp(k.or(z, k.c("signBit")), false)
	over := k.div(k.cr("one"), k.add(e, k.cr("one")))
	numerator := k.vec()
	if k.wide {
		negative := K()
		VPMOVD2M(z, negative)
		VBLENDMPS(e, k.cr("one"), negative, numerator)
	} else {
		VBLENDVPS(z, e, k.cr("one"), numerator)
	}
	return k.mul(numerator, over)
}

// slope is silu'(z) = σ(1 + z(1−σ)).
func (k *kern) slope(z, sig reg.VecVirtual) reg.VecVirtual {
	return k.mul(sig, k.add(k.mul(z, k.sub(k.cr("one"), sig)), k.cr("one")))
}
