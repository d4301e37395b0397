package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

// transposeCodes512 brings the codes of 32 tokens side by side.
func transposeCodes512() {
	asm.Routine("transposeCodes512", "func(dst, x *int8, offsets *uintptr, mask uint64)")
	Doc("transposeCodes512 writes x[offsets[t]+k] to dst[k][t], t < 32, k < 64, 16 columns at a time until no bit of mask is",
		"left. A clear bit of mask leaves out column k: it is not read, and 0. AVX512BW.")
	dst, x := Load(Param("dst"), GP64()), Load(Param("x"), GP64())
	offsets, mask := Load(Param("offsets"), GP64()), Load(Param("mask"), GP64())
	// Behind the byte transposition in 128-bit lanes of eight tokens, the eight bytes of a lane's first column and those
	// of its second are gathered.
	order, bytes := ZMM(), GP64()
	MOVQ(U64(0x0705030106040200), bytes)
	VMOVQ(bytes, order.AsX())
	VPMOVZXBQ(order.AsX(), order)
	Label("columns")
	k := K()
	KMOVW(mask.(GPVirtual).As32(), k)
	var v [8]VecVirtual
	for i := range v {
		v[i] = ZMM()
		for lane := range 4 {
			off := GP64()
			var part Register = XMM()
			MOVQ(Mem{Base: offsets, Disp: 8 * (8*lane + i)}, off)
			if lane == 0 {
				part = v[i].AsX()
			}
			VMOVDQU8_Z(Mem{Base: x, Index: off, Scale: 1}, k, part)
			if lane > 0 {
				VINSERTI32X4(Imm(uint64(lane)), part, v[i], v[i])
			}
		}
	}
	for i, c := range interleaveBytes(ZMM, v[:]) {
		out := ZMM()
		VPERMQ(c, order, out)
		VMOVDQU64(out, Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(Imm(16), x)
	ADDQ(U32(16*32), dst)
	SHRQ(Imm(16), mask)
	JNZ(LabelRef("columns"))
	VZEROUPPER()
	RET()
}

const emitted = 16 // rows and tokens of one transposition of AVX-512

// emit512 turns rows of sums of 16 tokens round, 16 at a time, and scales them.
func emit512(name, typ string, integer bool) {
	asm.Routine(name, fmt.Sprintf("func(dst *float32, ldd uintptr, sums *%s, stride uintptr, scale *float32, tokens, rows int)", typ))
	Doc(name+" writes float32(sums[r·stride+t])·scale[t] to dst[t·ldd+r] for t < tokens ≤ 16 and r < rows; sums has 16 tokens, and",
		"rows up to the next multiple of 16. ldd and stride in bytes, tokens and rows ≥ 1. AVX512F, BMI2.")
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	sums, stride := Load(Param("sums"), GP64()), Load(Param("stride"), GP64())
	scale, rows := Load(Param("scale"), GP64()), Load(Param("rows"), GP64())
	Label("rows")
	to, tokens := GP64(), Load(Param("tokens"), GP64())
	MOVQ(dst, to)
	k, bits := K(), GP32()
	MOVL(U32(1<<emitted-1), bits)
	BZHIL(asm.AtMost(rows, emitted).As32(), bits, bits)
	KMOVW(bits, k)
	var v [emitted]VecVirtual
	for i := range v {
		v[i] = ZMM()
		VMOVUPS(Mem{Base: sums}, v[i])
		if integer {
			VCVTDQ2PS(v[i], v[i])
		}
		ADDQ(stride, sums)
	}
	for t, c := range transpose16(v) {
		VMULPS_BCST(Mem{Base: scale, Disp: 4 * t}, c, c)
		VMOVUPS(c, k, Mem{Base: to})
		if t+1 < len(v) {
			DECQ(tokens)
			JZ(LabelRef("written"))
			ADDQ(ldd, to)
		}
	}
	Label("written")
	ADDQ(Imm(4*emitted), dst)
	SUBQ(Imm(emitted), rows)
	JG(LabelRef("rows"))
	VZEROUPPER()
	RET()
}

// transposeFloats512 brings the values of 16 tokens side by side.
func transposeFloats512() {
	asm.Routine("transposeFloats512", "func(dst, y *float32, offsets *uintptr, mask uint64)")
	Doc("transposeFloats512 writes y[offsets[t]+k] to dst[k][t], t < 16, k < 64, 16 columns at a time until no bit of mask is",
		"left. A clear bit of mask leaves out column k: it is not read, and 0. AVX512F.")
	dst, y := Load(Param("dst"), GP64()), Load(Param("y"), GP64())
	offsets, mask := Load(Param("offsets"), GP64()), Load(Param("mask"), GP64())
	Label("columns")
	k := K()
	KMOVW(mask.(GPVirtual).As32(), k)
	var v [16]VecVirtual
	for i := range v {
		v[i] = ZMM()
		off := GP64()
		MOVQ(Mem{Base: offsets, Disp: 8 * i}, off)
		VMOVUPS_Z(Mem{Base: y, Index: off, Scale: 4}, k, v[i])
	}
	for i, c := range transpose16(v) {
		VMOVUPS(c, Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(Imm(64), y)
	ADDQ(U32(16*64), dst)
	SHRQ(Imm(16), mask)
	JNZ(LabelRef("columns"))
	VZEROUPPER()
	RET()
}
