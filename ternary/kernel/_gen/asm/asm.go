// Package asm holds what the generators of routines have in common.
package asm

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Routine starts a function without a frame whose arguments do not escape.
func Routine(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
}

// LaneMasks is a table of so many lanes of ones, then as many of zeros: masks of the first n lanes begin n lanes before its middle.
func LaneMasks(name string, lanes int) Mem {
	table := GLOBL(name, RODATA|NOPTR)
	for i := range 2 * lanes {
		DATA(4*i, I32(int32(i/lanes-1)))
	}
	return table
}

// AtMost returns n, or most where n is more; both signed.
func AtMost(n Register, most uint32) GPVirtual {
	some := GP64()
	MOVQ(U32(most), some)
	CMPQ(n, some)
	CMOVQLT(n, some)
	return some
}
