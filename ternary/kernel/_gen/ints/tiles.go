package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const codesDoc = "the token that the last pair may lack is 0. stride in bytes; n ≥ 1."

// intCodes512 widens 32 columns of codes.
func intCodes512() {
	routine("intCodes512", "func(dst *int16, q *int8, stride uintptr, n int, mask uint32)")
	Doc("intCodes512 writes q[t·stride+c], c < 32, to dst[t/2][c][t%2]. A clear bit of mask leaves out c: it is not read, and 0;",
		codesDoc+" AVX512F, AVX512BW, AVX512VL. Twin: generic.codePairs.")
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	n := Load(Param("n"), GP64())
	k := K()
	KMOVD(Load(Param("mask"), GP32()), k)
	load := func() VecVirtual {
		v := YMM()
		VMOVDQU8_Z(Mem{Base: q}, k, v)
		return v
	}
	// store interleaves the bytes of two tokens. An unpacking works within 128 bits, so quarters change places before it.
	store := func(even, odd VecVirtual) {
		low, high := YMM(), YMM()
		VPERMQ(U8(0xd8), even, even)
		VPERMQ(U8(0xd8), odd, odd)
		VPUNPCKLBW(odd, even, low)
		VPUNPCKHBW(odd, even, high)
		for i, v := range []VecVirtual{low, high} {
			z := ZMM()
			VPMOVSXBW(v, z)
			VMOVDQU16(z, Mem{Base: dst, Disp: 64 * i})
		}
	}
	SUBQ(Imm(2), n)
	JLT(LabelRef("last"))
	Label("pair")
	even := load()
	ADDQ(stride, q)
	odd := load()
	ADDQ(stride, q)
	store(even, odd)
	ADDQ(U32(codeBytes), dst)
	SUBQ(Imm(2), n)
	JGE(LabelRef("pair"))
	Label("last")
	ADDQ(Imm(2), n)
	JZ(LabelRef("done"))
	even, odd = load(), YMM()
	VPXOR(odd, odd, odd)
	store(even, odd)
	Label("done")
	VZEROUPPER()
	RET()
}

// intCodes256 widens 32 columns, all of which exist.
func intCodes256() {
	routine("intCodes256", "func(dst *int16, q *int8, stride uintptr, n int)")
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

// intTile512 is the inner loop: 14 rows by 32 columns.
func intTile512(name string, vnni bool) {
	routine(name, "func(dst *float32, stride uintptr, left, codes *int16, down *float32, pairs, rows int, mask uint32)")
	need := "AVX512F, AVX512BW"
	if vnni {
		need += ", AVX512VNNI"
	}
	tileDoc(name, panelRows, panelCols, need+". Columns are those whose bit of mask is set")
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
	Label("pair")
	v := [2]VecVirtual{ZMM(), ZMM()}
	VMOVDQU32(Mem{Base: codes}, v[0])
	VMOVDQU32(Mem{Base: codes, Disp: 64}, v[1])
	for i := range sums {
		g := ZMM()
		VPBROADCASTD(Mem{Base: left, Disp: 4 * i}, g)
		for c, s := range sums[i] {
			if vnni {
				VPDPWSSD(v[c], g, s)
				continue
			}
			product := ZMM()
			VPMADDWD(v[c], g, product)
			VPADDD(product, s, s)
		}
	}
	ADDQ(Imm(leftBytes), left)
	ADDQ(U32(codeBytes), codes)
	DECQ(pairs)
	JNZ(LabelRef("pair"))
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
	routine(name, "func(dst *float32, stride uintptr, left, codes *int16, down *float32, pairs, rows, cols int)")
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
			old := l.load(dst, 0, c)
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
