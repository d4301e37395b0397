package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

// AVX2 looks up bytes only, 16 at a time. A code and 26 less it name sums that differ in sign, so that those of codes 13…26
// do: the sum of code 13+m is 32·high + low, −16 ≤ low < 16, each a byte of a table of 16, and takes the sign of the code less
// 13. Bytes of two words' six groups add up without a carry, from 128 so that they may be taken apart without a sign, and
// 16-bit sums of those of 512 words.
const (
	lowBits       = 5
	lowHalf       = 1 << (lowBits - 1)
	middle        = 13 // the code of a zero sum
	tableBytes    = 16
	preparedBytes = 2 * tableBytes // of a group: low, high
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
		for m := range tableBytes {
			sign := 0
			if c := middle + m; c < entries {
				sign = c/place%trits - 1
			}
			DATA(32*d+2*m, I16(int16(sign)))
		}
	}
	lift, mask := words16("prepare256half", lowHalf), words16("prepare256low", 1<<lowBits-1)
	asm.Routine("prepare256", "func(prepared *int16, x *int8, n int)")
	Doc("prepare256 writes, for each group of three codes of 9·n, the low parts of the sums of codes 13…26 as 16 bytes, then the",
		"high ones. n ≥ 1. AVX2. Each code is added, subtracted or left out by the signs of its digits.")
	prepared, x, n := Load(Param("prepared"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	var sign [trits]VecVirtual
	for d := range sign {
		sign[d] = YMM()
		VMOVDQU(signs.Offset(32*d), sign[d])
	}
	up, keep := YMM(), YMM()
	VMOVDQU(lift, up)
	VMOVDQU(mask, keep)
	count := GP64()
	LEAQ(Mem{Base: n, Index: n, Scale: groups - 1}, count)
	Label("group")
	sum, low := YMM(), YMM()
	VMOVDQA(up, sum)
	for d := range trits {
		v := YMM()
		VPBROADCASTB(Mem{Base: x, Disp: d}, v)
		VPSRAW(Imm(8), v, v)
		VPSIGNW(sign[d], v, v)
		VPADDW(v, sum, sum)
	}
	VPAND(keep, sum, low)
	VPSUBW(up, low, low)
	VPSRAW(Imm(lowBits), sum, sum)
	VPACKSSWB(sum, low, low)
	VPERMQ(Imm(0xd8), low, low)
	VMOVDQU(low, Mem{Base: prepared})
	ADDQ(Imm(trits), x)
	ADDQ(Imm(preparedBytes), prepared)
	DECQ(count)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// What is asked for ahead of a column's words, as in matVec512.
const (
	prefetchBytes256 = 8192
	prefetchNear256  = 1024
)

// fewTokens256 tokens' sums of bytes leave registers for words, a code and lookups.
const fewTokens256 = 4

// matVec256 is the inner loop of decoding, for a block of 32 rows: what it costs to take a word's codes apart is shared by the
// tokens. One token's sums of words stay in registers, more tokens' in memory.
func matVec256(tokens int, memory vec256Constants) {
	name := fmt.Sprintf("matVec256t%d", tokens)
	asm.Routine(name, "func(sums *uint16, words *uint16, stride uintptr, tables *int16, step uintptr, n int)")
	Doc(fmt.Sprintf("%s adds to sums, [token][low or high bits][rows 0…15 or 16…31], what n word columns name, for 32 rows and %d tokens,", name, tokens),
		"and 128 for each two words or last one. Columns lie stride bytes apart, the tokens' tables step bytes. n ≥ 1. AVX2. Twin:",
		"generic.MatVec. Even bytes are rows 0…15, odd ones 16…31.")
	sums, words := Load(Param("sums"), GP64()), Load(Param("words"), GP64())
	stride, tables, left := Load(Param("stride"), GP64()), Load(Param("tables"), GP64()), Load(Param("n"), GP64())
	at := make([]Mem, tokens) // their tables
	for t := range at {
		at[t] = Mem{Base: tables}
	}
	if tokens > 1 {
		step, third := Load(Param("step"), GP64()), GP64()
		for t := range at[1:] {
			at[t+1].Index, at[t+1].Scale = step, 1
		}
		if tokens > 2 {
			at[2].Scale = 2
		}
		if tokens > 3 {
			LEAQ(Mem{Base: step, Index: step, Scale: 2}, third)
			at[3].Index = third
		}
	}
	constants := [...]Op{memory.first, memory.second, memory.zeroSum}
	if tokens <= 2 { // as many registers are left
		for i, m := range constants {
			r := YMM()
			VMOVDQU(m, r)
			constants[i] = r
		}
	}
	first, second, zeroSum := constants[0], constants[1], constants[2]
	bytes := make([][2]VecVirtual, tokens) // low, high
	for t := range bytes {
		bytes[t] = [2]VecVirtual{YMM(), YMM()}
	}
	var wide [4]VecVirtual // as in memory
	if tokens == 1 {
		for i := range wide {
			wide[i] = YMM()
			VMOVDQU(Mem{Base: sums, Disp: 32 * i}, wide[i])
		}
	}
	add := func(v VecVirtual, t, i int) {
		if tokens == 1 {
			VPADDW(v, wide[i], wide[i])
			return
		}
		to := Mem{Base: sums, Disp: 128*t + 32*i}
		VPADDW(to, v, v)
		VMOVDQU(v, to)
	}

	word := func() {
		w0, w1 := YMM(), YMM()
		VMOVDQU(Mem{Base: words}, w0)
		VMOVDQU(Mem{Base: words, Disp: 32}, w1)
		PREFETCHT1(Mem{Base: words, Disp: prefetchBytes256})
		PREFETCHT0(Mem{Base: words, Disp: prefetchNear256})
		for g := range groups {
			code, other := YMM(), YMM()
			switch g {
			case 0:
				VPAND(first, w0, code)
				VPSLLW(Imm(8), w1, other)
			case 1:
				VPSRLW(Imm(5), w0, code)
				VPAND(first, code, code)
				VPSLLW(Imm(3), w1, other)
			case 2:
				VPSRLW(Imm(10), w0, code)
				VPSRLW(Imm(2), w1, other)
			}
			VPAND(second, other, other)
			VPOR(other, code, code)
			VPSUBB(zeroSum, code, code)
			VPABSB(code, other)
			for t := range bytes {
				var part [2]VecVirtual
				for i := range part {
					part[i] = YMM()
					VBROADCASTI128(at[t].Offset(preparedBytes*g+tableBytes*i), part[i])
				}
				for _, v := range part {
					VPSHUFB(other, v, v)
				}
				for _, v := range part {
					VPSIGNB(code, v, v)
				}
				for i, v := range part {
					VPADDB(v, bytes[t][i], bytes[t][i])
				}
			}
		}
		ADDQ(stride, words)
		ADDQ(U32(preparedBytes*groups), tables)
	}
	begin := func() {
		for _, b := range bytes {
			VMOVDQU(memory.zeroBytes, b[0])
			VMOVDQU(memory.zeroBytes, b[1])
		}
	}
	widen := func() {
		for t := range bytes {
			for i, b := range bytes[t] {
				v := YMM()
				VPAND(memory.even, b, v)
				add(v, t, 2*i)
				VPSRLW(Imm(8), b, b)
				add(b, t, 2*i+1)
			}
		}
	}

	SUBQ(Imm(2), left)
	JLT(LabelRef("last"))
	Label("pair")
	begin()
	word()
	word()
	widen()
	SUBQ(Imm(2), left)
	JGE(LabelRef("pair"))
	Label("last")
	INCQ(left) // −1: one word is left over; −2: none
	JNZ(LabelRef("added"))
	begin()
	word()
	widen()
	Label("added")
	if tokens == 1 {
		for i, v := range wide {
			VMOVDQU(v, Mem{Base: sums, Disp: 32 * i})
		}
	}
	VZEROUPPER()
	RET()
}

// vec256Constants are matVec256's, in memory: a mask of a code and one a byte higher, the code of a zero sum, what bytes begin at,
// a mask of even bytes.
type vec256Constants struct{ first, second, zeroSum, zeroBytes, even Mem }

func newVec256Constants() vec256Constants {
	return vec256Constants{
		words16("matVec256first", 0x001f), words16("matVec256second", 0x1f00), words16("matVec256zeroSum", middle<<8|middle),
		words16("matVec256zeroBytes", 0x8080), words16("matVec256even", 0x00ff),
	}
}

// widenVec256 moves matVec256's sums into 32-bit ones.
func widenVec256() {
	asm.Routine("widenVec256", "func(wide *int32, sums *uint16)")
	Doc("widenVec256 adds what matVec256 has summed to wide [32], low + 32·high, and puts it to zero. AVX2.")
	wide, sums := Load(Param("wide"), GP64()), Load(Param("sums"), GP64())
	for i := range 4 {
		VMOVDQU(widened(sums, wide, i), Mem{Base: wide, Disp: 32 * i})
	}
	clearSums(sums)
	VZEROUPPER()
	RET()
}

// widened returns wide and matVec256's sums, of the eight rows from 8·i.
func widened(sums, wide Register, i int) VecVirtual {
	v, u := YMM(), YMM()
	VPMOVZXWD(Mem{Base: sums, Disp: 16 * i}, v)
	VPMOVZXWD(Mem{Base: sums, Disp: 64 + 16*i}, u)
	VPSLLD(Imm(lowBits), u, u)
	VPADDD(u, v, v)
	VPADDD(Mem{Base: wide, Disp: 32 * i}, v, v)
	return v
}

func clearSums(sums Register) {
	none := YMM()
	VPXOR(none, none, none)
	for i := range 4 {
		VMOVDQU(none, Mem{Base: sums, Disp: 32 * i})
	}
}

// emitVec256 turns a block's sums into the result.
func emitVec256(table Mem) {
	asm.Routine("emitVec256", "func(dst *float32, wide *int32, sums *uint16, rows int, scale float32, start int32)")
	Doc("emitVec256 writes start, wide [32] and what matVec256 has summed since, times scale, for the first rows ≤ 32, and puts sums to",
		"zero. rows ≥ 1. AVX2.")
	dst, wide, sums := Load(Param("dst"), GP64()), Load(Param("wide"), GP64()), Load(Param("sums"), GP64())
	f, start := YMM(), YMM()
	VBROADCASTSS(NewParamAddr("scale", 32), f)
	VMOVD(Load(Param("start"), GP32()), start.AsX())
	VPBROADCASTD(start.AsX(), start)
	for i, m := range firstLanes(table, Load(Param("rows"), GP64()), 4) {
		v := widened(sums, wide, i)
		VPADDD(start, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(f, v, v)
		VMASKMOVPS(v, m, Mem{Base: dst, Disp: 32 * i})
	}
	clearSums(sums)
	VZEROUPPER()
	RET()
}
