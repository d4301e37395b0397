package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	dotLanes  = 64 // f32.Lanes
	floatSize = 4
)

// dense is the product of full-precision rows with activations, in f32.Dot's order: 64 lanes, then halves.
func dense(name string, v vector, rows, tokens int, table Mem) {
	regs := dotLanes * floatSize / v.bytes // of one dot product
	routine(name, "func(dst *float32, ldd uintptr, w, x *float32, stride uintptr, whole int, rest uint64, rows int)")
	Doc(fmt.Sprintf("%s writes dst[t·ldd+r] = w[r·stride:]·x[t·stride:] for t < %d and r < rows, a multiple of %d, in f32.Dot's order.", name, tokens, rows),
		"Columns: whole blocks of 64, then as many as rest says: by its lowest bits (AVX-512), or by its value (AVX2).",
		"ldd and stride in bytes; rows ≥ 1. "+v.isa+". Twin: generic.Dense.")
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	w, x, stride := Load(Param("w"), GP64()), Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("rows"), GP64())
	rest, at := Load(Param("rest"), GP64()), GP64()
	masks := make([]Register, regs)
	if v.bytes == 64 {
		bits := GP64()
		MOVQ(rest, bits)
		for i := range masks {
			masks[i] = K()
			KMOVW(bits.As32(), masks[i])
			SHRQ(Imm(16), bits)
		}
	} else {
		LEAQ(table, at)
		skip := GP64()
		MOVQ(U32(maskLanes), skip)
		SUBQ(rest, skip)
		LEAQ(Mem{Base: at, Index: skip, Scale: 4}, at)
	}
	Label("row")
	acc := make([][][]VecVirtual, rows)
	for r := range acc {
		acc[r] = make([][]VecVirtual, tokens)
		for t := range acc[r] {
			acc[r][t] = make([]VecVirtual, regs)
			for i := range regs {
				acc[r][t][i] = v.reg()
				zero(v, acc[r][t][i])
			}
		}
	}
	p, q, left := GP64(), GP64(), Load(Param("whole"), GP64())
	MOVQ(w, p)
	MOVQ(x, q)
	// block adds one block's products; load reads part i of a row.
	block := func(load func(at Mem, i int, to VecVirtual)) {
		row := func(base Register, i, k int) Mem {
			m := Mem{Base: base, Disp: i * v.bytes}
			if k == 1 {
				m.Index, m.Scale = stride, 1
			}
			return m
		}
		for i := range regs {
			weights := make([]VecVirtual, rows)
			for r := range weights {
				weights[r] = v.reg()
				load(row(p, i, r), i, weights[r])
			}
			for t := range tokens {
				activation := v.reg()
				load(row(q, i, t), i, activation)
				for r := range rows {
					product := v.reg()
					VMULPS(weights[r], activation, product)
					VADDPS(product, acc[r][t][i], acc[r][t][i])
				}
			}
		}
	}
	TESTQ(left, left)
	JZ(LabelRef("rest"))
	Label("block")
	block(func(at Mem, _ int, to VecVirtual) { VMOVUPS(at, to) })
	ADDQ(U32(dotLanes*floatSize), p)
	ADDQ(U32(dotLanes*floatSize), q)
	DECQ(left)
	JNZ(LabelRef("block"))
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("fold"))
	block(func(from Mem, i int, to VecVirtual) {
		if v.bytes == 64 {
			VMOVUPS_Z(from, masks[i], to)
			return
		}
		mask := YMM()
		VMOVDQU(Mem{Base: at, Disp: v.bytes * i}, mask)
		VMASKMOVPS(from, mask, to)
	})
	Label("fold")
	for r := range rows {
		for t := range tokens {
			sum := foldLanes(acc[r][t], v)
			m := Mem{Base: dst, Disp: floatSize * r}
			if t == 1 {
				m.Index, m.Scale = ldd, 1
			}
			VMOVSS(sum, m)
		}
	}
	LEAQ(Mem{Base: w, Index: stride, Scale: uint8(rows)}, w)
	ADDQ(Imm(uint64(floatSize*rows)), dst)
	SUBQ(Imm(uint64(rows)), n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// foldLanes adds halves until one lane is left.
func foldLanes(a []VecVirtual, v vector) Register {
	for n := len(a) / 2; n > 0; n /= 2 {
		for i := range n {
			VADDPS(a[i+n], a[i], a[i])
		}
	}
	upper := v.reg()
	if v.bytes == 64 {
		VEXTRACTF64X4(Imm(1), a[0], upper.AsY())
		VADDPS(upper.AsY(), a[0].AsY(), a[0].AsY())
	}
	low, high := a[0].AsX(), upper.AsX()
	if v.bytes == 64 {
		VEXTRACTF32X4(Imm(1), a[0].AsY(), high) // registers above 15
	} else {
		VEXTRACTF128(Imm(1), a[0].AsY(), high)
	}
	VADDPS(high, low, low)
	VPERMILPS(Imm(0x0e), low, high)
	VADDPS(high, low, low)
	VPERMILPS(Imm(0x01), low, high)
	VADDSS(high, low, low)
	return low
}

// denseBack is the product with the transposed matrix.
func denseBack(name string, v vector, tokens int, table Mem) {
	cols := v.bytes / floatSize
	routine(name, "func(dst *float32, w *float32, stride uintptr, y *float32, ldy uintptr, rows, cols int)")
	Doc(fmt.Sprintf("%s writes dst[t·stride+k] = Σ_r w[r·stride+k]·y[t·ldy+r] for t < %d and k < cols ≤ %d, rows in order from 0.", name, tokens, cols),
		"stride and ldy in bytes; rows ≥ 1. "+v.isa+". Twin: generic.DenseTransposed.")
	w, stride := Load(Param("w"), GP64()), Load(Param("stride"), GP64())
	y, ldy, rows := Load(Param("y"), GP64()), Load(Param("ldy"), GP64()), Load(Param("rows"), GP64())
	count := Load(Param("cols"), GP64())
	var mask Register
	if v.bytes == 64 {
		bits := GP64()
		MOVQ(I32(-1), bits)
		BZHIQ(count, bits, bits)
		mask = K()
		KMOVW(bits.As32(), mask)
	} else {
		mask = firstLanes(table, count, 1)[0]
	}
	fourth, three := GP64(), GP64()
	if tokens > 1 {
		LEAQ(Mem{Base: y, Index: ldy, Scale: 4}, fourth)
		LEAQ(Mem{Base: ldy, Index: ldy, Scale: 2}, three)
	}
	sums := make([]VecVirtual, tokens)
	for t := range sums {
		sums[t] = v.reg()
		zero(v, sums[t])
	}
	Label("row")
	weights := v.reg()
	if v.bytes == 64 {
		VMOVUPS_Z(Mem{Base: w}, mask, weights)
	} else {
		VMASKMOVPS(Mem{Base: w}, mask, weights)
	}
	for t := range sums {
		at := Mem{Base: y}
		if t >= 4 {
			at.Base = fourth
		}
		switch t % 4 {
		case 1, 2:
			at.Index, at.Scale = ldy, uint8(t%4)
		case 3:
			at.Index, at.Scale = three, 1
		}
		product := v.reg()
		if v.bytes == 64 {
			VMULPS_BCST(at, weights, product)
		} else {
			VBROADCASTSS(at, product)
			VMULPS(weights, product, product)
		}
		VADDPS(product, sums[t], sums[t])
	}
	ADDQ(stride, w)
	ADDQ(Imm(floatSize), y)
	if tokens > 1 {
		ADDQ(Imm(floatSize), fourth)
	}
	DECQ(rows)
	JNZ(LabelRef("row"))
	dst := Load(Param("dst"), GP64())
	for t := range sums {
		if v.bytes == 64 {
			VMOVUPS(sums[t], mask, Mem{Base: dst})
		} else {
			VMASKMOVPS(sums[t], mask, Mem{Base: dst})
		}
		if t+1 < len(sums) {
			ADDQ(stride, dst)
		}
	}
	VZEROUPPER()
	RET()
}
