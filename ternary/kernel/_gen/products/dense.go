package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
	"mmfree/ternary/kernel/_gen/tile"
)

// The tiles of the float32 products: with AVX2 6 by 16 are 15 of 16 registers. Fewer rows have tiles of their own.
const (
	denseRows512 = tile.Rows
	denseRows256 = 6
	floatSize    = 4
)

// denseSums is the inner loop of the float32 products for so many rows.
func denseSums(v vector, panelRows, rows int) {
	wide := v.bytes == 64
	if wide {
		asm.Routine(fmt.Sprintf("denseSums%dx512", rows), "func(dst *float32, ldd uintptr, left, right *float32, ldr uintptr, n, rows int, mask, keep uint32)")
		Doc(fmt.Sprintf("denseSums%dx512 writes Σ_k left[k·%d+i]·right[k·ldr+j], from 0 in order and fused, to dst[i·ldd+j] for i < rows ≤ %d", rows, panelRows, rows),
			"and the j < 32 whose bit of mask is set; those of keep are added to what dst holds, others to 0. right holds all 32.",
			"ldd and ldr in bytes; n, rows ≥ 1. AVX512F. Twin: generic.denseSums.")
	} else {
		asm.Routine(fmt.Sprintf("denseSums%dx256", rows), "func(dst *float32, ldd uintptr, left, right *float32, ldr uintptr, n, rows int, add bool)")
		Doc(fmt.Sprintf("denseSums%dx256 writes Σ_k left[k·%d+i]·right[k·ldr+j], from 0 in order and fused, to dst[i·ldd+j] for i < rows ≤ %d", rows, panelRows, rows),
			"and j < 16, added to what dst holds if add is set, else to 0. ldd and ldr in bytes; n, rows ≥ 1. AVX2 and FMA.",
			"Twin: generic.denseSums.")
	}
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	left, right, ldr := Load(Param("left"), GP64()), Load(Param("right"), GP64()), Load(Param("ldr"), GP64())
	n := Load(Param("n"), GP64())
	var sums [denseRows512][2]VecVirtual
	ahead := GP64()
	MOVQ(dst, ahead)
	for i := range rows {
		for h := range sums[i] {
			sums[i][h] = v.reg()
			zero(v, sums[i][h])
		}
		// What the sums are added to comes meanwhile; a row that is not there does no harm.
		PREFETCHT0(Mem{Base: ahead})
		if wide {
			PREFETCHT0(Mem{Base: ahead, Disp: v.bytes})
		}
		if i+1 < rows {
			ADDQ(ldd, ahead)
		}
	}
	SUBQ(Imm(tile.Steps), n)
	JL(LabelRef("last"))
	Label("steps")
	for u := range tile.Steps {
		denseStep(v, sums[:rows], left, right, panelRows*u)
		ADDQ(ldr, right)
	}
	ADDQ(Imm(uint64(tile.Steps*floatSize*panelRows)), left)
	SUBQ(Imm(tile.Steps), n)
	JGE(LabelRef("steps"))
	Label("last")
	ADDQ(Imm(tile.Steps), n)
	JZ(LabelRef("add"))
	denseStep(v, sums[:rows], left, right, 0)
	Label("add")
	count := Load(Param("rows"), GP64())
	if wide {
		denseEmit512(sums[:rows], dst, ldd, count, masks("mask"))
	} else {
		denseEmit256(sums[:rows], dst, ldd, count)
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// denseStep adds one k's products, of the left panel's values from skip on.
func denseStep(v vector, sums [][2]VecVirtual, left, right Register, skip int) {
	var columns [2]VecVirtual
	for h := range columns {
		columns[h] = v.reg()
		VMOVUPS(Mem{Base: right, Disp: v.bytes * h}, columns[h])
	}
	value := v.reg()
	for i, row := range sums {
		at := Mem{Base: left, Disp: floatSize * (skip + i)}
		apart := v.bytes == 64 && tile.Spread(i)
		if !apart {
			VBROADCASTSS(at, value)
		}
		for h, c := range columns {
			if apart {
				VFMADD231PS_BCST(at, c, row[h])
			} else {
				VFMADD231PS(value, c, row[h])
			}
		}
	}
}

func denseEmit512(sums [][2]VecVirtual, dst, ldd, rows Register, mask [2]Register) {
	keep := masks("keep")
	for i, row := range sums {
		for h, sum := range row {
			at, old := Mem{Base: dst, Disp: 64 * h}, ZMM()
			VMOVUPS_Z(at, keep[h], old)
			VADDPS(sum, old, old)
			VMOVUPS(old, mask[h], at)
		}
		nextRow(i+1 < len(sums), dst, ldd, rows)
	}
}

func denseEmit256(sums [][2]VecVirtual, dst, ldd, rows Register) {
	keep, bits := YMM(), GP32()
	Load(Param("add"), bits.As8())
	MOVBLZX(bits.As8(), bits)
	NEGL(bits)
	VMOVD(bits, keep.AsX())
	VPBROADCASTD(keep.AsX(), keep)
	for i, row := range sums {
		for h, sum := range row {
			at, old := Mem{Base: dst, Disp: 32 * h}, YMM()
			VPAND(at, keep, old)
			VADDPS(sum, old, old)
			VMOVUPS(old, at)
		}
		nextRow(i+1 < len(sums), dst, ldd, rows)
	}
}

func nextRow(more bool, dst, ldd, rows Register) {
	if more {
		DECQ(rows)
		JZ(LabelRef("done"))
		ADDQ(ldd, dst)
	}
}

// denseAcross turns lines into panels, a square of lanes at a time.
func denseAcross(v vector, table Mem) {
	lanes := v.bytes / floatSize
	name := fmt.Sprintf("denseAcross%d", 8*v.bytes)
	asm.Routine(name, "func(dst *float32, width uintptr, x *float32, stride uintptr, n, lines int)")
	Doc(fmt.Sprintf("%s writes x[i·stride+k] to dst[k·width+i] for k < n and i < %d; lines from lines on are the last one again.", name, lanes),
		fmt.Sprintf("Up to %d values of k more are written, as 0. width and stride in bytes; n, lines ≥ 1. %s.", lanes-1, v.isa),
		"Twin: gemm.Tile.across.")
	dst, width := Load(Param("dst"), GP64()), Load(Param("width"), GP64())
	x, stride := Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	n, lines := Load(Param("n"), GP64()), Load(Param("lines"), GP64())
	none, most := GP64(), GP64()
	XORQ(none, none)
	MOVQ(U32(uint32(lanes)), most)
	Label("square")
	count := GP64()
	MOVQ(n, count)
	CMPQ(n, most)
	CMOVQGT(most, count)
	var mask Register
	if lanes == 16 {
		bits := GP64()
		MOVQ(I32(-1), bits)
		BZHIQ(count, bits, bits)
		mask = K()
		KMOVW(bits.As32(), mask)
	} else {
		mask = firstLanes(table, count, 1)[0]
	}
	p := GP64()
	MOVQ(x, p)
	rows := make([]VecVirtual, lanes)
	for i := range rows {
		rows[i] = v.reg()
		if lanes == 16 {
			VMOVUPS_Z(Mem{Base: p}, mask, rows[i])
		} else {
			VMASKMOVPS(Mem{Base: p}, mask, rows[i])
		}
		if i+1 < len(rows) {
			step := GP64()
			MOVQ(stride, step)
			CMPQ(lines, Imm(uint64(i+1)))
			CMOVQLE(none, step)
			ADDQ(step, p)
		}
	}
	if lanes == 16 {
		columns := transpose16([16]VecVirtual(rows))
		rows = columns[:]
	} else {
		columns := transpose8([8]VecVirtual(rows))
		rows = columns[:]
	}
	for _, c := range rows {
		VMOVUPS(c, Mem{Base: dst})
		ADDQ(width, dst)
	}
	ADDQ(Imm(uint64(v.bytes)), x)
	SUBQ(most, n)
	JG(LabelRef("square"))
	VZEROUPPER()
	RET()
}

// denseScaled packs gradients that lie side by side, times the tokens' factors.
func denseScaled(v vector, panelRows int, table Mem) {
	name := fmt.Sprintf("denseScaled%d", 8*v.bytes)
	asm.Routine(name, "func(dst, x *float32, stride uintptr, factor *float32, n, rows int)")
	Doc(fmt.Sprintf("%s writes x[k·stride+i]·factor[k] to dst[k·%d+i] for k < n and i < rows; a whole register is stored.", name, panelRows),
		"stride in bytes; n, rows ≥ 1. "+v.isa+". Twin: gemm.Tile.scaled.")
	dst, x, stride := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	factor, n, rows := Load(Param("factor"), GP64()), Load(Param("n"), GP64()), Load(Param("rows"), GP64())
	var mask Register
	if v.bytes == 64 {
		bits := GP64()
		MOVQ(I32(-1), bits)
		BZHIQ(rows, bits, bits)
		mask = K()
		KMOVW(bits.As32(), mask)
	} else {
		mask = firstLanes(table, rows, 1)[0]
	}
	Label("step")
	f, values := v.reg(), v.reg()
	VBROADCASTSS(Mem{Base: factor}, f)
	if v.bytes == 64 {
		VMOVUPS_Z(Mem{Base: x}, mask, values)
	} else {
		VMASKMOVPS(Mem{Base: x}, mask, values)
	}
	VMULPS(f, values, values)
	VMOVUPS(values, Mem{Base: dst})
	ADDQ(stride, x)
	ADDQ(Imm(floatSize), factor)
	ADDQ(Imm(uint64(floatSize*panelRows)), dst)
	DECQ(n)
	JNZ(LabelRef("step"))
	VZEROUPPER()
	RET()
}

func denseCodes512() {
	densePanel512("denseCodes512", "*int8", 16, func(from Mem, k Register, to VecVirtual) {
		VPMOVSXBD_Z(from, k, to)
		VCVTDQ2PS(to, to)
	})
}

func denseFloats512() {
	densePanel512("denseFloats512", "*float32", 64, func(from Mem, k Register, to VecVirtual) { VMOVUPS_Z(from, k, to) })
}

// densePanel512 packs 32 columns that lie side by side.
func densePanel512(name, typ string, bytes int, load func(Mem, Register, VecVirtual)) {
	asm.Routine(name, fmt.Sprintf("func(dst *float32, x %s, stride uintptr, n int, mask uint32)", typ))
	Doc(name+" writes float32(x[k·stride+j]), j < 32, to dst[k·32+j] for k < n. A clear bit of mask leaves out j: it is not",
		"read, and 0. stride in bytes; n ≥ 1. AVX512F. Twin: gemm.Tile.")
	dst, x, stride := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	mask := masks("mask")
	Label("step")
	for h, k := range mask {
		v := ZMM()
		load(Mem{Base: x, Disp: bytes * h}, k, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 64 * h})
	}
	ADDQ(stride, x)
	ADDQ(Imm(128), dst)
	DECQ(n)
	JNZ(LabelRef("step"))
	VZEROUPPER()
	RET()
}

// denseCodes256 packs 16 columns of codes.
func denseCodes256() {
	asm.Routine("denseCodes256", "func(dst *float32, q *int8, stride uintptr, n int)")
	Doc("denseCodes256 writes float32(q[k·stride+j]), j < 16, to dst[k·16+j] for k < n. n ≥ 1. AVX2. Twin: gemm.Tile.codes.")
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	Label("step")
	for h := range 2 {
		v := YMM()
		VPMOVSXBD(Mem{Base: q, Disp: 8 * h}, v)
		VCVTDQ2PS(v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * h})
	}
	ADDQ(stride, q)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("step"))
	VZEROUPPER()
	RET()
}
