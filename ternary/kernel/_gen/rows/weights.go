package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// doubleLanes is the number of partial sums in float64 (f32.Lanes64).
const doubleLanes = 32

// weightsAhead is how far before their turn weights and gradients are fetched, in bytes. They come from memory, all of them in order, and yet:
// of 28 GB/s, two threads of a Xeon (family 6, model 207), absSum reads 19 without, 24 with 2 to 4 KiB, 21 with 1 or 8.
const weightsAhead = 3072

func weightRoutines() []routine {
	return []routine{
		{
			"trits", "codes *int8, w *float32, inv float32, n int", "", "quant.Trits, inv its 1/m.",
			func(k *kern) {
				k.hold("half", "allButSign", "intOne")
				p, inv := ptrs("codes", "w"), k.spread("inv")
				k.each(ptr("n"), func(where at) {
					PREFETCHT0(address(p[1], at{where.offset, where.disp + weightsAhead}))
					v := k.mul(k.load(p[1], where), inv)
					size, code := k.and(v, k.cr("allButSign")), k.vec()
					VPSRAD(U8(31), v, code)
					if k.wide {
						above := K()
						VCMPPS(U8(ordGT), k.cr("half"), size, above)
						VPORD_Z(k.cr("intOne"), code, above, code)
					} else {
						above := k.vec()
						VCMPPS(U8(ordGT), k.cr("half"), size, above)
						code = k.and(k.or(code, k.cr("intOne")), above)
					}
					k.storeBytes(code, p[0], where)
				})
			},
		},
		{
			"absSum", "acc *float64, x *float32, n int", "", "acc[j] += |x| in f32.AbsSum's order; n is a multiple of 32.",
			func(k *kern) {
				k.hold("allButSign")
				k.doubles(func(v reg.VecVirtual) reg.VecVirtual {
					return k.double(k.halfOf(VANDPS, v, k.cr("allButSign")))
				})
			},
		},
		{
			"squareSum", "acc *float64, x *float32, n int", "", "acc[j] += x² in f32.SquareSum's order; n is a multiple of 32.",
			func(k *kern) {
				k.doubles(func(v reg.VecVirtual) reg.VecVirtual {
					d := k.double(v)
					return k.two(VMULPD, d, d)
				})
			},
		},
	}
}

// doubles adds what term makes of each half vector of floats, a vector of float64, to the lanes in memory.
func (k *kern) doubles(term func(half reg.VecVirtual) reg.VecVirtual) {
	sums, x, n := ptr("acc"), ptr("x"), ptr("n")
	var acc []reg.VecVirtual
	for j := range doubleLanes * 8 / k.bytes() {
		v := k.vec()
		VMOVUPD(Mem{Base: sums, Disp: j * k.bytes()}, v)
		acc = append(acc, v)
	}
	const line = 64
	loop, test := k.label("loop"), k.label("test")
	JMP(LabelRef(test))
	Label(loop)
	for j, v := range acc {
		half, at := k.halfVec(), j*k.bytes()/2
		if at%line == 0 {
			PREFETCHT0(Mem{Base: x, Disp: at + weightsAhead})
		}
		VMOVUPS(Mem{Base: x, Disp: at}, half)
		VADDPD(term(half), v, v)
	}
	ADDQ(U32(4*doubleLanes), x)
	SUBQ(U32(doubleLanes), n)
	Label(test)
	CMPQ(n, U8(0))
	JG(LabelRef(loop))
	for j, v := range acc {
		VMOVUPD(v, Mem{Base: sums, Disp: j * k.bytes()})
	}
}

// halfVec is a register for as many floats as a vector has float64.
func (k *kern) halfVec() reg.VecVirtual {
	if k.wide {
		return YMM()
	}
	return XMM()
}

// halfOf is two of half a vector; b is a whole one.
func (k *kern) halfOf(op func(...Op), a, b reg.VecVirtual) reg.VecVirtual {
	v := k.halfVec()
	if k.wide {
		op(b.AsY(), a, v)
	} else {
		op(b.AsX(), a, v)
	}
	return v
}

func (k *kern) double(half reg.VecVirtual) reg.VecVirtual {
	v := k.vec()
	VCVTPS2PD(half, v)
	return v
}
