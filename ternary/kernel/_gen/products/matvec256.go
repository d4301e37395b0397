package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// AVX2 looks up bytes only, 16 at a time. A sum plus 384 is at most 768 and is cut into five low bits and the rest, each
// in two tables of 16: bytes of two words' six groups still add up without a carry, and 16-bit sums of those of 704 words.
const (
	preparedBias  = 3 * 128
	lowBits       = 5
	wordsPerSpan  = 512 // a multiple of 2
	tableBytes    = 16
	preparedBytes = 4 * tableBytes // of a group: low 0…15, low 16…31, high 0…15, high 16…31
)

// words16 is a constant of 16 equal words in memory.
func words16(name string, value uint16) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(2*i, U16(value))
	}
	return m
}

// prepare256 makes the tables of one token.
func prepare256() {
	signs := GLOBL("prepare256signs", RODATA|NOPTR)
	for d, place := range []int{1, 3, 9} {
		for c := range 32 {
			sign := c/place%trits - 1
			if c >= entries {
				sign = 0
			}
			DATA(64*d+2*c, I16(int16(sign)))
		}
	}
	bias, low := words16("prepare256bias", preparedBias), words16("prepare256low", 1<<lowBits-1)
	routine("prepare256", "func(prepared *int16, x *int8, n int)")
	Doc("prepare256 writes, for each group of three codes of 9·n, the low five bits of 32 sums plus 384 as bytes, then the",
		"rest of them. n ≥ 1. AVX2. Each code is added, subtracted or left out by the signs of its digits.")
	prepared, x, n := Load(Param("prepared"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	var sign [trits][2]VecVirtual
	for d := range sign {
		for half := range 2 {
			sign[d][half] = YMM()
			VMOVDQU(signs.Offset(64*d+32*half), sign[d][half])
		}
	}
	count := GP64()
	LEAQ(Mem{Base: n, Index: n, Scale: groups - 1}, count)
	Label("group")
	var sum, rest [2]VecVirtual
	for half := range 2 {
		sum[half], rest[half] = YMM(), YMM()
		VMOVDQU(bias, sum[half])
	}
	for d := range trits {
		v := YMM()
		VPBROADCASTB(Mem{Base: x, Disp: d}, v)
		VPSRAW(Imm(8), v, v)
		for half := range 2 {
			part := YMM()
			VPSIGNW(sign[d][half], v, part)
			VPADDW(part, sum[half], sum[half])
		}
	}
	for half := range 2 {
		VPSRLW(Imm(lowBits), sum[half], rest[half])
		VPAND(low, sum[half], sum[half])
	}
	for i, v := range [][2]VecVirtual{sum, rest} {
		VPACKUSWB(v[1], v[0], v[0])
		VPERMQ(Imm(0xd8), v[0], v[0])
		VMOVDQU(v[0], Mem{Base: prepared, Disp: 32 * i})
	}
	ADDQ(Imm(trits), x)
	ADDQ(Imm(preparedBytes), prepared)
	DECQ(count)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// prefetchBytes256 is 64 columns ahead, in the first of the four blocks that read their lines.
const prefetchBytes256 = 16384

// matVec256 is the inner loop of decoding, for a block of 32 rows.
func matVec256(table Mem) {
	low, high := words16("matVec256first", 0x001f), words16("matVec256second", 0x1f00)
	up, down, even := words16("matVec256up", 0x7070), words16("matVec256down", 0x8080), words16("matVec256even", 0x00ff)
	routine("matVec256", "func(dst *float32, sums *int32, words *uint16, stride uintptr, tables *int16, n, rows int, scale float32, start int32)")
	Doc("matVec256 writes the products of rows ≤ 32 rows with one token, prepared in tables, times scale. n word columns,",
		"stride bytes apart; sums is scratch of 32, start is −1152·n, which takes the bias out. n, rows ≥ 1. AVX2. Twin: generic.MatVec.",
		"A code's byte indexes tables of 16: plus 0x70, its top bit, which gives 0, is set from 16 on, and below 16 with that",
		"bit turned. Even bytes are rows 0…15, odd ones 16…31. Registers: 2 sums of bytes, 4 of words, 2 words, 3 indexes.")
	sums, words := Load(Param("sums"), GP64()), Load(Param("words"), GP64())
	stride, tables, n := Load(Param("stride"), GP64()), Load(Param("tables"), GP64()), Load(Param("n"), GP64())
	start := YMM()
	VMOVD(Load(Param("start"), GP32()), start.AsX())
	VPBROADCASTD(start.AsX(), start)
	for i := range 4 {
		VMOVDQU(start, Mem{Base: sums, Disp: 32 * i})
	}
	firstMask, secondMask := YMM(), YMM()
	VMOVDQU(low, firstMask)
	VMOVDQU(high, secondMask)
	var wide [2][2]VecVirtual // [low or high bits][even or odd bytes]
	bytes := [2]VecVirtual{YMM(), YMM()}
	for i := range wide {
		wide[i] = [2]VecVirtual{YMM(), YMM()}
	}

	word := func() {
		w0, w1 := YMM(), YMM()
		VMOVDQU(Mem{Base: words}, w0)
		VMOVDQU(Mem{Base: words, Disp: 32}, w1)
		PREFETCHT0(Mem{Base: words, Disp: prefetchBytes256})
		for g := range groups {
			index, other := YMM(), YMM()
			switch g {
			case 0:
				VPAND(firstMask, w0, index)
				VPSLLW(Imm(8), w1, other)
			case 1:
				VPSRLW(Imm(5), w0, index)
				VPAND(firstMask, index, index)
				VPSLLW(Imm(3), w1, other)
			case 2:
				VPSRLW(Imm(10), w0, index)
				VPSRLW(Imm(2), w1, other)
			}
			VPAND(secondMask, other, other)
			VPOR(other, index, index)
			VPADDB(up, index, index)
			VPXOR(down, index, other)
			for i := range bytes {
				for half, at := range []VecVirtual{index, other} {
					t := YMM()
					VBROADCASTI128(Mem{Base: tables, Disp: preparedBytes*g + tableBytes*(2*i+half)}, t)
					VPSHUFB(at, t, t)
					VPADDB(t, bytes[i], bytes[i])
				}
			}
		}
		ADDQ(stride, words)
		ADDQ(U32(preparedBytes*groups), tables)
	}
	clearBytes := func() {
		for _, b := range bytes {
			VPXOR(b, b, b)
		}
	}
	widen := func() {
		for i, b := range bytes {
			t := YMM()
			VPAND(even, b, t)
			VPADDW(t, wide[i][0], wide[i][0])
			VPSRLW(Imm(8), b, t)
			VPADDW(t, wide[i][1], wide[i][1])
		}
	}

	Label("span")
	for i := range wide {
		for _, v := range wide[i] {
			VPXOR(v, v, v)
		}
	}
	left := GP64()
	MOVQ(U32(wordsPerSpan), left)
	CMPQ(n, left)
	CMOVQLT(n, left)
	SUBQ(left, n)
	SUBQ(Imm(2), left)
	JLT(LabelRef("last"))
	Label("pair")
	clearBytes()
	word()
	word()
	widen()
	SUBQ(Imm(2), left)
	JGE(LabelRef("pair"))
	Label("last")
	INCQ(left) // −1: one word is left over; −2: none
	JNZ(LabelRef("spanned"))
	clearBytes()
	word()
	widen()
	Label("spanned")
	for odd := range 2 {
		for half := range 2 {
			at, v, u := Mem{Base: sums, Disp: 64*odd + 32*half}, YMM(), YMM()
			for i, to := range []VecVirtual{v, u} {
				if half == 0 {
					VPMOVZXWD(wide[i][odd].AsX(), to)
				} else {
					VEXTRACTI128(Imm(1), wide[i][odd], to.AsX())
					VPMOVZXWD(to.AsX(), to)
				}
			}
			VPSLLD(Imm(lowBits), u, u)
			VPADDD(u, v, v)
			VPADDD(at, v, v)
			VMOVDQU(v, at)
		}
	}
	TESTQ(n, n)
	JNZ(LabelRef("span"))
	f, dst := YMM(), Load(Param("dst"), GP64())
	VBROADCASTSS(NewParamAddr("scale", 56), f)
	for i, m := range firstLanes(table, Load(Param("rows"), GP64()), 4) {
		v := YMM()
		VCVTDQ2PS(Mem{Base: sums, Disp: 32 * i}, v)
		VMULPS(f, v, v)
		VMASKMOVPS(v, m, Mem{Base: dst, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()
}
