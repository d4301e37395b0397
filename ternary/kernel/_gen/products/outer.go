package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The gradient's tile: eight outputs by 16 columns. Eight sums hide the latency of an addition, 32 outputs, as the backward
// pass cuts them, are four whole panels, and 256 tokens' converted activations and a panel are 24 KB, which a cache of
// 32 KB holds: with 32 columns it does not, 40 against 34 Gmac/s (Zen 4).
const (
	outerRows512  = 8
	outerCols512  = 16
	outerBlock    = 256
	panelBytes512 = outerBlock * outerRows512 * 4
)

// packLeft512 gathers the gradients of up to 32 outputs, times the tokens' factors, in panels of eight.
func packLeft512() {
	routine("packLeft512", "func(dst, a *float32, stride uintptr, inv *float32, n int, mask uint32)")
	Doc("packLeft512 writes a[t·stride+i]·inv[t], i < 32, to dst[i/8][t][i%8], panels of 256 tokens. A clear bit of mask",
		"leaves out i: it is not read, and 0. stride in bytes; n ≥ 1. AVX512F. Twin: generic.packLeft.")
	dst, a, stride := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64())
	inv, n := Load(Param("inv"), GP64()), Load(Param("n"), GP64())
	low, high := masks("mask")
	Label("token")
	f, v0, v1 := ZMM(), ZMM(), ZMM()
	VBROADCASTSS(Mem{Base: inv}, f)
	VMOVUPS_Z(Mem{Base: a}, low, v0)
	VMOVUPS_Z(Mem{Base: a, Disp: 64}, high, v1)
	VMULPS(f, v0, v0)
	VMULPS(f, v1, v1)
	VMOVUPS(v0.AsY(), Mem{Base: dst})
	VEXTRACTF64X4(Imm(1), v0, Mem{Base: dst, Disp: panelBytes512})
	VMOVUPS(v1.AsY(), Mem{Base: dst, Disp: 2 * panelBytes512})
	VEXTRACTF64X4(Imm(1), v1, Mem{Base: dst, Disp: 3 * panelBytes512})
	ADDQ(stride, a)
	ADDQ(Imm(4), inv)
	ADDQ(Imm(outerRows512*4), dst)
	DECQ(n)
	JNZ(LabelRef("token"))
	VZEROUPPER()
	RET()
}

// masks loads a parameter of 32 bits as two masks of 16 lanes.
func masks(name string) (low, high Register) {
	bits := Load(Param(name), GP32())
	k0, k1 := K(), K()
	KMOVW(bits, k0)
	SHRL(Imm(16), bits)
	KMOVW(bits, k1)
	return k0, k1
}

func packCodes512() {
	packRight512("packCodes512", "*int8", func(from Mem, k Register, to VecVirtual) {
		VPMOVSXBD_Z(from, k, to)
		VCVTDQ2PS(to, to)
	})
}

func packFloats512() {
	packRight512("packFloats512", "*float32", func(from Mem, k Register, to VecVirtual) { VMOVUPS_Z(from, k, to) })
}

// packRight512 converts 16 columns of activations.
func packRight512(name, typ string, load func(Mem, Register, VecVirtual)) {
	routine(name, fmt.Sprintf("func(dst *float32, q %s, stride uintptr, n int, mask uint32)", typ))
	Doc(name+" writes float32(q[t·stride+c]), c < 16, to dst[t][c]. A clear bit of mask leaves out c: it is not read, and",
		"0. stride in bytes; n ≥ 1. AVX512F. Twin: generic.packRight.")
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	k := K()
	KMOVW(Load(Param("mask"), GP32()), k)
	Label("token")
	v := ZMM()
	load(Mem{Base: q}, k, v)
	VMOVUPS(v, Mem{Base: dst})
	ADDQ(stride, q)
	ADDQ(Imm(outerCols512*4), dst)
	DECQ(n)
	JNZ(LabelRef("token"))
	VZEROUPPER()
	RET()
}

// outerTile512 is the inner loop of the gradients.
func outerTile512() {
	routine("outerTile512", "func(dst *float32, stride uintptr, left, right *float32, n, rows int, mask uint32)")
	Doc("outerTile512 adds Σ_t left[t][i]·right[t][c], summed from 0 in order and no product fused, to dst[i·stride+c] for",
		"i < rows ≤ 8 and the c < 16 whose bit of mask is set. stride in bytes; n, rows ≥ 1. AVX512F. Twin: generic.outerTile.",
		"Registers: 8 sums, a column, products.")
	dst, stride := Load(Param("dst"), GP64()), Load(Param("stride"), GP64())
	left, right := Load(Param("left"), GP64()), Load(Param("right"), GP64())
	n, rows := Load(Param("n"), GP64()), Load(Param("rows"), GP64())
	k := K()
	KMOVW(Load(Param("mask"), GP32()), k)
	var sums [outerRows512]VecVirtual
	for i := range sums {
		sums[i] = ZMM()
		VPXORD(sums[i], sums[i], sums[i])
	}
	Label("token")
	v := ZMM()
	VMOVUPS(Mem{Base: right}, v)
	for i := range sums {
		product := ZMM()
		VMULPS_BCST(Mem{Base: left, Disp: 4 * i}, v, product)
		VADDPS(product, sums[i], sums[i])
	}
	ADDQ(Imm(outerRows512*4), left)
	ADDQ(Imm(outerCols512*4), right)
	DECQ(n)
	JNZ(LabelRef("token"))
	for i := range sums {
		old := ZMM()
		VMOVUPS_Z(Mem{Base: dst}, k, old)
		VADDPS(sums[i], old, old)
		VMOVUPS(old, k, Mem{Base: dst})
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
