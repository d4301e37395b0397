package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The gradient's tile on AVX2: eight sums hide the latency of an addition and leave registers for the products.
const (
	outerRows256  = 4
	outerCols256  = 16
	outerStrip    = 32
	panelBytes256 = outerBlock * outerRows256 * 4
	maskLanes     = 64 // of the table of masks
)

// laneMasks is a table of so many lanes of ones, then as many of zeros.
func laneMasks() Mem {
	table := GLOBL("laneMasks256", RODATA|NOPTR)
	for i := range 2 * maskLanes {
		DATA(4*i, I32(int32(i/maskLanes-1)))
	}
	return table
}

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

// packLeft256 gathers the gradients of up to 32 outputs, times the tokens' factors, in panels of four.
func packLeft256(table Mem) {
	routine("packLeft256", "func(dst, a *float32, stride uintptr, inv *float32, n, rows int)")
	Doc("packLeft256 writes a[t·stride+i]·inv[t], i < 32, to dst[i/4][t][i%4], panels of 256 tokens. Rows from rows on are not",
		"read, and 0. stride in bytes; n ≥ 1. AVX2. Twin: generic.packLeft.")
	dst, a, stride := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64())
	inv, n := Load(Param("inv"), GP64()), Load(Param("n"), GP64())
	masks := firstLanes(table, Load(Param("rows"), GP64()), outerStrip/8)
	Label("token")
	f := YMM()
	VBROADCASTSS(Mem{Base: inv}, f)
	for i, m := range masks {
		v := YMM()
		VMASKMOVPS(Mem{Base: a, Disp: 32 * i}, m, v)
		VMULPS(f, v, v)
		VMOVUPS(v.AsX(), Mem{Base: dst, Disp: 2 * i * panelBytes256})
		VEXTRACTF128(Imm(1), v, Mem{Base: dst, Disp: (2*i + 1) * panelBytes256})
	}
	ADDQ(stride, a)
	ADDQ(Imm(4), inv)
	ADDQ(Imm(4*outerRows256), dst)
	DECQ(n)
	JNZ(LabelRef("token"))
	VZEROUPPER()
	RET()
}

// packCodes256 and packFloats256 convert 16 columns of activations.
func packCodes256() {
	routine("packCodes256", "func(dst *float32, q *int8, stride uintptr, n int)")
	Doc("packCodes256 writes float32(q[t·stride+c]), c < 16, to dst[t][c]. stride in bytes; n ≥ 1. AVX2. Twin:",
		"generic.packRight.")
	packRight256(1, func(from Mem, i int, to VecVirtual) {
		VPMOVSXBD(from, to)
		VCVTDQ2PS(to, to)
	})
}

func packFloats256(table Mem) {
	routine("packFloats256", "func(dst, q *float32, stride uintptr, n, cols int)")
	Doc("packFloats256 writes q[t·stride+c], c < 16, to dst[t][c]. Columns from cols on are not read, and 0. stride in bytes;",
		"n ≥ 1. AVX2. Twin: generic.packRight.")
	masks := firstLanes(table, Load(Param("cols"), GP64()), 2)
	packRight256(4, func(from Mem, i int, to VecVirtual) { VMASKMOVPS(from, masks[i], to) })
}

func packRight256(size int, load func(from Mem, i int, to VecVirtual)) {
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	Label("token")
	for i := range 2 {
		v := YMM()
		load(Mem{Base: q, Disp: 8 * size * i}, i, v)
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(stride, q)
	ADDQ(Imm(4*outerCols256), dst)
	DECQ(n)
	JNZ(LabelRef("token"))
	VZEROUPPER()
	RET()
}

// outerTile256 is the inner loop of the gradients.
func outerTile256(table Mem) {
	routine("outerTile256", "func(dst *float32, stride uintptr, left, right *float32, n, rows, cols int)")
	Doc("outerTile256 adds Σ_t left[t][i]·right[t][c], summed from 0 in order and no product fused, to dst[i·stride+c] for",
		fmt.Sprintf("i < rows ≤ %d and c < cols ≤ %d. stride in bytes; n, rows ≥ 1. AVX2. Twin: generic.outerTile.", outerRows256, outerCols256),
		"Registers: 8 sums, 2 columns, 1 broadcast output, 2 products; later 2 masks.")
	dst, stride := Load(Param("dst"), GP64()), Load(Param("stride"), GP64())
	left, right := Load(Param("left"), GP64()), Load(Param("right"), GP64())
	n, rows := Load(Param("n"), GP64()), Load(Param("rows"), GP64())
	var sums [outerRows256][2]VecVirtual
	for i := range sums {
		for c := range sums[i] {
			sums[i][c] = YMM()
			VXORPS(sums[i][c], sums[i][c], sums[i][c])
		}
	}
	Label("token")
	v := [2]VecVirtual{YMM(), YMM()}
	VMOVUPS(Mem{Base: right}, v[0])
	VMOVUPS(Mem{Base: right, Disp: 32}, v[1])
	for i := range sums {
		b := YMM()
		VBROADCASTSS(Mem{Base: left, Disp: 4 * i}, b)
		for c := range sums[i] {
			product := YMM()
			VMULPS(v[c], b, product)
			VADDPS(product, sums[i][c], sums[i][c])
		}
	}
	ADDQ(Imm(4*outerRows256), left)
	ADDQ(Imm(4*outerCols256), right)
	DECQ(n)
	JNZ(LabelRef("token"))
	masks := firstLanes(table, Load(Param("cols"), GP64()), 2)
	for i := range sums {
		for c, m := range masks {
			to, old := Mem{Base: dst, Disp: 32 * c}, YMM()
			VMASKMOVPS(to, m, old)
			VADDPS(sums[i][c], old, old)
			VMASKMOVPS(old, m, to)
		}
		if i+1 < len(sums) {
			DECQ(rows)
			JZ(LabelRef("done"))
			ADDQ(stride, dst)
		}
	}
	Label("done")
	VZEROUPPER()
	RET()
}
