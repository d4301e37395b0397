//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// picks holds, for digit d of a code and codes 8j … 8j+7, at 64d + 16j, the bytes of each code's term in a pair of
// registers: column d at 2d for a trit +1, its negative at 16+2d for −1, and 255, which gives zero, for 0.
DATA picks<>+0(SB)/8, $0x11100100ffff1110
DATA picks<>+8(SB)/8, $0xffff11100100ffff
DATA picks<>+16(SB)/8, $0x0100ffff11100100
DATA picks<>+24(SB)/8, $0x11100100ffff1110
DATA picks<>+32(SB)/8, $0xffff11100100ffff
DATA picks<>+40(SB)/8, $0x0100ffff11100100
DATA picks<>+48(SB)/8, $0xffff0100ffff1110
DATA picks<>+56(SB)/8, $0xffffffffffffffff
DATA picks<>+64(SB)/8, $0xffff131213121312
DATA picks<>+72(SB)/8, $0x03020302ffffffff
DATA picks<>+80(SB)/8, $0x1312131213120302
DATA picks<>+88(SB)/8, $0x0302ffffffffffff
DATA picks<>+96(SB)/8, $0x1312131203020302
DATA picks<>+104(SB)/8, $0xffffffffffff1312
DATA picks<>+112(SB)/8, $0xffff030203020302
DATA picks<>+120(SB)/8, $0xffffffffffffffff
DATA picks<>+128(SB)/8, $0x1514151415141514
DATA picks<>+136(SB)/8, $0x1514151415141514
DATA picks<>+144(SB)/8, $0xffffffffffff1514
DATA picks<>+152(SB)/8, $0xffffffffffffffff
DATA picks<>+160(SB)/8, $0x05040504ffffffff
DATA picks<>+168(SB)/8, $0x0504050405040504
DATA picks<>+176(SB)/8, $0xffff050405040504
DATA picks<>+184(SB)/8, $0xffffffffffffffff
GLOBL picks<>(SB), RODATA|NOPTR, $192

// func prepare(tables *int16, x *int8, groups int)
//
// R0 tables, R1 x, R2 groups left; V16 … V27 picks, V28 bias, V29 six bits, V30 zero; V0, V1 a group's columns and their
// negatives, V4 … V7 its 32 sums.
TEXT ·prepare(SB), NOSPLIT, $0-24
	MOVD	tables+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	groups+16(FP), R2
	MOVD	$picks<>(SB), R3
	VLD1.P	64(R3), [V16.B16, V17.B16, V18.B16, V19.B16]
	VLD1.P	64(R3), [V20.B16, V21.B16, V22.B16, V23.B16]
	VLD1.P	64(R3), [V24.B16, V25.B16, V26.B16, V27.B16]
	MOVD	$384, R4
	VDUP	R4, V28.H8
	VMOVI	$63, V29.B16
	VEOR	V30.B16, V30.B16, V30.B16

group:
	VLD1	(R1), [V0.B8]
	ADD	$3, R1
	SXTL8H(0, 0)
	VSUB	V0.H8, V30.H8, V1.H8
	VTBL	V16.B16, [V0.B16, V1.B16], V2.B16
	VTBL	V20.B16, [V0.B16, V1.B16], V3.B16
	VTBL	V24.B16, [V0.B16, V1.B16], V4.B16
	VADD	V28.H8, V2.H8, V2.H8
	VADD	V3.H8, V4.H8, V4.H8
	VADD	V2.H8, V4.H8, V4.H8
	VTBL	V17.B16, [V0.B16, V1.B16], V2.B16
	VTBL	V21.B16, [V0.B16, V1.B16], V3.B16
	VTBL	V25.B16, [V0.B16, V1.B16], V5.B16
	VADD	V28.H8, V2.H8, V2.H8
	VADD	V3.H8, V5.H8, V5.H8
	VADD	V2.H8, V5.H8, V5.H8
	VTBL	V18.B16, [V0.B16, V1.B16], V2.B16
	VTBL	V22.B16, [V0.B16, V1.B16], V3.B16
	VTBL	V26.B16, [V0.B16, V1.B16], V6.B16
	VADD	V28.H8, V2.H8, V2.H8
	VADD	V3.H8, V6.H8, V6.H8
	VADD	V2.H8, V6.H8, V6.H8
	VTBL	V19.B16, [V0.B16, V1.B16], V2.B16
	VTBL	V23.B16, [V0.B16, V1.B16], V3.B16
	VTBL	V27.B16, [V0.B16, V1.B16], V7.B16
	VADD	V28.H8, V2.H8, V2.H8
	VADD	V3.H8, V7.H8, V7.H8
	VADD	V2.H8, V7.H8, V7.H8
	VUZP1	V5.B16, V4.B16, V8.B16
	VUZP1	V7.B16, V6.B16, V9.B16
	VAND	V29.B16, V8.B16, V8.B16
	VAND	V29.B16, V9.B16, V9.B16
	VUSHR	$6, V4.H8, V4.H8
	VUSHR	$6, V5.H8, V5.H8
	VUSHR	$6, V6.H8, V6.H8
	VUSHR	$6, V7.H8, V7.H8
	VUZP1	V5.B16, V4.B16, V10.B16
	VUZP1	V7.B16, V6.B16, V11.B16
	VST1.P	[V8.B16, V9.B16, V10.B16, V11.B16], 64(R0)
	SUBS	$1, R2, R2
	BNE	group
	RET

