//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// lo, hi = the bytes of a and b in turn
#define ZIP(a, b, lo, hi) \
	VZIP1	b.B16, a.B16, lo.B16; \
	VZIP2	b.B16, a.B16, hi.B16

// Four of these transpose 16×16 bytes: each turns the eight bits of (register, byte) by one.
#define SHUFFLE(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15) \
	ZIP(a0, a8, b0, b1); \
	ZIP(a1, a9, b2, b3); \
	ZIP(a2, a10, b4, b5); \
	ZIP(a3, a11, b6, b7); \
	ZIP(a4, a12, b8, b9); \
	ZIP(a5, a13, b10, b11); \
	ZIP(a6, a14, b12, b13); \
	ZIP(a7, a15, b14, b15)

#define LOWUP SHUFFLE(V0, V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13, V14, V15, V16, V17, V18, V19, V20, V21, V22, V23, V24, V25, V26, V27, V28, V29, V30, V31)
#define UPLOW SHUFFLE(V16, V17, V18, V19, V20, V21, V22, V23, V24, V25, V26, V27, V28, V29, V30, V31, V0, V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13, V14, V15)

// v = 16 codes of the next token
#define TOKEN(v) \
	MOVD.P	8(R4), R5; \
	ADD	R1, R5; \
	VLD1	(R5), [v.B16]

// func transposeCodes(columns *int8, x *int8, offsets *uintptr, blocks int)
//
// R0 columns, R1 x, R2 offsets, R3 blocks of 16 columns left, R4 the next offset; all vectors hold 16 bytes a token or
// a column.
TEXT ·transposeCodes(SB), NOSPLIT, $0-32
	MOVD	columns+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	offsets+16(FP), R2
	MOVD	blocks+24(FP), R3

block:
	MOVD	R2, R4
	TOKEN(V0)
	TOKEN(V1)
	TOKEN(V2)
	TOKEN(V3)
	TOKEN(V4)
	TOKEN(V5)
	TOKEN(V6)
	TOKEN(V7)
	TOKEN(V8)
	TOKEN(V9)
	TOKEN(V10)
	TOKEN(V11)
	TOKEN(V12)
	TOKEN(V13)
	TOKEN(V14)
	TOKEN(V15)
	LOWUP
	UPLOW
	LOWUP
	UPLOW
	VST1.P	[V0.B16, V1.B16, V2.B16, V3.B16], 64(R0)
	VST1.P	[V4.B16, V5.B16, V6.B16, V7.B16], 64(R0)
	VST1.P	[V8.B16, V9.B16, V10.B16, V11.B16], 64(R0)
	VST1.P	[V12.B16, V13.B16, V14.B16, V15.B16], 64(R0)
	ADD	$16, R1
	SUBS	$1, R3, R3
	BNE	block
	RET

// Three entries, from the sum in V10, V11 on: trits −1, 0 and +1 of the first column.
#define THREE \
	VST1.P	[V10.H8, V11.H8], 32(R0); \
	VADD	V0.H8, V10.H8, V10.H8; \
	VADD	V1.H8, V11.H8, V11.H8; \
	VST1.P	[V10.H8, V11.H8], 32(R0); \
	VADD	V0.H8, V10.H8, V10.H8; \
	VADD	V1.H8, V11.H8, V11.H8; \
	VST1.P	[V10.H8, V11.H8], 32(R0)

// Nine entries, from the sum in V6, V7 on; it goes up by the third column.
#define NINE \
	VMOV	V6.B16, V10.B16; \
	VMOV	V7.B16, V11.B16; \
	THREE; \
	VADD	V2.H8, V6.H8, V8.H8; \
	VADD	V3.H8, V7.H8, V9.H8; \
	VMOV	V8.B16, V10.B16; \
	VMOV	V9.B16, V11.B16; \
	THREE; \
	VADD	V2.H8, V8.H8, V10.H8; \
	VADD	V3.H8, V9.H8, V11.H8; \
	THREE; \
	VADD	V4.H8, V6.H8, V6.H8; \
	VADD	V5.H8, V7.H8, V7.H8

// func fillWords(tables *int16, columns *int8, groups int)
//
// R0 tables, R1 columns, R2 groups left; V0 … V5 a group's three columns of 16 tokens, V6 … V11 sums.
TEXT ·fillWords(SB), NOSPLIT, $0-24
	MOVD	tables+0(FP), R0
	MOVD	columns+8(FP), R1
	MOVD	groups+16(FP), R2
	VEOR	V31.B16, V31.B16, V31.B16

