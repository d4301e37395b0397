//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"
#include "exp_arm64.h"

// func shift(dst *float32, x *float32, before *float32, mix *float32, n int)
//
// R0 dst, R1 x, R2 before, R3 mix, R4 values left; V0 x, V1 before, V2 mix, V26 ones.
TEXT ·shift(SB), NOSPLIT, $0-40
	MOVD	dst+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	before+16(FP), R2
	MOVD	mix+24(FP), R3
	MOVD	n+32(FP), R4
	MOVD	$0x3f800000, R5
	VDUP	R5, V26.S4

four:
	VLD1.P	16(R1), [V0.S4]
	VLD1.P	16(R2), [V1.S4]
	VLD1.P	16(R3), [V2.S4]
	FMUL4S(2, 0, 0)
	FSUB4S(2, 26, 2)
	FMUL4S(2, 1, 1)
	FADD4S(1, 0, 0)
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R4, R4
	BNE	four
	RET

// func receptance(dst *float32, r *float32, y *float32, n int)
//
// R0 dst, R1 r, R2 y, R3 values left; V5 r, V6 σ, V7 y.
TEXT ·receptance(SB), NOSPLIT, $0-32
	MOVD	dst+0(FP), R0
	MOVD	r+8(FP), R1
	MOVD	y+16(FP), R2
	MOVD	n+24(FP), R3
	LOAD_SIGMOID

four:
	VLD1.P	16(R1), [V5.S4]
	VLD1.P	16(R2), [V7.S4]
	SIGMOID(near)
	FMUL4S(7, 6, 6)
	VST1.P	[V6.S4], 16(R0)
	SUBS	$4, R3, R3
	BNE	four
	RET

// func receptanceBack(dr *float32, dy *float32, da *float32, r *float32, y *float32, n int)
//
// R0 dr, R1 dy, R2 da, R3 r, R4 y, R5 values left; V5 r, V6 σ, V7 y, V9 slope, V10 da.
TEXT ·receptanceBack(SB), NOSPLIT, $0-48
	MOVD	dr+0(FP), R0
	MOVD	dy+8(FP), R1
	MOVD	da+16(FP), R2
	MOVD	r+24(FP), R3
	MOVD	y+32(FP), R4
	MOVD	n+40(FP), R5
	LOAD_SIGMOID

four:
	VLD1.P	16(R3), [V5.S4]
	VLD1.P	16(R4), [V7.S4]
	VLD1.P	16(R2), [V10.S4]
	SIGMOID(near)
	FSUB4S(6, 26, 9)
	FMUL4S(9, 6, 9)
	FMUL4S(7, 10, 7)
	FMUL4S(9, 7, 7)
	VST1.P	[V7.S4], 16(R0)
	FMUL4S(6, 10, 6)
	VST1.P	[V6.S4], 16(R1)
	SUBS	$4, R5, R5
	BNE	four
	RET

// The exponent of the state, in register p: −Inf where the sum of number b is 0, before the first token. V0, V1 are lost.
#define EXPONENT(b, p) \
	FCMEQ4S(31, b, 0); \
	VORR	V28.B16, V30.B16, V1.B16; \
	VBIT	V0.B16, V1.B16, p.B16

// past, now = the weights of exponents of numbers p and own, as generic.exponents: e^−|own − p| is that of the smaller one, 1 the
// other's. V0 = where own is greater; V1 … V4 are lost.
#define EXPONENTS(p, own, past, now) \
	FSUB4S(p, own, 0); \
	VORR	V28.B16, V0.B16, V0.B16; \
	EXP_NEGATIVE; \
	FCMGT4S(p, own, 0); \
	VMOV	V26.B16, past.B16; \
	VBIT	V0.B16, V3.B16, past.B16; \
	VMOV	V3.B16, now.B16; \
	VBIT	V0.B16, V26.B16, now.B16

// func wkv(y *float32, a *float32, b *float32, top *float32, key *float32, value *float32, rate *float32, bonus *float32, n int)
//
// R0 y, R1 a, R2 b, R3 top, R4 key, R5 value, R6 rate, R7 bonus, R8 channels left; V5 exponent, V6 that of the value's own, V7, V8
// weights, V9 a, V10 b, V11 value, V12 key, V13, V14 products.
TEXT ·wkv(SB), NOSPLIT, $0-72
	MOVD	y+0(FP), R0
	MOVD	a+8(FP), R1
	MOVD	b+16(FP), R2
	MOVD	top+24(FP), R3
	MOVD	key+32(FP), R4
	MOVD	value+40(FP), R5
	MOVD	rate+48(FP), R6
	MOVD	bonus+56(FP), R7
	MOVD	n+64(FP), R8
	LOAD_EXPONENTIAL