// V4 … V9 = the codes of the 32 rows whose words are at R10, two registers a group; R10 moves to the next column. The bytes of words
// fall apart: low ones in V0 and V2, high ones in V1 and V3. V31 has five bits.
#define CODES \
	ADD	$32, R10, R13; \
	VLD2	(R10), [V0.B16, V1.B16]; \
	VLD2	(R13), [V2.B16, V3.B16]; \
	ADD	R5, R10; \
	VAND	V31.B16, V0.B16, V4.B16; \
	VAND	V31.B16, V2.B16, V5.B16; \
	VUSHR	$5, V0.B16, V6.B16; \
	VUSHR	$5, V2.B16, V7.B16; \
	VSLI	$3, V1.B16, V6.B16; \
	VSLI	$3, V3.B16, V7.B16; \
	VAND	V31.B16, V6.B16, V6.B16; \
	VAND	V31.B16, V7.B16, V7.B16; \
	VUSHR	$2, V1.B16, V8.B16; \
	VUSHR	$2, V3.B16, V9.B16

// l0, l1 = the low parts that codes c0, c1 name in a group's table at tables; the high parts are added to h0, h1.
#define GROUP(tables, c0, c1, l0, l1, h0, h1) \
	VLD1.P	64(tables), [V0.B16, V1.B16, V2.B16, V3.B16]; \
	VTBL	c0.B16, [V0.B16, V1.B16], l0.B16; \
	VTBL	c1.B16, [V0.B16, V1.B16], l1.B16; \
	VTBL	c0.B16, [V2.B16, V3.B16], V26.B16; \
	VTBL	c1.B16, [V2.B16, V3.B16], V27.B16; \
	VADD	V26.B16, h0.B16, h0.B16; \
	VADD	V27.B16, h1.B16, h1.B16

// A word's low parts of one token are added to 16-bit sums a … d, its high parts to 8-bit sums h0, h1. V10, V11: low parts of three
// groups in 8 bits.
#define LOOKUPS(tables, a, b, c, d, h0, h1) \
	GROUP(tables, V4, V5, V10, V11, h0, h1); \
	GROUP(tables, V6, V7, V24, V25, h0, h1); \
	VADD	V24.B16, V10.B16, V10.B16; \
	VADD	V25.B16, V11.B16, V11.B16; \
	GROUP(tables, V8, V9, V24, V25, h0, h1); \
	VADD	V24.B16, V10.B16, V10.B16; \
	VADD	V25.B16, V11.B16, V11.B16; \
	VUADDW	V10.B8, a.H8, a.H8; \
	VUADDW2	V10.B16, b.H8, b.H8; \
	VUADDW	V11.B8, c.H8, c.H8; \
	VUADDW2	V11.B16, d.H8, d.H8

#define CLEAR6(a, b, c, d, h0, h1) \
	VEOR	a.B16, a.B16, a.B16; \
	VEOR	b.B16, b.B16, b.B16; \
	VEOR	c.B16, c.B16, c.B16; \
	VEOR	d.B16, d.B16, d.B16; \
	VEOR	h0.B16, h0.B16, h0.B16; \
	VEOR	h1.B16, h1.B16, h1.B16

// low + 64·high of 32 rows is added to the sums at sums, which moves on. V0 … V7 are lost.
#define FINISH(sums, a, b, c, d, h0, h1) \
	VUSHLL	$6, h0.B8, V0.H8; \
	VUSHLL2	$6, h0.B16, V1.H8; \
	VUSHLL	$6, h1.B8, V2.H8; \
	VUSHLL2	$6, h1.B16, V3.H8; \
	VADD	V0.H8, a.H8, a.H8; \
	VADD	V1.H8, b.H8, b.H8; \
	VADD	V2.H8, c.H8, c.H8; \
	VADD	V3.H8, d.H8, d.H8; \
	VLD1	(sums), [V0.S4, V1.S4, V2.S4, V3.S4]; \
	VUADDW	a.H4, V0.S4, V0.S4; \
	VUADDW2	a.H8, V1.S4, V1.S4; \
	VUADDW	b.H4, V2.S4, V2.S4; \
	VUADDW2	b.H8, V3.S4, V3.S4; \
	VST1.P	[V0.S4, V1.S4, V2.S4, V3.S4], 64(sums); \
	VLD1	(sums), [V4.S4, V5.S4, V6.S4, V7.S4]; \
	VUADDW	c.H4, V4.S4, V4.S4; \
	VUADDW2	c.H8, V5.S4, V5.S4; \
	VUADDW	d.H4, V6.S4, V6.S4; \
	VUADDW2	d.H8, V7.S4, V7.S4; \
	VST1.P	[V4.S4, V5.S4, V6.S4, V7.S4], 64(sums)