group:
	VLD1.P	48(R1), [V12.B16, V13.B16, V14.B16]
	SXTL8H(12, 0)
	SXTL28H(12, 1)
	SXTL8H(13, 2)
	SXTL28H(13, 3)
	SXTL8H(14, 4)
	SXTL28H(14, 5)
	VSUB	V0.H8, V31.H8, V6.H8
	VSUB	V1.H8, V31.H8, V7.H8
	VSUB	V2.H8, V6.H8, V6.H8
	VSUB	V3.H8, V7.H8, V7.H8
	VSUB	V4.H8, V6.H8, V6.H8
	VSUB	V5.H8, V7.H8, V7.H8
	NINE
	NINE
	NINE
	SUBS	$1, R2, R2
	BNE	group
	RET

// One row's three entries are added to a0, a1. c0, c1, c2: R10 shifted so that a code stands at bits 5 … 9, where it is
// an offset into a group's table; R8 points to the word's middle table. V24 … V29 entries.
#define ROW(c0, c1, c2, a0, a1) \
	AND	c0, R6, R11; \
	AND	c1, R6, R12; \
	AND	c2, R6, R13; \
	ADD	R8, R11; \
	ADD	R8, R12; \
	ADD	R8, R13; \
	FLDPQ	-864(R11), (F24, F25); \
	FLDPQ	(R12), (F26, F27); \
	FLDPQ	864(R13), (F28, F29); \
	VADD	V24.H8, a0.H8, a0.H8; \
	VADD	V25.H8, a1.H8, a1.H8; \
	VADD	V26.H8, a0.H8, a0.H8; \
	VADD	V27.H8, a1.H8, a1.H8; \
	VADD	V28.H8, a0.H8, a0.H8; \
	VADD	V29.H8, a1.H8, a1.H8

// func addWords(sums *int16, words *uint16, stride uintptr, tables *int16, rows int, n int)
//
// R0 sums, R1 words of four rows, R2 stride, R3 the first word's middle table, R4 rows left, R5 words, R6 mask of an
// offset; R7 the next word, R8 its table, R9 words left, R10 a word of four rows; V0 … V7 their sums.
TEXT ·addWords(SB), NOSPLIT, $0-48
	MOVD	sums+0(FP), R0
	MOVD	words+8(FP), R1
	MOVD	stride+16(FP), R2
	MOVD	tables+24(FP), R3
	MOVD	rows+32(FP), R4
	MOVD	n+40(FP), R5
	MOVD	$0x3e0, R6
	ADD	$864, R3

rows:
	FLDPQ	(R0), (F0, F1)
	FLDPQ	32(R0), (F2, F3)
	FLDPQ	64(R0), (F4, F5)
	FLDPQ	96(R0), (F6, F7)
	MOVD	R1, R7
	MOVD	R3, R8
	MOVD	R5, R9

word:
	MOVD	(R7), R10
	ADD	R2, R7
	ROW(R10<<5, R10, R10>>5, V0, V1)
	ROW(R10>>11, R10>>16, R10>>21, V2, V3)
	ROW(R10>>27, R10>>32, R10>>37, V4, V5)
	ROW(R10>>43, R10>>48, R10>>53, V6, V7)
	ADD	$2592, R8
	SUBS	$1, R9, R9
	BNE	word
	FSTPQ	(F0, F1), (R0)
	FSTPQ	(F2, F3), 32(R0)
	FSTPQ	(F4, F5), 64(R0)
	FSTPQ	(F6, F7), 96(R0)
	ADD	$128, R0
	ADD	$8, R1
	SUBS	$4, R4, R4
	BNE	rows
	RET

// func widen(wide *int32, sums *int16, rows int)
//
// R0 wide, R1 sums, R2 rows left; V0, V1 a row's sums, V2 … V5 its wide ones, V30, V31 zeros.
TEXT ·widen(SB), NOSPLIT, $0-24
	MOVD	wide+0(FP), R0
	MOVD	sums+8(FP), R1
	MOVD	rows+16(FP), R2
	VEOR	V30.B16, V30.B16, V30.B16
	VEOR	V31.B16, V31.B16, V31.B16

