//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// func denseCodes(dst *float32, q *int8, stride uintptr, n int)
//
// R0 dst, R1 q, R2 stride, R3 steps left; V0, V1 eight codes.
TEXT ·denseCodes(SB), NOSPLIT, $0-32
	MOVD	dst+0(FP), R0
	MOVD	q+8(FP), R1
	MOVD	stride+16(FP), R2
	MOVD	n+24(FP), R3

step:
	VLD1	(R1), [V0.B8]
	ADD	R2, R1
	SXTL8H(0, 0)
	SXTL24S(0, 1)
	SXTL4S(0, 0)
	SCVTF4S(0, 0)
	SCVTF4S(1, 1)
	VST1.P	[V0.S4, V1.S4], 32(R0)
	SUBS	$1, R3, R3
	BNE	step
	RET

// The products of row i of register l with the columns in V16, V17 are added to the sums s0, s1, each in one rounding.
#define DENSEROW(l, i, s0, s1) \
	FMLA4SE(l, i, 16, s0); \
	FMLA4SE(l, i, 17, s1)

// The sums s0, s1 are added to the next row of dst.
#define ADDROW(s0, s1) \
	VLD1	(R0), [V16.S4, V17.S4]; \
	FADD4S(s0, 16, 16); \
	FADD4S(s1, 17, 17); \
	VST1	[V16.S4, V17.S4], (R0); \
	ADD	R1, R0

// func denseSums(dst *float32, stride uintptr, left *float32, right *float32, n int)
//
// R0 dst, R1 stride, R2 left, R3 right, R4 steps left; V0 … V15 sums, two registers a row, V16, V17 eight columns,
// V18, V19 eight rows.
TEXT ·denseSums(SB), NOSPLIT, $0-40
	MOVD	dst+0(FP), R0
	MOVD	stride+8(FP), R1
	MOVD	left+16(FP), R2
	MOVD	right+24(FP), R3
	MOVD	n+32(FP), R4
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

step:
	VLD1.P	32(R3), [V16.S4, V17.S4]
	VLD1.P	32(R2), [V18.S4, V19.S4]
	DENSEROW(18, 0, 0, 1)
	DENSEROW(18, 1, 2, 3)
	DENSEROW(18, 2, 4, 5)
	DENSEROW(18, 3, 6, 7)
	DENSEROW(19, 0, 8, 9)
	DENSEROW(19, 1, 10, 11)
	DENSEROW(19, 2, 12, 13)
	DENSEROW(19, 3, 14, 15)
	SUBS	$1, R4, R4
	BNE	step
	ADDROW(0, 1)
	ADDROW(2, 3)
	ADDROW(4, 5)
	ADDROW(6, 7)
	ADDROW(8, 9)
	ADDROW(10, 11)
	ADDROW(12, 13)
	ADDROW(14, 15)
	RET