four:
	VLD1	(R1), [V9.S4]
	VLD1	(R2), [V10.S4]
	VLD1	(R3), [V5.S4]
	VLD1.P	16(R5), [V11.S4]
	VLD1.P	16(R4), [V12.S4]
	VLD1.P	16(R7), [V6.S4]
	EXPONENT(10, V5)
	FADD4S(12, 6, 6)
	EXPONENTS(5, 6, V7, V8)
	FMUL4S(7, 9, 13)
	FMUL4S(8, 11, 14)
	FADD4S(14, 13, 13)
	FMUL4S(7, 10, 14)
	FADD4S(8, 14, 14)
	FDIV4S(14, 13, 13)
	VST1.P	[V13.S4], 16(R0)
	VLD1.P	16(R6), [V6.S4]
	FADD4S(6, 5, 5)
	EXPONENTS(5, 12, V7, V8)
	VBIT	V0.B16, V12.B16, V5.B16
	VST1.P	[V5.S4], 16(R3)
	FMUL4S(7, 9, 9)
	FMUL4S(8, 11, 11)
	FADD4S(11, 9, 9)
	VST1.P	[V9.S4], 16(R1)
	FMUL4S(7, 10, 10)
	FADD4S(8, 10, 10)
	VST1.P	[V10.S4], 16(R2)
	SUBS	$4, R8, R8
	BNE	four
	RET

// func wkvBack(dk *float32, dv *float32, work *float32, dy *float32, y *float32, a *float32, b *float32, top *float32, key *float32, value *float32, rate *float32, bonus *float32, n int)
//
// R0 dk, R1 dv, R2 work, R3 dy, R4 y, R5 a, R6 b, R7 top, R8 key, R9 value, R10 rate, R11 bonus, R12 channels left; V5 exponent, then
// da; V6 that of the value's own, then the later weight of now; V7 reach, V8 now's share, V9 the later weight of the past, V10 b,
// V11 value, then products; V12 key, then db; V13 own, V14 y.
TEXT ·wkvBack(SB), NOSPLIT, $0-104
	MOVD	dk+0(FP), R0
	MOVD	dv+8(FP), R1
	MOVD	work+16(FP), R2
	MOVD	dy+24(FP), R3
	MOVD	y+32(FP), R4
	MOVD	a+40(FP), R5
	MOVD	b+48(FP), R6
	MOVD	top+56(FP), R7
	MOVD	key+64(FP), R8
	MOVD	value+72(FP), R9
	MOVD	rate+80(FP), R10
	MOVD	bonus+88(FP), R11
	MOVD	n+96(FP), R12
	LOAD_EXPONENTIAL

four:
	VLD1.P	16(R6), [V10.S4]
	VLD1.P	16(R7), [V5.S4]
	VLD1.P	16(R8), [V12.S4]
	VLD1.P	16(R11), [V6.S4]
	EXPONENT(10, V5)
	FADD4S(12, 6, 6)
	EXPONENTS(5, 6, V7, V8)
	// g = dy / (past·b + now), own = g·now·(value − y)
	VLD1.P	16(R3), [V13.S4]
	FMUL4S(7, 10, 14)
	FADD4S(8, 14, 14)
	FDIV4S(14, 13, 13)
	FMUL4S(8, 13, 8)
	FMUL4S(7, 13, 7)
	VLD1.P	16(R9), [V11.S4]
	VLD1.P	16(R4), [V14.S4]
	FSUB4S(14, 11, 13)
	FMUL4S(13, 8, 13)
	FMOVQ	3072(R2), F0
	FADD4S(13, 0, 0)
	FMOVQ	F0, 3072(R2)
	VLD1.P	16(R10), [V6.S4]
	FADD4S(6, 5, 5)
	EXPONENTS(5, 12, V9, V6)
	FMOVQ	(R2), F5
	FMOVQ	1024(R2), F12
	// dk = now·(da·value + db) + own, dv = now·da + g·now
	FMUL4S(11, 5, 11)
	FADD4S(12, 11, 11)
	FMUL4S(11, 6, 11)
	FADD4S(13, 11, 11)
	VST1.P	[V11.S4], 16(R0)
	FMUL4S(5, 6, 6)
	FADD4S(8, 6, 6)
	VST1.P	[V6.S4], 16(R1)
	// The rate's gradient += past·(da·a + db·b)
	VLD1.P	16(R5), [V11.S4]
	FMUL4S(5, 11, 11)
	FMUL4S(12, 10, 10)
	FADD4S(10, 11, 11)
	FMUL4S(9, 11, 11)
	FMOVQ	2048(R2), F0
	FADD4S(11, 0, 0)
	FMOVQ	F0, 2048(R2)
	// da = past·da + reach, db = past·db − reach·y
	FMUL4S(9, 5, 5)
	FADD4S(7, 5, 5)
	FMOVQ	F5, (R2)
	FMUL4S(9, 12, 12)
	FMUL4S(14, 7, 7)
	FSUB4S(7, 12, 12)
	FMOVQ	F12, 1024(R2)
	ADD	$16, R2
	SUBS	$4, R12, R12
	BNE	four
	RET
