package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

const (
	preparedEntries = 32 // of a group: a register of words
	// Words whose 84 entries of at most 3·128 stay inside 16 bits.
	wordsPerWiden = 28
	// Two neighbours of each four lines are asked for into the second-level cache, whose requests are not among the few that the first
	// level may have in flight; from there all into the first. The processor's own fetching, set off by the two, brings the others:
	// with them asked for as well decoding takes 5 to 10% more time (1.3b, from memory) and 5 to 6% (370m, from a third-level
	// cache), with every second 10, with one of four 3 (two threads of a Xeon, family 6, model 207). 8 to 24 KiB and 3 to 6 KiB ahead
	// are alike there. On a Zen 4, which has not seen the two alone, the nearer fetching pays two and more KiB ahead.
	prefetchBytes = 12288
	prefetchNear  = 4096
	prefetchedOf4 = 2
)

// prepare512 makes the tables of one token. A permutation of words is a step of each of the two ports that Intel's cores have for 512 bits, one of bytes a step of one: a
// fifth less time (a Xeon, family 6, model 207).
func prepare512(byBytes bool) {
	name, needs, lane := "prepareWords512", "AVX512BW", 1
	permute := VPERMW_Z
	if byBytes {
		name, needs, lane, permute = "prepareBytes512", "AVX512VBMI", 2, VPERMB_Z
	}
	order := GLOBL(name+"order", RODATA|NOPTR)
	masks := [trits]uint64{}
	for d, place := range []int{1, 3, 9} {
		for c := range lane * preparedEntries {
			from := 0
			if digit := c / lane / place % trits; c/lane < entries && digit != 1 {
				masks[d] |= 1 << c
				from = lane*(d+16*(2-digit)/2) + c%lane // the code for a trit +1, its negative for −1
			}
			if byBytes {
				DATA(2*preparedEntries*d+c, U8(uint8(from)))
			} else {
				DATA(2*preparedEntries*d+2*c, U16(uint16(from)))
			}
		}
	}
	asm.Routine(name, "func(prepared *int16, step uintptr, x *int8, n int)")
	Doc(name+" writes, for each group of three codes of 9·n, their 27 signed sums and five zeros, those of nine codes step",
		"bytes behind those before. n ≥ 1. "+needs+". Twin: generic.Prepare. Nine codes stand in words 0…8 of a register and",
		"their negatives in 16…24; each sum's codes are picked out of it, and a mask leaves out those of zero trits.")
	prepared, stride := Load(Param("prepared"), GP64()), Load(Param("step"), GP64())
	x, n := Load(Param("x"), GP64()), Load(Param("n"), GP64())
	const codes = trits * groups
	load, none, three := mask64(1<<codes-1), ZMM(), ZMM()
	VPXORD(none, none, none)
	step := GP32()
	if byBytes {
		MOVL(U32(2*trits*0x0101), step)
	} else {
		MOVL(U32(trits), step)
	}
	VPBROADCASTW(step, three)
	var some [trits]Register
	var index [groups][trits]VecVirtual
	for d := range some {
		some[d] = mask64(masks[d])
		for g := range index {
			index[g][d] = ZMM()
			if g == 0 {
				VMOVDQU16(order.Offset(2*preparedEntries*d), index[g][d])
			} else {
				VPADDW(three, index[g-1][d], index[g][d])
			}
		}
	}
	Label("word")
	v, negative := ZMM(), YMM()
	VPMOVSXBW_Z(Mem{Base: x}, load, v.AsY())
	VPSUBW(v.AsY(), none.AsY(), negative)
	VINSERTI64X4(Imm(1), negative, v, v)
	for g := range index {
		var part [trits]VecVirtual
		for d := range part {
			part[d] = ZMM()
			permute(v, index[g][d], some[d], part[d])
		}
		VPADDW(part[0], part[1], part[1])
		VPADDW(part[1], part[2], part[2])
		VMOVDQU16(part[2], Mem{Base: prepared, Disp: 2 * preparedEntries * g})
	}
	ADDQ(Imm(codes), x)
	ADDQ(stride, prepared)
	DECQ(n)
	JNZ(LabelRef("word"))
	VZEROUPPER()
	RET()
}

func mask64(bits uint64) Register {
	r, k := GP64(), K()
	MOVQ(U64(bits), r)
	KMOVQ(r, k)
	return k
}