// The routines below pass over seven words at a time. R0 sums, R1 words, R2 tables of the pass; R3 blocks of 32 rows, R4 words left, R5 bytes
// of a word column, R6 words of the pass, R7 blocks left; R8 words, R9 sums of the block; R10 words, R11 tables, R12 words left in the
// block. R3 comes as rows.
#define SETUP \
	LSL	$1, R3, R5; \
	LSR	$5, R3, R3; \
	MOVD	$7, R14; \
	VMOVI	$31, V31.B16

#define BEGINPASS \
	CMP	R14, R4; \
	CSEL	LT, R4, R14, R6; \
	MOVD	R3, R7; \
	MOVD	R1, R8; \
	MOVD	R0, R9

#define BEGINBLOCK \
	MOVD	R8, R10; \
	MOVD	R2, R11; \
	MOVD	R6, R12

// The last block has left R10 behind the pass, at its own 64 of the column's R5 bytes. Equal where no word is left.
#define ENDPASS \
	SUB	R5, R10, R1; \
	ADD	$64, R1; \
	MOVD	R11, R2; \
	SUBS	R6, R4, R4

// func addCodes(sums *int32, words *uint16, tables *int16, rows int, n int)
//
// V4 … V9 codes; V16 … V19 sums of low parts in 16 bits, V20, V21 of high parts in 8.
TEXT ·addCodes(SB), NOSPLIT, $0-40
	MOVD	sums+0(FP), R0
	MOVD	words+8(FP), R1
	MOVD	tables+16(FP), R2
	MOVD	rows+24(FP), R3
	MOVD	n+32(FP), R4
	SETUP

pass:
	BEGINPASS

block:
	CLEAR6(V16, V17, V18, V19, V20, V21)
	BEGINBLOCK

word:
	CODES
	LOOKUPS(R11, V16, V17, V18, V19, V20, V21)
	SUBS	$1, R12, R12
	BNE	word
	FINISH(R9, V16, V17, V18, V19, V20, V21)
	ADD	$64, R8
	SUBS	$1, R7, R7
	BNE	block

	ENDPASS
	BNE	pass
	RET

// func addCodes2(sums *int32, words *uint16, tables *int16, step uintptr, rows int, n int)
//
// V4 … V9 codes; V16 … V19 sums of low parts in 16 bits, V20, V21 of high parts in 8; R15, R19, V12 … V15, V22, V23 are the
// second token's, whose tables are R20 bytes behind.
TEXT ·addCodes2(SB), NOSPLIT, $0-48
	MOVD	sums+0(FP), R0
	MOVD	words+8(FP), R1
	MOVD	tables+16(FP), R2
	MOVD	step+24(FP), R20
	MOVD	rows+32(FP), R3
	MOVD	n+40(FP), R4
	SETUP

pass:
	BEGINPASS

block:
	CLEAR6(V16, V17, V18, V19, V20, V21)
	CLEAR6(V12, V13, V14, V15, V22, V23)
	BEGINBLOCK
	ADD	R20, R2, R15

word:
	CODES
	LOOKUPS(R11, V16, V17, V18, V19, V20, V21)
	LOOKUPS(R15, V12, V13, V14, V15, V22, V23)
	SUBS	$1, R12, R12
	BNE	word
	ADD	$512, R9, R19
	FINISH(R9, V16, V17, V18, V19, V20, V21)
	FINISH(R19, V12, V13, V14, V15, V22, V23)
	ADD	$64, R8
	SUBS	$1, R7, R7
	BNE	block

	ENDPASS
	BNE	pass
	RET

// func scaleInts(dst *float32, sums *int32, n int, scale float32)
//
// R0 dst, R1 sums, R2 values left; V0 sums, V1 the scale four times.
TEXT ·scaleInts(SB), NOSPLIT, $0-28
	MOVD	dst+0(FP), R0
	MOVD	sums+8(FP), R1
	MOVD	n+16(FP), R2
	FMOVS	scale+24(FP), F1
	VDUP	V1.S[0], V1.S4

four:
	VLD1.P	16(R1), [V0.S4]
	SCVTF4S(0, 0)
	FMUL4S(1, 0, 0)
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R2, R2
	BNE	four
	RET
