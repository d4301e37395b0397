package main

import (
	"maps"

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
	t := k.fma(x, k.c("log2e"), k.c("magic"))
	n := k.sub(t, k.c("magic"))
	r := k.vec()
	VMOVAPS(x, r)
	VFNMADD231PS(k.c("ln2Hi"), n, r)
	VFNMADD231PS(k.c("ln2Lo"), n, r)
	y := k.fma(r, k.c("p5"), k.c("p4"))
	for _, name := range []string{"p3", "p2", "p1", "p0", "one", "one"} {
		VFMADD213PS(k.c(name), r, y)
	}
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

// logistic is f32.Logistic in package amd64, a row of 16 for each power, the lowest first.
func logistic(power int) Mem {
	const row = 64
	return NewDataAddr(Symbol{Name: "·logistic"}, power*row)
}

const logisticDegree = 6

// holdSigmoid puts the constants of sigmoid into registers, and its table; AVX2 has too few for that.
func (k *kern) holdSigmoid() {
	k.hold("one", "magic")
	if !k.wide {
		return
	}
	k.hold("allButSign", "signBit", "beyond")
	for power := range logisticDegree + 1 {
		v := k.vec()
		VMOVUPS(logistic(power), v)
		k.table = append(k.table, v)
	}
}

// partial is a sigmoid on its way: of z, from q = σ(−t) with t = |z|, for which y chose the part of the table.
type partial struct{ z, t, y, r, q reg.VecVirtual }

// sigmoids is f32.Sigmoid of one or two vectors. AVX-512 takes them side by side and asks once whether any value is beyond
// the table; AVX2, one after the other.
func (k *kern) sigmoids(z ...reg.VecVirtual) []reg.VecVirtual {
	sigmoids := make([]reg.VecVirtual, len(z))
	if !k.wide {
		for i, v := range z {
			sigmoids[i] = k.sigmoid(v)
		}
		return sigmoids
	}
	list := make([]partial, len(z))
	for i, v := range z {
		list[i] = k.reduceSigmoid(v)
	}
	for power := logisticDegree; power >= 0; power-- {
		for i := range list {
			c := k.vec()
			VPERMPS(k.table[power], list[i].y, c)
			list[i].step(c)
		}
	}
	far := make([]reg.OpmaskVirtual, len(list))
	for i, s := range list {
		far[i] = K()
		VPTESTMD(k.cr("beyond"), s.y, far[i])
	}
	KORTESTW(far[0], far[len(far)-1])
	back := k.label("back")
	JNZ(LabelRef(k.aside(back, func() {
		for i, s := range list {
			VMOVAPS(k.tail(s.t), far[i], s.q)
		}
	})))
	Label(back)
	for i, s := range list {
		positive := K()
		VPTESTNMD(k.cr("signBit"), s.z, positive)
		VSUBPS(s.q, k.cr("one"), positive, s.q)
		sigmoids[i] = s.q
	}
	return sigmoids
}

// sigmoid is f32.Sigmoid on AVX2.
func (k *kern) sigmoid(z reg.VecVirtual) reg.VecVirtual {
	s, upper := k.reduceSigmoid(z), k.vec() // the sign bit of a word of upper chooses a row's half
	VPSLLD(U8(28), s.y, upper)
	for power := logisticDegree; power >= 0; power-- {
		low, high := k.vec(), k.vec()
		VPERMPS(logistic(power), s.y, low)
		VPERMPS(logistic(power).Offset(32), s.y, high)
		VBLENDVPS(upper, high, low, low)
		s.step(low)
	}
	far, back := k.vec(), k.label("back")
	VPCMPGTD(k.c("lastPart"), s.y, far)
	VTESTPS(far, far)
	JNZ(LabelRef(k.aside(back, func() { VBLENDVPS(far, k.tail(k.and(z, k.c("allButSign"))), s.q, s.q) })))
	Label(back)
	VBLENDVPS(z, s.q, k.sub(k.cr("one"), s.q), s.q)
	return s.q
}

// reduceSigmoid finds each value's part of the table, in the lowest four bits of y, and its distance r from the middle.
func (k *kern) reduceSigmoid(z reg.VecVirtual) partial {
	t := k.and(z, k.c("allButSign"))
	y := k.add(t, k.cr("magic"))
	return partial{z: z, t: t, y: y, r: k.sub(t, k.sub(y, k.cr("magic")))}
}

// step is one of Horner's: q = q·r + c, rounded once, in c's register; q = c at first.
func (s *partial) step(c reg.VecVirtual) {
	if s.q != nil {
		VFMADD231PS(s.r, s.q, c)
	}
	s.q = c
}

// tail is σ(−t) beyond the table, e/(1+e) with e = e^−t.
func (k *kern) tail(t reg.VecVirtual) reg.VecVirtual {
	held := k.held
	k.held = maps.Clone(held)
	k.holdExp(false)
	e := k.exp(k.or(t, k.c("signBit")), false)
	q := k.div(e, k.add(e, k.cr("one")))
	k.held = held
	return q
}

// aside keeps what is seldom run for the end of the routine, from where it jumps to the label back.
func (k *kern) aside(back string, body func()) (label string) {
	label = k.label("aside")
	k.asides = append(k.asides, func() {
		Label(label)
		body()
		JMP(LabelRef(back))
	})
	return label
}

// slope is silu'(z) = σ(1 + z(1−σ)).
func (k *kern) slope(z, sig reg.VecVirtual) reg.VecVirtual {
	return k.mul(sig, k.add(k.mul(z, k.sub(k.cr("one"), sig)), k.cr("one")))
}