// interleave is the order that brings even and odd rows together again.
func interleave() Mem {
	table := GLOBL("interleave512", RODATA|NOPTR)
	for i := range 32 {
		DATA(4*i, U32(uint32(i/2+i%2*16)))
	}
	return table
}

// matVec512 is the inner loop of decoding, for blocks of 32 rows.
func matVec512(blocks int, order Mem) {
	name := fmt.Sprintf("matVec512x%d", blocks)
	asm.Routine(name, "func(dst *float32, words *uint16, stride uintptr, tables *int16, n int, scale float32, low, high uint64)")
	Doc(fmt.Sprintf("%s writes the products of %d rows with one token, prepared in tables, times scale. n word columns, stride", name, 32*blocks),
		"bytes apart; rows whose bit of low, then high, is clear are not written. n ≥ 1. AVX512BW. Twin: generic.MatVec.",
		"Registers: a sum of words and two of dwords a block, three tables, three lookups.")
	dst, words := Load(Param("dst"), GP64()), Load(Param("words"), GP64())
	stride, tables, n := Load(Param("stride"), GP64()), Load(Param("tables"), GP64()), Load(Param("n"), GP64())
	sums, even, odd := make([]VecVirtual, blocks), make([]VecVirtual, blocks), make([]VecVirtual, blocks)
	for b := range blocks {
		sums[b], even[b], odd[b] = ZMM(), ZMM(), ZMM()
		VPXORD(even[b], even[b], even[b])
		VPXORD(odd[b], odd[b], odd[b])
	}
	Label("widen")
	for b := range blocks {
		VPXORD(sums[b], sums[b], sums[b])
	}
	left := GP64()
	MOVQ(U32(wordsPerWiden), left)
	CMPQ(n, left)
	CMOVQLT(n, left)
	SUBQ(left, n)
	Label("word")
	var t [groups]VecVirtual
	for g := range t {
		t[g] = ZMM()
		VMOVDQU64(Mem{Base: tables, Disp: 2 * preparedEntries * g}, t[g])
	}
	for b := range blocks {
		if b < prefetchedOf4 {
			PREFETCHT1(Mem{Base: words, Disp: prefetchBytes + 64*b})
		}
		PREFETCHT0(Mem{Base: words, Disp: prefetchNear + 64*b})
		c0, c1, c2 := ZMM(), ZMM(), ZMM()
		VMOVDQU64(Mem{Base: words, Disp: 64 * b}, c0)
		VPSRLW(Imm(5), c0, c1)
		VPSRLW(Imm(10), c0, c2)
		VPERMW(t[0], c0, c0) // uses the low five bits of each lane
		VPERMW(t[1], c1, c1)
		VPERMW(t[2], c2, c2)
		VPADDW(c0, sums[b], sums[b])
		VPADDW(c1, c2, c2)
		VPADDW(c2, sums[b], sums[b])
	}
	ADDQ(stride, words)
	ADDQ(U32(2*preparedEntries*groups), tables)
	DECQ(left)
	JNZ(LabelRef("word"))
	for b := range blocks {
		w := ZMM()
		VPSLLD(Imm(16), sums[b], w)
		VPSRAD(Imm(16), w, w)
		VPADDD(w, even[b], even[b])
		VPSRAD(Imm(16), sums[b], w)
		VPADDD(w, odd[b], odd[b])
	}
	TESTQ(n, n)
	JNZ(LabelRef("widen"))
	f := ZMM()
	VBROADCASTSS(NewParamAddr("scale", 40), f)
	var bits Register
	for b := range blocks {
		switch b {
		case 0:
			bits = Load(Param("low"), GP64())
		case 2:
			bits = Load(Param("high"), GP64())
		}
		for half := range 2 {
			out, k := ZMM(), K()
			VMOVDQU32(order.Offset(64*half), out)
			VPERMI2D(odd[b], even[b], out)
			VCVTDQ2PS(out, out)
			VMULPS(f, out, out)
			KMOVW(bits.(GPVirtual).As32(), k)
			SHRQ(Imm(16), bits)
			VMOVUPS(out, k, Mem{Base: dst, Disp: 64 * (2*b + half)})
		}
	}
	VZEROUPPER()
	RET()
}
