package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
	"mmfree/ternary/kernel/_gen/tile"
)

const codesDoc = "the token that the last pair may lack is 0. stride in bytes; n ≥ 1."

// intCodes512 widens 32 columns of codes.
func intCodes512() {
	asm.Routine("intCodes512", "func(dst *int16, q *int8, stride uintptr, n int, mask uint32)")
	Doc("intCodes512 writes q[t·stride+c], c < 32, to dst[t/2][c][t%2]. A clear bit of mask leaves out c: it is not read, and 0;",
		codesDoc+" AVX512F, AVX512BW, AVX512VL. Twin: generic.codePairs.")
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	const half = panelCols / 2
	var k [2]Register
	bits := Load(Param("mask"), GP32())
	k[0], k[1] = K(), K()
	KMOVW(bits, k[0])
	SHRL(Imm(half), bits)
	KMOVW(bits, k[1])
	MOVL(U32(0x55555555), bits)
	first, second := K(), K() // of a pair's words
	KMOVD(bits, first)
	KNOTD(first, second)
	load := func(h int) VecVirtual {
		v := ZMM()
		VPMOVSXBD_Z(Mem{Base: q, Disp: half * h}, k[h], v)
		return v
	}
	SUBQ(Imm(2), n)
	JLT(LabelRef("last"))
	Label("pair")
	var pair [2]VecVirtual
	for h := range pair {
		pair[h] = load(h)
	}
	ADDQ(stride, q)
	for h, v := range pair {
		odd := load(h)
		VPSLLD(Imm(16), odd, odd)
		VMOVDQU16(odd, second, v)
		VMOVDQU16(v, Mem{Base: dst, Disp: 64 * h})
	}
	ADDQ(stride, q)
	ADDQ(U32(codeBytes), dst)
	SUBQ(Imm(2), n)
	JGE(LabelRef("pair"))
	Label("last")
	ADDQ(Imm(2), n)
	JZ(LabelRef("done"))
	for h := range pair {
		v := load(h)
		VMOVDQU16_Z(v, first, v)
		VMOVDQU16(v, Mem{Base: dst, Disp: 64 * h})
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// intCodes256 widens 32 columns, all of which exist.
func intCodes256() {
	asm.Routine("intCodes256", "func(dst *int16, q *int8, stride uintptr, n int)")
	Doc("intCodes256 writes q[t·stride+c], c < 32, to dst[t/2][c][t%2];", codesDoc+" AVX2. Twin: generic.codePairs.")
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	store := func(i int, even, odd VecVirtual) {
		low, high := XMM(), XMM()
		VPUNPCKLBW(odd, even, low)
		VPUNPCKHBW(odd, even, high)
		for j, v := range []VecVirtual{low, high} {
			y := YMM()
			VPMOVSXBW(v, y)
			VMOVDQU(y, Mem{Base: dst, Disp: 64*i + 32*j})
		}
	}
	load := func(i int, from Mem) VecVirtual {
		v := XMM()
		from.Disp = 16 * i
		VMOVDQU(from, v)
		return v
	}
	SUBQ(Imm(2), n)
	JLT(LabelRef("last"))
	Label("pair")
	for i := range 2 {
		store(i, load(i, Mem{Base: q}), load(i, Mem{Base: q, Index: stride, Scale: 1}))
	}
	LEAQ(Mem{Base: q, Index: stride, Scale: 2}, q)
	ADDQ(U32(codeBytes), dst)
	SUBQ(Imm(2), n)
	JGE(LabelRef("pair"))
	Label("last")
	ADDQ(Imm(2), n)
	JZ(LabelRef("done"))
	none := XMM()
	VPXOR(none, none, none)
	for i := range 2 {
		store(i, load(i, Mem{Base: q}), none)
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// tileDoc documents a tile of so many columns.
func tileDoc(name string, rows, cols int, needs string) {
	Doc(name+" adds float32(Σ_t left[t][i]·codes[t][c])·down[i] to dst[i·stride+c], the sum exact in 32 bits, for",
		fmt.Sprintf("i < rows ≤ %d and c < cols ≤ %d. left has %d and codes %d bytes a pair of tokens; pairs, rows, cols ≥ 1.", rows, cols, leftBytes, codeBytes),
		fmt.Sprintf("stride in bytes. %s. Twin: generic.intTile.", needs))
}

// intPair512 adds the products of pair p.
func intPair512(sums [panelRows][2]VecVirtual, left, codes Register, p int, vnni bool) {
	var v [2]VecVirtual
	for c := range v {
		v[c] = ZMM()
		VMOVDQU32(Mem{Base: codes, Disp: codeBytes*p + 64*c}, v[c])
	}
	g := ZMM()
	for i := range sums {
		at := Mem{Base: left, Disp: leftBytes*p + 4*i}
		apart := vnni && tile.Spread(i)
		if !apart {
			VPBROADCASTD(at, g)
		}
		for c, s := range sums[i] {
			switch {
			case apart:
				VPDPWSSD_BCST(at, v[c], s)
			case vnni:
				VPDPWSSD(v[c], g, s)
			default:
				product := ZMM()
				VPMADDWD(v[c], g, product)
				VPADDD(product, s, s)
			}
		}
	}
}

// intTile512 is the inner loop: 14 rows by 32 columns.
func intTile512(name string, vnni bool) {
	asm.Routine(name, "func(dst *float32, stride uintptr, left, codes *int16, down *float32, pairs, rows int, mask uint32, next *int8, step uintptr)")
	need := "AVX512F, AVX512BW"
	if vnni {
		need += ", AVX512VNNI"
	}
	tileDoc(name, panelRows, panelCols, fmt.Sprintf("%s. Columns are those whose bit of mask is set; every %d pairs\n// a line is asked for, at next, then step bytes on", need, tile.Steps))
	dst, stride := Load(Param("dst"), GP64()), Load(Param("stride"), GP64())
	left, codes, down := Load(Param("left"), GP64()), Load(Param("codes"), GP64()), Load(Param("down"), GP64())
	pairs, rows := Load(Param("pairs"), GP64()), Load(Param("rows"), GP64())
	var k [2]Register
	bits := Load(Param("mask"), GP32())
	k[0], k[1] = K(), K()
	KMOVW(bits, k[0])
	SHRL(Imm(16), bits)
	KMOVW(bits, k[1])
	ahead := GP64()
	MOVQ(dst, ahead)
	var sums [panelRows][2]VecVirtual
	for i := range sums {
		// What the sums are added to comes meanwhile; a row that is not there does no harm.
		PREFETCHT0(Mem{Base: ahead})
		PREFETCHT0(Mem{Base: ahead, Disp: 64})
		if i+1 < len(sums) {
			ADDQ(stride, ahead)
		}
		for c := range sums[i] {
			sums[i][c] = ZMM()
			VPXORD(sums[i][c], sums[i][c], sums[i][c])
		}
	}
	next, step := Load(Param("next"), GP64()), Load(Param("step"), GP64())
	SUBQ(Imm(tile.Steps), pairs)
	JL(LabelRef("last"))
	Label("steps")
	for p := range tile.Steps {
		intPair512(sums, left, codes, p, vnni)
	}
	PREFETCHT1(Mem{Base: next}) // the first level is full of codes and gradients
	ADDQ(step, next)
	ADDQ(Imm(tile.Steps*leftBytes), left)
	ADDQ(U32(tile.Steps*codeBytes), codes)
	SUBQ(Imm(tile.Steps), pairs)
	JGE(LabelRef("steps"))
	Label("last")
	ADDQ(Imm(tile.Steps), pairs)
	JZ(LabelRef("add"))
	intPair512(sums, left, codes, 0, vnni)
	Label("add")
	for i := range sums {
		for c, s := range sums[i] {
			to, old := Mem{Base: dst, Disp: 64 * c}, ZMM()
			VCVTDQ2PS(s, s)
			VMULPS_BCST(Mem{Base: down, Disp: 4 * i}, s, s)
			VMOVUPS_Z(to, k[c], old)
			VADDPS(s, old, old)
			VMOVUPS(old, k[c], to)
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

// intTile256 is the inner loop on AVX2: a part of a panel's rows, whose ten sums leave six of 16 registers.
func intTile256(tileRows int, table Mem) {
	name := fmt.Sprintf("intTile256x%d", tileRows)
	asm.Routine(name, "func(dst *float32, stride uintptr, left, codes *int16, down *float32, pairs, rows, cols int)")
	tileDoc(name, tileRows, 16, "AVX2")
	dst, stride := Load(Param("dst"), GP64()), Load(Param("stride"), GP64())
	left, codes, down := Load(Param("left"), GP64()), Load(Param("codes"), GP64()), Load(Param("down"), GP64())
	pairs, rows := Load(Param("pairs"), GP64()), Load(Param("rows"), GP64())
	sums := make([][2]VecVirtual, tileRows)
	for i := range sums {
		for c := range sums[i] {
			sums[i][c] = YMM()
			VPXOR(sums[i][c], sums[i][c], sums[i][c])
		}
	}
	Label("pair")
	v := [2]VecVirtual{YMM(), YMM()}
	VMOVDQU(Mem{Base: codes}, v[0])
	VMOVDQU(Mem{Base: codes, Disp: 32}, v[1])
	for i := range sums {
		g := YMM()
		VPBROADCASTD(Mem{Base: left, Disp: 4 * i}, g)
		for c, s := range sums[i] {
			product := YMM()
			VPMADDWD(v[c], g, product)
			VPADDD(product, s, s)
		}
	}
	ADDQ(Imm(leftBytes), left)
	ADDQ(U32(codeBytes), codes)
	DECQ(pairs)
	JNZ(LabelRef("pair"))
	l := newLanes(false, table, "cols")
	for i := range sums {
		factor := YMM()
		VBROADCASTSS(Mem{Base: down, Disp: 4 * i}, factor)
		for c, s := range sums[i] {
			to := Mem{Base: dst, Disp: 32 * c}
			old := l.load(dst, c)
			VCVTDQ2PS(s, s)
			VMULPS(factor, s, s)
			VADDPS(s, old, old)
			VMASKMOVPS(old, l.mask[c], to)
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
