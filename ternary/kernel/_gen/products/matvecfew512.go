package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

// fewTokens512 times two blocks of rows are as many sums as leave registers for words and lookups.
const fewTokens512 = 8

// indexTables is, for each group of codes, from which bit on of eight bytes each byte is taken, one below its code's, round the
// end; then a mask of the bits 1…5 of bytes, then the ones that make each high byte's index odd.
func indexTables() Mem {
	table := GLOBL("matVecFewBytes512index", RODATA|NOPTR)
	for g := range groups {
		for i := range 64 { // a word is bytes 2k and 2k+1 of eight
			DATA(64*g+i, U8(uint8((16*(i%8/2)+5*g+63)%64)))
		}
	}
	for i, word := range []uint16{0x3e3e, 0x0100} {
		for j := range 32 {
			DATA(64*(groups+i)+2*j, U16(word))
		}
	}
	return table
}

// matVecFew512 is the inner loop for few tokens: what it costs to load a word and take its codes apart is shared by the
// tokens, each of which adds three lookups and three additions. A table is loaded once for all blocks; as each lookup's memory
// operand it cost a tenth.
//
// There are two forms. Intel's cores take two steps to pick words, so that there a lookup picks bytes, two for each sum: with
// words the routine was a fifth slower. Of 5632×2048 and 8 tokens 250 Gmac/s, where token by token gives 164 (a Xeon core of
// 3.8 GHz). AMD's pick words as fast as bytes, and need not double codes; they deal vector operations to two schedulers in turn,
// each with one of the two ports for lookups: two lookups, then two additions take two cycles, in turn they take 2.5. The same
// product 218 Gmac/s by bytes, 268 by words (a Zen 4 core of 3.7 GHz).
//
// On Intel's cores one port alone picks bytes, and of the other that adds vectors of 512 bits only one does saturating additions. With these no
// addition waits where lookups do: 4% less time in the first-level cache (a Xeon, family 6, model 207).
func matVecFew512(tokens, blocks int, byBytes bool, index Mem) {
	form, needs := "Words", "AVX512BW"
	if byBytes {
		form, needs = "Bytes", "AVX512VBMI"
	}
	name := fmt.Sprintf("matVecFew%s512t%dx%d", form, tokens, blocks)
	asm.Routine(name, "func(sums *int32, words *uint16, stride uintptr, tables *int16, step uintptr, n int, ahead *uint16)")
	Doc(fmt.Sprintf("%s adds, for %d rows and %d tokens, what n word columns name to sums[block][token][32]: 16 even", name, 32*blocks, tokens),
		"rows, then the odd ones. Columns lie stride bytes apart, a column's tables, token by token, step bytes; ahead is what will",
		fmt.Sprintf("be read next, in columns too. 1 ≤ n ≤ %d. %s. Twin: generic.MatVec.", wordsPerWiden, needs))
	sums, words := Load(Param("sums"), GP64()), Load(Param("words"), GP64())
	stride, tables, step := Load(Param("stride"), GP64()), Load(Param("tables"), GP64()), Load(Param("step"), GP64())
	n, ahead := Load(Param("n"), GP64()), Load(Param("ahead"), GP64())
	codes := wordCodes
	if byBytes {
		codes = byteCodes(index)
	}
	acc := make([][]VecVirtual, blocks)
	for b := range acc {
		for range tokens {
			r := ZMM()
			VPXORD(r, r, r)
			acc[b] = append(acc[b], r)
		}
	}
	Label("word")
	c := make([][groups]VecVirtual, blocks)
	for b := range c {
		PREFETCHT1(Mem{Base: ahead, Disp: 64 * b}) // not into the first-level cache, which tables fill: 1 to 3% less time
		w := ZMM()
		VMOVDQU64(Mem{Base: words, Disp: 64 * b}, w)
		c[b] = codes(w)
	}
	load := func(t, g int) VecVirtual {
		table := ZMM()
		VMOVDQU64(Mem{Base: tables, Disp: 2 * preparedEntries * (groups*t + g)}, table)
		return table
	}
	if byBytes {
		for t := range tokens {
			for g := range groups {
				table := load(t, g)
				for b := range acc {
					v := ZMM()
					VPERMB(table, c[b][g], v)
					VPADDSW(v, acc[b][t], acc[b][t]) // never saturates: sums of 28 words fit
				}
			}
		}
	} else {
		for g := range groups {
			for t := range tokens {
				table := load(t, g)
				v := make([]VecVirtual, blocks)
				for b := range v {
					v[b] = ZMM()
					VPERMW(table, c[b][g], v[b])
				}
				for b := range v {
					VPADDW(v[b], acc[b][t], acc[b][t])
				}
			}
		}
	}
	ADDQ(stride, words)
	ADDQ(stride, ahead)
	ADDQ(step, tables)
	DECQ(n)
	JNZ(LabelRef("word"))
	for b := range acc {
		for t, sum := range acc[b] {
			at := Mem{Base: sums, Disp: 128 * (tokens*b + t)}
			w := ZMM()
			VPSLLD(Imm(16), sum, w)
			VPSRAD(Imm(16), w, w)
			VPADDD(at, w, w)
			VMOVDQU64(w, at)
			VPSRAD(Imm(16), sum, sum)
			VPADDD(at.Offset(64), sum, sum)
			VMOVDQU64(sum, at.Offset(64))
		}
	}
	VZEROUPPER()
	RET()
}

