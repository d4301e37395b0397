//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// V0, V1 = a·inv of the next token's eight outputs
#define GRADIENTS \
	VLD1	(R1), [V0.S4, V1.S4]; \
	ADD	R2, R1; \
	VLD1R.P	4(R3), [V2.S4]; \
	FMUL4S(2, 0, 0); \
	FMUL4S(2, 1, 1)

// func intTop(top *uint32, a *float32, stride uintptr, inv *float32, n int)
//
// R0 top, R1 a, R2 stride, R3 inv, R4 tokens left; V0, V1 eight outputs, V2 inv, V4, V5 the largest bit patterns.
TEXT ·intTop(SB), NOSPLIT, $0-40
	MOVD	top+0(FP), R0
	MOVD	a+8(FP), R1
	MOVD	stride+16(FP), R2
	MOVD	inv+24(FP), R3
	MOVD	n+32(FP), R4
	VEOR	V4.B16, V4.B16, V4.B16
	VEOR	V5.B16, V5.B16, V5.B16

token:
	GRADIENTS
	FABS4S(0, 0)
	FABS4S(1, 1)
	VUMAX	V0.S4, V4.S4, V4.S4
	VUMAX	V1.S4, V5.S4, V5.S4
	SUBS	$1, R4, R4
	BNE	token
	VST1	[V4.S4, V5.S4], (R0)
	RET

// func intLeft(left *int16, a *float32, stride uintptr, inv *float32, up *float32, n int)
//
// R0 left, R1 a, R2 stride, R3 inv, R4 tokens left, R5 up; V0, V1 eight outputs, V2 inv, V4, V5 up.
TEXT ·intLeft(SB), NOSPLIT, $0-48
	MOVD	left+0(FP), R0
	MOVD	a+8(FP), R1
	MOVD	stride+16(FP), R2
	MOVD	inv+24(FP), R3
	MOVD	up+32(FP), R5
	MOVD	n+40(FP), R4
	VLD1	(R5), [V4.S4, V5.S4]

token:
	GRADIENTS
	FMUL4S(4, 0, 0)
	FMUL4S(5, 1, 1)
	FCVTNS4S(0, 0)
	FCVTNS4S(1, 1)
	VUZP1	V1.H8, V0.H8, V0.H8
	VST1.P	[V0.H8], 16(R0)
	SUBS	$1, R4, R4
	BNE	token
	RET

// func intCodes(dst *int16, q *int8, stride uintptr, n int)
//
// R0 dst, R1 q, R2 stride, R3 tokens left; V0 eight codes.
TEXT ·intCodes(SB), NOSPLIT, $0-32
	MOVD	dst+0(FP), R0
	MOVD	q+8(FP), R1
	MOVD	stride+16(FP), R2
	MOVD	n+24(FP), R3

token:
	VLD1	(R1), [V0.B8]
	ADD	R2, R1
	SXTL8H(0, 0)
	VST1.P	[V0.H8], 16(R0)
	SUBS	$1, R3, R3
	BNE	token
	RET

// The sums s0, s1, times factor i of register f, are added to the next row of dst.
#define INTROW(f, i, s0, s1) \
	VLD1	(R0), [V4.S4, V5.S4]; \
	SCVTF4S(s0, s0); \
	SCVTF4S(s1, s1); \
	FMUL4SE(f, i, s0, s0); \
	FMUL4SE(f, i, s1, s1); \
	FADD4S(s0, 4, 4); \
	FADD4S(s1, 5, 5); \
	VST1	[V4.S4, V5.S4], (R0); \
	ADD	R1, R0

// func intTile(dst *float32, stride uintptr, left *int16, codes *int16, down *float32, n int)
//
// R0 dst, R1 stride, R2 left, R3 codes, R4 down, R5 tokens left; V0 eight outputs, V1 eight columns, V2, V3 factors, V16 …
// V31 sums, two registers an output.
TEXT ·intTile(SB), NOSPLIT, $0-48
	MOVD	dst+0(FP), R0
	MOVD	stride+8(FP), R1
	MOVD	left+16(FP), R2
	MOVD	codes+24(FP), R3
	MOVD	down+32(FP), R4
	MOVD	n+40(FP), R5
	VEOR	V16.B16, V16.B16, V16.B16
	VEOR	V17.B16, V17.B16, V17.B16
	VEOR	V18.B16, V18.B16, V18.B16
	VEOR	V19.B16, V19.B16, V19.B16
	VEOR	V20.B16, V20.B16, V20.B16
	VEOR	V21.B16, V21.B16, V21.B16
	VEOR	V22.B16, V22.B16, V22.B16
	VEOR	V23.B16, V23.B16, V23.B16
	VEOR	V24.B16, V24.B16, V24.B16
	VEOR	V25.B16, V25.B16, V25.B16
	VEOR	V26.B16, V26.B16, V26.B16
	VEOR	V27.B16, V27.B16, V27.B16
	VEOR	V28.B16, V28.B16, V28.B16
	VEOR	V29.B16, V29.B16, V29.B16
	VEOR	V30.B16, V30.B16, V30.B16
	VEOR	V31.B16, V31.B16, V31.B16

token:
	VLD1.P	16(R2), [V0.H8]
	VLD1.P	16(R3), [V1.H8]
	SMLAL4S(0, 0, 1, 16)
	SMLAL24S(0, 0, 1, 17)
	SMLAL4S(0, 1, 1, 18)
	SMLAL24S(0, 1, 1, 19)
	SMLAL4S(0, 2, 1, 20)
	SMLAL24S(0, 2, 1, 21)
	SMLAL4S(0, 3, 1, 22)
	SMLAL24S(0, 3, 1, 23)
	SMLAL4S(0, 4, 1, 24)
	SMLAL24S(0, 4, 1, 25)
	SMLAL4S(0, 5, 1, 26)
	SMLAL24S(0, 5, 1, 27)
	SMLAL4S(0, 6, 1, 28)
	SMLAL24S(0, 6, 1, 29)
	SMLAL4S(0, 7, 1, 30)
	SMLAL24S(0, 7, 1, 31)
	SUBS	$1, R5, R5
	BNE	token
	VLD1	(R4), [V2.S4, V3.S4]
	INTROW(2, 0, 16, 17)
	INTROW(2, 1, 18, 19)
	INTROW(2, 2, 20, 21)
	INTROW(2, 3, 22, 23)
	INTROW(3, 0, 24, 25)
	INTROW(3, 1, 26, 27)
	INTROW(3, 2, 28, 29)
	INTROW(3, 3, 30, 31)
	RET