row:
	VLD1	(R1), [V0.H8, V1.H8]
	VLD1	(R0), [V2.S4, V3.S4, V4.S4, V5.S4]
	SADDW4S(0, 2, 2)
	SADDW24S(0, 3, 3)
	SADDW4S(1, 4, 4)
	SADDW24S(1, 5, 5)
	VST1.P	[V30.H8, V31.H8], 32(R1)
	VST1.P	[V2.S4, V3.S4, V4.S4, V5.S4], 64(R0)
	SUBS	$1, R2, R2
	BNE	row
	RET

// V16 … V19 = the columns of V0 … V3, four dwords each. V4 … V7 are lost.
#define TRANSPOSE4 \
	VTRN1	V1.S4, V0.S4, V4.S4; \
	VTRN2	V1.S4, V0.S4, V5.S4; \
	VTRN1	V3.S4, V2.S4, V6.S4; \
	VTRN2	V3.S4, V2.S4, V7.S4; \
	VZIP1	V6.D2, V4.D2, V16.D2; \
	VZIP1	V7.D2, V5.D2, V17.D2; \
	VZIP2	V6.D2, V4.D2, V18.D2; \
	VZIP2	V7.D2, V5.D2, V19.D2

// R3 … R6 = the outputs of four tokens, R2 apart; from R7 tokens on, they are those of the last one.
#define OUTPUTS \
	CMP	$1, R7; \
	CSEL	GT, R2, ZR, R8; \
	ADD	R8, R3, R4; \
	CMP	$2, R7; \
	CSEL	GT, R2, ZR, R8; \
	ADD	R8, R4, R5; \
	CMP	$3, R7; \
	CSEL	GT, R2, ZR, R8; \
	ADD	R8, R5, R6

// Four rows' values of four tokens go out. From the last to the first: what is stored for an absent token is overwritten.
#define EMIT \
	VST1.P	[V19.S4], 16(R6); \
	VST1.P	[V18.S4], 16(R5); \
	VST1.P	[V17.S4], 16(R4); \
	VST1.P	[V16.S4], 16(R3)

// func emitInts(dst *float32, ldd uintptr, wide *int32, scale *float32, tokens int, rows int)
//
// R3 … R6 outputs of four tokens, R0 sums, R1 rows left, R2 ldd, R7 tokens; V20 scales.
TEXT ·emitInts(SB), NOSPLIT, $0-48
	MOVD	dst+0(FP), R3
	MOVD	ldd+8(FP), R2
	MOVD	wide+16(FP), R0
	MOVD	scale+24(FP), R8
	MOVD	tokens+32(FP), R7
	MOVD	rows+40(FP), R1
	VLD1	(R8), [V20.S4]
	OUTPUTS

rows:
	FMOVQ	(R0), F0
	FMOVQ	64(R0), F1
	FMOVQ	128(R0), F2
	FMOVQ	192(R0), F3
	ADD	$256, R0
	SCVTF4S(0, 0)
	SCVTF4S(1, 1)
	SCVTF4S(2, 2)
	SCVTF4S(3, 3)
	FMUL4S(20, 0, 0)
	FMUL4S(20, 1, 1)
	FMUL4S(20, 2, 2)
	FMUL4S(20, 3, 3)
	TRANSPOSE4
	EMIT
	SUBS	$4, R1, R1
	BNE	rows
	RET

// func emitFloats(dst *float32, ldd uintptr, total *float32, scale float32, tokens int, rows int)
//
// R3 … R6 outputs of four tokens, R0 sums, R1 rows left, R2 ldd, R7 tokens; V20 the scale.
TEXT ·emitFloats(SB), NOSPLIT, $0-48
	MOVD	dst+0(FP), R3
	MOVD	ldd+8(FP), R2
	MOVD	total+16(FP), R0
	FMOVS	scale+24(FP), F20
	MOVD	tokens+32(FP), R7
	MOVD	rows+40(FP), R1
	VDUP	V20.S[0], V20.S4
	OUTPUTS

rows:
	FMOVQ	(R0), F0
	FMOVQ	32(R0), F1
	FMOVQ	64(R0), F2
	FMOVQ	96(R0), F3
	ADD	$128, R0
	FMUL4S(20, 0, 0)
	FMUL4S(20, 1, 1)
	FMUL4S(20, 2, 2)
	FMUL4S(20, 3, 3)
	TRANSPOSE4
	EMIT
	SUBS	$4, R1, R1
	BNE	rows
	RET