// wordCodes takes a word's codes apart for VPERMW, which uses the low five bits of each.
func wordCodes(w VecVirtual) [groups]VecVirtual {
	c := [groups]VecVirtual{w}
	for g := 1; g < groups; g++ {
		c[g] = ZMM()
		VPSRLW(Imm(uint64(5*g)), w, c[g])
	}
	return c
}

// byteCodes takes a word's codes apart for VPERMB: each at bit 1 of both bytes, the high one's odd. One operation moves the bits to
// both bytes; with a shift and a byte permutation 8 tokens took 5 to 10% longer (a Xeon, family 6, model 207).
func byteCodes(index Mem) func(w VecVirtual) [groups]VecVirtual {
	var constants [groups + 2]VecVirtual
	for i := range constants {
		constants[i] = ZMM()
		VMOVDQU64(index.Offset(64*i), constants[i])
	}
	keep, odd := constants[groups], constants[groups+1]
	return func(w VecVirtual) (c [groups]VecVirtual) {
		for g := range c {
			c[g] = ZMM()
			VPMULTISHIFTQB(w, constants[g], c[g])
			VPTERNLOGD(Imm(0xea), odd, keep, c[g]) // c∧keep ∨ odd
		}
		return c
	}
}

// emitFew512 turns a block's sums into the result.
func emitFew512(order Mem) {
	asm.Routine("emitFew512", "func(dst *float32, ldd uintptr, sums *int32, scale *float32, n int, mask uint32)")
	Doc("emitFew512 writes the sums of 32 rows and n tokens, as matVecFew512 leaves them, times scale[t] to dst[t·ldd+r], for the",
		"rows whose bit of mask is set. ldd in bytes; n ≥ 1. AVX512F. Twin: generic.MatVec.")
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	sums, scale, n := Load(Param("sums"), GP64()), Load(Param("scale"), GP64()), Load(Param("n"), GP64())
	mask := masks("mask")
	var halves [2]VecVirtual
	for h := range halves {
		halves[h] = ZMM()
		VMOVDQU32(order.Offset(64*h), halves[h])
	}
	Label("token")
	even, odd, f := ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: sums}, even)
	VMOVDQU64(Mem{Base: sums, Disp: 64}, odd)
	VBROADCASTSS(Mem{Base: scale}, f)
	for h, pick := range halves {
		out := ZMM()
		VMOVDQA32(pick, out)
		VPERMI2D(odd, even, out)
		VCVTDQ2PS(out, out)
		VMULPS(f, out, out)
		VMOVUPS(out, mask[h], Mem{Base: dst, Disp: 64 * h})
	}
	ADDQ(ldd, dst)
	ADDQ(Imm(128), sums)
	ADDQ(Imm(4), scale)
	DECQ(n)
	JNZ(LabelRef("token"))
	VZEROUPPER()
	RET()
}
