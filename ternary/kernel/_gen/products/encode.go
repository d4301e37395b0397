package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

// zeroWord is nine zero trits (pack/layout.go).
const zeroWord = 0x35ad

// encodeWords makes words of trits that stand column by column: each code by Horner's rule, in words, three times a value
// being two additions.
func encodeWords(name string, v vector) {
	lanes := v.bytes / 2
	asm.Routine(name, "func(words *uint16, stride uintptr, codes *int8, step uintptr, n int)")
	Doc(fmt.Sprintf("%s writes n word columns of %d rows, stride bytes apart, from 9·n columns of their trits, step bytes apart. n ≥ 1. %s.", name, lanes, v.isa),
		"Twin: pack.Matrix.EncodeTransposed.")
	words, stride := Load(Param("words"), GP64()), Load(Param("stride"), GP64())
	codes, step, n := Load(Param("codes"), GP64()), Load(Param("step"), GP64()), Load(Param("n"), GP64())
	base, zeros := v.reg(), GP32()
	MOVL(U32(zeroWord), zeros)
	VMOVD(zeros, base.AsX())
	VPBROADCASTW(base.AsX(), base)
	load := func() VecVirtual {
		x := v.reg()
		VPMOVSXBW(Mem{Base: codes}, x)
		ADDQ(step, codes)
		return x
	}
	Label("word")
	var code [groups]VecVirtual
	for g := range code {
		var t [trits]VecVirtual
		for d := range t {
			t[d] = load()
		}
		sum := t[trits-1]
		for d := trits - 2; d >= 0; d-- {
			twice := v.reg()
			VPADDW(sum, sum, twice)
			VPADDW(t[d], sum, sum)
			VPADDW(twice, sum, sum)
		}
		code[g] = sum
	}
	for g := 1; g < groups; g++ {
		VPSLLW(Imm(uint64(5*g)), code[g], code[g])
		VPADDW(code[g], code[0], code[0])
	}
	VPADDW(base, code[0], code[0])
	VMOVUPS(code[0], Mem{Base: words})
	ADDQ(stride, words)
	DECQ(n)
	JNZ(LabelRef("word"))
	VZEROUPPER()
	RET()
}
