//go:build arm64 && !noasm

#include "textflag.h"

// c = the codes of the next three columns' trits t0, t1, t2, by Horner's rule: t0 + 3·(t1 + 3·t2) + 13.
#define CODE(c) \
	VLD1.P	(R2)(R3), [V0.B16]; \
	VLD1.P	(R2)(R3), [V1.B16]; \
	VLD1.P	(R2)(R3), [V2.B16]; \
	VADD	V2.B16, V2.B16, V3.B16; \
	VADD	V2.B16, V3.B16, V3.B16; \
	VADD	V1.B16, V3.B16, V3.B16; \
	VADD	V3.B16, V3.B16, V4.B16; \
	VADD	V3.B16, V4.B16, V4.B16; \
	VADD	V0.B16, V4.B16, V4.B16; \
	VADD	V16.B16, V4.B16, c.B16

// func encodeWords(words *uint16, stride uintptr, codes *int8, step uintptr, n int)
//
// R0 words, R1 stride, R2 the next column of trits, R3 step, R4 word columns left; V5 … V7 a word's codes, then V5, V6 its
// bytes; V16 the code of three zero trits.
TEXT ·encodeWords(SB), NOSPLIT, $0-40
	MOVD	words+0(FP), R0
	MOVD	stride+8(FP), R1
	MOVD	codes+16(FP), R2
	MOVD	step+24(FP), R3
	MOVD	n+32(FP), R4
	VMOVI	$13, V16.B16

word:
	CODE(V5)
	CODE(V6)
	CODE(V7)
	VSLI	$5, V6.B16, V5.B16
	VUSHR	$3, V6.B16, V6.B16
	VSLI	$2, V7.B16, V6.B16
	VST2	[V5.B16, V6.B16], (R0)
	ADD	R1, R0
	SUBS	$1, R4, R4
	BNE	word
	RET
