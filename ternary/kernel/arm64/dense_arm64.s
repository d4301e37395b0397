//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// Sixteen products are added to the sums of numbers a, b, c, d.
#define PRODUCTS(a, b, c, d) \
	VLD1.P	64(R6), [V16.S4, V17.S4, V18.S4, V19.S4]; \
	VLD1.P	64(R7), [V20.S4, V21.S4, V22.S4, V23.S4]; \
	FMUL4S(20, 16, 16); \
	FMUL4S(21, 17, 17); \
	FMUL4S(22, 18, 18); \
	FMUL4S(23, 19, 19); \
	FADD4S(16, a, a); \
	FADD4S(17, b, b); \
	FADD4S(18, c, c); \
	FADD4S(19, d, d)

// func dots(dst *float32, w *float32, x *float32, K int, rows int)
//
// R0 dst, R2 x, R3 whole blocks of 64, R4 columns behind them, R5 rows left; R6 w, R7 x, R8 blocks left; V0 … V15 the
// lanes, on the stack while the last columns are added one by one.
TEXT ·dots(SB), NOSPLIT, $256-40
	MOVD	dst+0(FP), R0
	MOVD	w+8(FP), R6
	MOVD	x+16(FP), R2
	MOVD	K+24(FP), R4
	MOVD	rows+32(FP), R5
	LSR	$6, R4, R3
	AND	$63, R4, R4

row:
	MOVD	R2, R7
	MOVD	R3, R8
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
	CBZ	R8, rest

lanes:
	PRODUCTS(0, 1, 2, 3)
	PRODUCTS(4, 5, 6, 7)
	PRODUCTS(8, 9, 10, 11)
	PRODUCTS(12, 13, 14, 15)
	SUBS	$1, R8, R8
	BNE	lanes

rest:
	CBZ	R4, fold
	MOVD	$sums-256(SP), R9
	MOVD	R9, R10
	VST1.P	[V0.S4, V1.S4, V2.S4, V3.S4], 64(R10)
	VST1.P	[V4.S4, V5.S4, V6.S4, V7.S4], 64(R10)
	VST1.P	[V8.S4, V9.S4, V10.S4, V11.S4], 64(R10)
	VST1	[V12.S4, V13.S4, V14.S4, V15.S4], (R10)
	MOVD	R9, R10
	MOVD	R4, R11

column:
	FMOVS.P	4(R6), F16
	FMOVS.P	4(R7), F17
	FMOVS	(R10), F18
	FMULS	F17, F16, F16
	FADDS	F16, F18, F18
	FMOVS.P	F18, 4(R10)
	SUBS	$1, R11, R11
	BNE	column
	VLD1.P	64(R9), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1.P	64(R9), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1.P	64(R9), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1	(R9), [V12.S4, V13.S4, V14.S4, V15.S4]

fold:
	FADD4S(8, 0, 0)
	FADD4S(9, 1, 1)
	FADD4S(10, 2, 2)
	FADD4S(11, 3, 3)
	FADD4S(12, 4, 4)
	FADD4S(13, 5, 5)
	FADD4S(14, 6, 6)
	FADD4S(15, 7, 7)
	FADD4S(4, 0, 0)
	FADD4S(5, 1, 1)
	FADD4S(6, 2, 2)
	FADD4S(7, 3, 3)
	FADD4S(2, 0, 0)
	FADD4S(3, 1, 1)
	FADD4S(1, 0, 0)
	VEXT	$8, V0.B16, V0.B16, V1.B16
	FADD4S(1, 0, 0)
	VEXT	$4, V0.B16, V0.B16, V1.B16
	FADD4S(1, 0, 0)
	FMOVS.P	F0, 4(R0)
	SUBS	$1, R5, R5
	BNE	row
	RET

// The products of one token's value with V16 … V19 are added to its sums of numbers a, b, c, d.
#define BACK(y, a, b, c, d) \
	VLD1R.P	4(y), [V20.S4]; \
	FMUL4S(20, 16, 21); \
	FMUL4S(20, 17, 22); \
	FMUL4S(20, 18, 23); \
	FMUL4S(20, 19, 24); \
	FADD4S(21, a, a); \
	FADD4S(22, b, b); \
	FADD4S(23, c, c); \
	FADD4S(24, d, d)

// The next token's dst and y, or the same where there are no more than n tokens
#define NEXT(n, dst, nextDst, y, nextY) \
	CMP	$n, R8; \
	CSEL	GT, R1, ZR, R10; \
	ADD	R10, dst, nextDst; \
	CSEL	GT, R9, ZR, R10; \
	ADD	R10, y, nextY

// func denseBack(dst *float32, stride uintptr, w *float32, y *float32, ldy uintptr, rows int, tokens int)
//
// R0, R11 … R13 four tokens' dst, R1 stride, R2 w, R3 … R6 four tokens' y, R7 rows left, R8 tokens, R9 ldy; V0 … V15 sums,
// four registers a token, V16 … V19 a row's 16 columns. Absent tokens are the last one again, and store what it does.
TEXT ·denseBack(SB), NOSPLIT, $0-56
	MOVD	dst+0(FP), R0
	MOVD	stride+8(FP), R1
	MOVD	w+16(FP), R2
	MOVD	y+24(FP), R3
	MOVD	ldy+32(FP), R9
	MOVD	rows+40(FP), R7
	MOVD	tokens+48(FP), R8
	NEXT(1, R0, R11, R3, R4)
	NEXT(2, R11, R12, R4, R5)
	NEXT(3, R12, R13, R5, R6)
	VLD1	(R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1	(R11), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1	(R12), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1	(R13), [V12.S4, V13.S4, V14.S4, V15.S4]

row:
	VLD1	(R2), [V16.S4, V17.S4, V18.S4, V19.S4]
	ADD	R1, R2
	BACK(R3, 0, 1, 2, 3)
	BACK(R4, 4, 5, 6, 7)
	BACK(R5, 8, 9, 10, 11)
	BACK(R6, 12, 13, 14, 15)
	SUBS	$1, R7, R7
	BNE	row
	VST1	[V0.S4, V1.S4, V2.S4, V3.S4], (R0)
	VST1	[V4.S4, V5.S4, V6.S4, V7.S4], (R11)
	VST1	[V8.S4, V9.S4, V10.S4, V11.S4], (R12)
	VST1	[V12.S4, V13.S4, V14.S4, V15.S4], (R13)
	RET
