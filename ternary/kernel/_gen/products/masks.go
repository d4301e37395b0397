package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const maskLanes = 64 // of the table of masks

// firstLanes loads masks of the first so many lanes of several registers.
func firstLanes(table Mem, count Register, n int) []VecVirtual {
	at, skip := GP64(), GP64()
	LEAQ(table, at)
	MOVQ(U32(maskLanes), skip)
	SUBQ(count, skip)
	masks := make([]VecVirtual, n)
	for i := range masks {
		masks[i] = YMM()
		VMOVDQU(Mem{Base: at, Index: skip, Scale: 4, Disp: 32 * i}, masks[i])
	}
	return masks
}

// masks loads a parameter of 32 bits as two masks of 16 lanes.
func masks(name string) [2]Register {
	bits := Load(Param(name), GP32())
	k0, k1 := K(), K()
	KMOVW(bits, k0)
	SHRL(Imm(16), bits)
	KMOVW(bits, k1)
	return [2]Register{k0, k1}
}