// v = four values of the next token
#define FLOATS(v) \
	MOVD.P	8(R4), R5; \
	ADD	R1, R5; \
	VLD1	(R5), [v.S4]

// func transposeFloats(columns *float32, y *float32, offsets *uintptr, blocks int)
//
// R0 columns, R1 y, R2 offsets, R3 blocks of four columns left, R4 the next offset; V0 … V3 four tokens, V16 … V19 their
// columns, V20 … V23 those of the first four.
TEXT ·transposeFloats(SB), NOSPLIT, $0-32
	MOVD	columns+0(FP), R0
	MOVD	y+8(FP), R1
	MOVD	offsets+16(FP), R2
	MOVD	blocks+24(FP), R3

block:
	MOVD	R2, R4
	FLOATS(V0)
	FLOATS(V1)
	FLOATS(V2)
	FLOATS(V3)
	TRANSPOSE4
	VMOV	V16.B16, V20.B16
	VMOV	V17.B16, V21.B16
	VMOV	V18.B16, V22.B16
	VMOV	V19.B16, V23.B16
	FLOATS(V0)
	FLOATS(V1)
	FLOATS(V2)
	FLOATS(V3)
	TRANSPOSE4
	FSTPQ	(F20, F16), (R0)
	FSTPQ	(F21, F17), 32(R0)
	FSTPQ	(F22, F18), 64(R0)
	FSTPQ	(F23, F19), 96(R0)
	ADD	$128, R0
	ADD	$16, R1
	SUBS	$1, R3, R3
	BNE	block
	RET

// The nine entries of one trit of the first column, whose term is in the registers a0, a1 of numbers n0, n1; at is the
// offset of the first. V2 … V5 the other columns, V10 … V17 sums.
#define NINEFLOATS(a0, a1, n0, n1, at) \
	FSUB4S(2, n0, 10); \
	FSUB4S(3, n1, 11); \
	FADD4S(2, n0, 12); \
	FADD4S(3, n1, 13); \
	FSTPQ	(F10, F11), (at+288)(R0); \
	FSTPQ	(a0, a1), (at+384)(R0); \
	FSTPQ	(F12, F13), (at+480)(R0); \
	FSUB4S(4, 10, 14); \
	FSUB4S(5, 11, 15); \
	FADD4S(4, 10, 16); \
	FADD4S(5, 11, 17); \
	FSTPQ	(F14, F15), (at)(R0); \
	FSTPQ	(F16, F17), (at+576)(R0); \
	FSUB4S(4, n0, 14); \
	FSUB4S(5, n1, 15); \
	FADD4S(4, n0, 16); \
	FADD4S(5, n1, 17); \
	FSTPQ	(F14, F15), (at+96)(R0); \
	FSTPQ	(F16, F17), (at+672)(R0); \
	FSUB4S(4, 12, 14); \
	FSUB4S(5, 13, 15); \
	FADD4S(4, 12, 16); \
	FADD4S(5, 13, 17); \
	FSTPQ	(F14, F15), (at+192)(R0); \
	FSTPQ	(F16, F17), (at+768)(R0)

// func fillFloats(tables *float32, columns *float32, groups int)
//
// R0 tables, R1 columns, R2 groups left; V0 … V5 a group's three columns of 8 tokens, V6, V7 the first one's negative,
// V30, V31 zeros.
TEXT ·fillFloats(SB), NOSPLIT, $0-24
	MOVD	tables+0(FP), R0
	MOVD	columns+8(FP), R1
	MOVD	groups+16(FP), R2
	VEOR	V30.B16, V30.B16, V30.B16
	VEOR	V31.B16, V31.B16, V31.B16

group:
	FLDPQ	(R1), (F0, F1)
	FLDPQ	32(R1), (F2, F3)
	FLDPQ	64(R1), (F4, F5)
	ADD	$96, R1
	FSUB4S(0, 30, 6)
	FSUB4S(1, 31, 7)
	NINEFLOATS(F6, F7, 6, 7, 0)
	NINEFLOATS(F30, F31, 30, 31, 32)
	NINEFLOATS(F0, F1, 0, 1, 64)
	ADD	$864, R0
	SUBS	$1, R2, R2
	BNE	group
	RET

