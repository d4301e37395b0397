package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

// transposeCodes256 brings the codes of 16 tokens side by side.
func transposeCodes256() {
	asm.Routine("transposeCodes256", "func(dst, x *int8, offsets *uintptr, blocks int)")
	Doc("transposeCodes256 writes x[offsets[t]+k] to dst[k][t], t < 16, k < 16·blocks. blocks ≥ 1. AVX2.")
	dst, x := Load(Param("dst"), GP64()), Load(Param("x"), GP64())
	offsets, blocks := Load(Param("offsets"), GP64()), Load(Param("blocks"), GP64())
	Label("columns")
	v := make([]VecVirtual, 8)
	for i := range v {
		v[i] = YMM()
		for lane := range 2 {
			off := GP64()
			MOVQ(Mem{Base: offsets, Disp: 8 * (8*lane + i)}, off)
			if at := (Mem{Base: x, Index: off, Scale: 1}); lane == 0 {
				VMOVDQU(at, v[i].AsX())
			} else {
				VINSERTI128(Imm(1), at, v[i], v[i])
			}
		}
	}
	for i, c := range interleaveBytes(YMM, v) {
		VPERMQ(Imm(0xd8), c, c)
		VMOVDQU(c, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(Imm(16), x)
	ADDQ(U32(16*16), dst)
	DECQ(blocks)
	JNZ(LabelRef("columns"))
	VZEROUPPER()
	RET()
}

// emit256 turns rows of sums of eight tokens round, eight at a time, and scales them.
func emit256(name, typ string, integer bool, table Mem) {
	asm.Routine(name, fmt.Sprintf("func(dst *float32, ldd uintptr, sums *%s, stride uintptr, scale *float32, tokens, rows int)", typ))
	Doc(name+" writes float32(sums[r·stride+t])·scale[t] to dst[t·ldd+r] for t < tokens ≤ 8 and r < rows; sums has eight",
		"tokens, and rows up to the next multiple of eight. ldd and stride in bytes, tokens and rows ≥ 1. AVX2.")
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	sums, stride := Load(Param("sums"), GP64()), Load(Param("stride"), GP64())
	scale, rows := Load(Param("scale"), GP64()), Load(Param("rows"), GP64())
	Label("rows")
	to, tokens := GP64(), Load(Param("tokens"), GP64())
	MOVQ(dst, to)
	mask := firstLanes(table, asm.AtMost(rows, 8), 1)[0]
	var v [8]VecVirtual
	for i := range v {
		v[i] = YMM()
		VMOVUPS(Mem{Base: sums}, v[i])
		if integer {
			VCVTDQ2PS(v[i], v[i])
		}
		ADDQ(stride, sums)
	}
	for t, c := range transpose8(v) {
		f := YMM()
		VBROADCASTSS(Mem{Base: scale, Disp: 4 * t}, f)
		VMULPS(f, c, c)
		VMASKMOVPS(c, mask, Mem{Base: to})
		if t+1 < len(v) {
			DECQ(tokens)
			JZ(LabelRef("written"))
			ADDQ(ldd, to)
		}
	}
	Label("written")
	ADDQ(Imm(4*8), dst)
	SUBQ(Imm(8), rows)
	JG(LabelRef("rows"))
	VZEROUPPER()
	RET()
}

// transposeFloats256 brings the values of eight tokens side by side.
func transposeFloats256() {
	asm.Routine("transposeFloats256", "func(dst, y *float32, offsets *uintptr, blocks int)")
	Doc("transposeFloats256 writes y[offsets[t]+k] to dst[k][t], t < 8, k < 8·blocks. blocks ≥ 1. AVX2.")
	dst, y := Load(Param("dst"), GP64()), Load(Param("y"), GP64())
	offsets, blocks := Load(Param("offsets"), GP64()), Load(Param("blocks"), GP64())
	Label("columns")
	var v [8]VecVirtual
	for i := range v {
		v[i] = YMM()
		off := GP64()
		MOVQ(Mem{Base: offsets, Disp: 8 * i}, off)
		VMOVUPS(Mem{Base: y, Index: off, Scale: 4}, v[i])
	}
	for i, c := range transpose8(v) {
		VMOVUPS(c, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(Imm(32), y)
	ADDQ(U32(8*32), dst)
	DECQ(blocks)
	JNZ(LabelRef("columns"))
	VZEROUPPER()
	RET()
}