// ROW in float32: one row's three entries are added to the chains of numbers a, b, c and the next ones. V24 … V29
// entries.
#define FLOATROW(c0, c1, c2, a, b, c) \
	AND	c0, R6, R11; \
	AND	c1, R6, R12; \
	AND	c2, R6, R13; \
	ADD	R8, R11; \
	ADD	R8, R12; \
	ADD	R8, R13; \
	FLDPQ	-864(R11), (F24, F25); \
	FLDPQ	(R12), (F26, F27); \
	FLDPQ	864(R13), (F28, F29); \
	FADD4S(24, (a), (a)); \
	FADD4S(25, (a+1), (a+1)); \
	FADD4S(26, (b), (b)); \
	FADD4S(27, (b+1), (b+1)); \
	FADD4S(28, (c), (c)); \
	FADD4S(29, (c+1), (c+1))

// A row's total, at offset at, takes (a+b)+c.
#define TOTAL(a, b, c, at) \
	FLDPQ	at(R0), (F24, F25); \
	FADD4S((b), (a), (a)); \
	FADD4S((b+1), (a+1), (a+1)); \
	FADD4S((c), (a), (a)); \
	FADD4S((c+1), (a+1), (a+1)); \
	FADD4S((a), 24, 24); \
	FADD4S((a+1), 25, 25); \
	FSTPQ	(F24, F25), at(R0)

// func addFloats(total *float32, words *uint16, stride uintptr, tables *float32, rows int, n int)
//
// R0 totals, R1 … R10 as in addWords; V0 … V23 three chains of 8 tokens for four rows.
TEXT ·addFloats(SB), NOSPLIT, $0-48
	MOVD	total+0(FP), R0
	MOVD	words+8(FP), R1
	MOVD	stride+16(FP), R2
	MOVD	tables+24(FP), R3
	MOVD	rows+32(FP), R4
	MOVD	n+40(FP), R5
	MOVD	$0x3e0, R6
	ADD	$864, R3

rows:
	VEOR	V0.B16, V0.B16, V0.B16
	VEOR	V1.B16, V1.B16, V1.B16
	VEOR	V2.B16, V2.B16, V2.B16
	VEOR	V3.B16, V3.B16, V3.B16
	VEOR	V4.B16, V4.B16, V4.B16
	VEOR	V5.B16, V5.B16, V5.B16
	VEOR	V6.B16, V6.B16, V6.B16
	VEOR	V7.B16, V7.B16, V7.B16
	VEOR	V8.B16, V8.B16, V8.B16
	VEOR	V9.B16, V9.B16, V9.B16
	VEOR	V10.B16, V10.B16, V10.B16
	VEOR	V11.B16, V11.B16, V11.B16
	VEOR	V12.B16, V12.B16, V12.B16
	VEOR	V13.B16, V13.B16, V13.B16
	VEOR	V14.B16, V14.B16, V14.B16
	VEOR	V15.B16, V15.B16, V15.B16
	VEOR	V16.B16, V16.B16, V16.B16
	VEOR	V17.B16, V17.B16, V17.B16
	VEOR	V18.B16, V18.B16, V18.B16
	VEOR	V19.B16, V19.B16, V19.B16
	VEOR	V20.B16, V20.B16, V20.B16
	VEOR	V21.B16, V21.B16, V21.B16
	VEOR	V22.B16, V22.B16, V22.B16
	VEOR	V23.B16, V23.B16, V23.B16
	MOVD	R1, R7
	MOVD	R3, R8
	MOVD	R5, R9

word:
	MOVD	(R7), R10
	ADD	R2, R7
	FLOATROW(R10<<5, R10, R10>>5, 0, 2, 4)
	FLOATROW(R10>>11, R10>>16, R10>>21, 6, 8, 10)
	FLOATROW(R10>>27, R10>>32, R10>>37, 12, 14, 16)
	FLOATROW(R10>>43, R10>>48, R10>>53, 18, 20, 22)
	ADD	$2592, R8
	SUBS	$1, R9, R9
	BNE	word
	TOTAL(0, 2, 4, 0)
	TOTAL(6, 8, 10, 32)
	TOTAL(12, 14, 16, 64)
	TOTAL(18, 20, 22, 96)
	ADD	$128, R0
	ADD	$8, R1
	SUBS	$4, R4, R4
	BNE	rows
	RET
