//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// Sixteen squares of x are added to the sums of numbers a, b, c, d.
#define SQUARES(a, b, c, d) \
	VLD1.P	64(R1), [V16.S4, V17.S4, V18.S4, V19.S4]; \
	FMUL4S(16, 16, 16); \
	FMUL4S(17, 17, 17); \
	FMUL4S(18, 18, 18); \
	FMUL4S(19, 19, 19); \
	FADD4S(16, a, a); \
	FADD4S(17, b, b); \
	FADD4S(18, c, c); \
	FADD4S(19, d, d)

// func sumSquares(acc *float32, x *float32, n int)
//
// R0 acc, R1 x, R2 values left; V0 … V15 the 64 lanes, V16 … V19 squares.
TEXT ·sumSquares(SB), NOSPLIT, $0-24
	MOVD	acc+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	n+16(FP), R2
	MOVD	R0, R3
	VLD1.P	64(R3), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1.P	64(R3), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1.P	64(R3), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1	(R3), [V12.S4, V13.S4, V14.S4, V15.S4]

lanes:
	SQUARES(0, 1, 2, 3)
	SQUARES(4, 5, 6, 7)
	SQUARES(8, 9, 10, 11)
	SQUARES(12, 13, 14, 15)
	SUBS	$64, R2, R2
	BNE	lanes
	VST1.P	[V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VST1.P	[V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)
	VST1.P	[V8.S4, V9.S4, V10.S4, V11.S4], 64(R0)
	VST1	[V12.S4, V13.S4, V14.S4, V15.S4], (R0)
	RET

// func normalise(dst *float32, x *float32, gain *float32, r float32, n int)
//
// R0 dst, R1 x, R2 gain, R3 values left; V0 x, V1 gain, V16 r.
TEXT ·normalise(SB), NOSPLIT, $0-40
	MOVD	dst+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	gain+16(FP), R2
	FMOVS	r+24(FP), F16
	MOVD	n+32(FP), R3
	VDUP	V16.S[0], V16.S4

four:
	VLD1.P	16(R1), [V0.S4]
	VLD1.P	16(R2), [V1.S4]
	FMUL4S(16, 0, 0)
	FMUL4S(1, 0, 0)
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R3, R3
	BNE	four
	RET

// func normTop(tops *uint32, x *float32, gain *float32, r float32, n int)
//
// R0 tops, R1 x, R2 gain, R3 values left; V0 x, V1 gain, V2 tops, V16 r.
TEXT ·normTop(SB), NOSPLIT, $0-40
	MOVD	tops+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	gain+16(FP), R2
	FMOVS	r+24(FP), F16
	MOVD	n+32(FP), R3
	VDUP	V16.S[0], V16.S4
	VEOR	V2.B16, V2.B16, V2.B16

four:
	VLD1.P	16(R1), [V0.S4]
	VLD1.P	16(R2), [V1.S4]
	FMUL4S(16, 0, 0)
	FMUL4S(1, 0, 0)
	FABS4S(0, 0)
	VUMAX	V0.S4, V2.S4, V2.S4
	SUBS	$4, R3, R3
	BNE	four
	VST1	[V2.S4], (R0)
	RET

// V0, V1 = (x·r)∘gain·s of eight values.
#define SCALED8 \
	VLD1.P	32(R1), [V0.S4, V1.S4]; \
	VLD1.P	32(R2), [V2.S4, V3.S4]; \
	FMUL4S(16, 0, 0); \
	FMUL4S(16, 1, 1); \
	FMUL4S(2, 0, 0); \
	FMUL4S(3, 1, 1); \
	FMUL4S(17, 0, 0); \
	FMUL4S(17, 1, 1)

// The low bytes of eight dwords in V0, V1 go out.
#define BYTES8 \
	VUZP1	V1.H8, V0.H8, V0.H8; \
	VUZP1	V0.B16, V0.B16, V0.B16; \
	VST1.P	[V0.B8], 8(R0)

// func normCodes(codes *int8, x *float32, gain *float32, r float32, s float32, n int)
//
// R0 codes, R1 x, R2 gain, R3 values left; V0, V1 x, V2, V3 gain, V16 r, V17 s, V18 1.5·2^23: behind its addition the
// rounded value stands in the low bits.
TEXT ·normCodes(SB), NOSPLIT, $0-40
	MOVD	codes+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	gain+16(FP), R2
	FMOVS	r+24(FP), F16
	FMOVS	s+28(FP), F17
	MOVD	n+32(FP), R3
	VDUP	V16.S[0], V16.S4
	VDUP	V17.S[0], V17.S4
	MOVD	$0x4b400000, R4
	VDUP	R4, V18.S4

eight:
	SCALED8
	FADD4S(18, 0, 0)
	FADD4S(18, 1, 1)
	BYTES8
	SUBS	$8, R3, R3
	BNE	eight
	RET

// func normCodesAway(codes *int8, x *float32, gain *float32, r float32, s float32, n int)
//
// Registers as in normCodes.
TEXT ·normCodesAway(SB), NOSPLIT, $0-40
	MOVD	codes+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	gain+16(FP), R2
	FMOVS	r+24(FP), F16
	FMOVS	s+28(FP), F17
	MOVD	n+32(FP), R3
	VDUP	V16.S[0], V16.S4
	VDUP	V17.S[0], V17.S4

eight:
	SCALED8
	FCVTAS4S(0, 0)
	FCVTAS4S(1, 1)
	BYTES8
	SUBS	$8, R3, R3
	BNE	eight
	RET

// func normSlope(acc *float32, dgain *float32, dy *float32, x *float32, gain *float32, r float32, n int)
//
// R0 acc, R1 dgain, R2 dy, R3 x, R4 gain, R5 values left, R6 the next lanes, R7 lanes left; V0 x̂, V1 dy, V2 gain and
// products, V3 sums, V16 r.
TEXT ·normSlope(SB), NOSPLIT, $0-56
	MOVD	acc+0(FP), R0
	MOVD	dgain+8(FP), R1
	MOVD	dy+16(FP), R2
	MOVD	x+24(FP), R3
	MOVD	gain+32(FP), R4
	FMOVS	r+40(FP), F16
	MOVD	n+48(FP), R5
	VDUP	V16.S[0], V16.S4

lanes:
	MOVD	R0, R6
	MOVD	$64, R7

four:
	VLD1.P	16(R3), [V0.S4]
	VLD1.P	16(R2), [V1.S4]
	VLD1.P	16(R4), [V2.S4]
	VLD1	(R6), [V3.S4]
	VLD1	(R1), [V4.S4]
	FMUL4S(16, 0, 0)
	FMUL4S(2, 1, 2)
	FMUL4S(0, 2, 2)
	FADD4S(2, 3, 3)
	FMUL4S(0, 1, 1)
	FADD4S(1, 4, 4)
	VST1.P	[V3.S4], 16(R6)
	VST1.P	[V4.S4], 16(R1)
	SUBS	$4, R7, R7
	BNE	four
	SUBS	$64, R5, R5
	BNE	lanes
	RET

// V0 = r·(dy∘gain − x̂·mean) of four values.
#define SLOPE4 \
	VLD1.P	16(R2), [V0.S4]; \
	VLD1.P	16(R1), [V1.S4]; \
	VLD1.P	16(R3), [V2.S4]; \
	FMUL4S(16, 0, 0); \
	FMUL4S(17, 0, 0); \
	FMUL4S(2, 1, 1); \
	FSUB4S(0, 1, 0); \
	FMUL4S(0, 16, 0)

// func normBack(dx *float32, dy *float32, x *float32, gain *float32, r float32, mean float32, n int)
//
// R0 dx, R1 dy, R2 x, R3 gain, R4 values left; V0 x, V1 dy, V2 gain, V16 r, V17 mean.
TEXT ·normBack(SB), NOSPLIT, $0-48
	MOVD	dx+0(FP), R0
	MOVD	dy+8(FP), R1
	MOVD	x+16(FP), R2
	MOVD	gain+24(FP), R3
	FMOVS	r+32(FP), F16
	FMOVS	mean+36(FP), F17
	MOVD	n+40(FP), R4
	VDUP	V16.S[0], V16.S4
	VDUP	V17.S[0], V17.S4

four:
	SLOPE4
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R4, R4
	BNE	four
	RET

// func normBackAdd(dx *float32, dy *float32, x *float32, gain *float32, r float32, mean float32, n int)
//
// Registers as in normBack; V3 dx.
TEXT ·normBackAdd(SB), NOSPLIT, $0-48
	MOVD	dx+0(FP), R0
	MOVD	dy+8(FP), R1
	MOVD	x+16(FP), R2
	MOVD	gain+24(FP), R3
	FMOVS	r+32(FP), F16
	FMOVS	mean+36(FP), F17
	MOVD	n+40(FP), R4
	VDUP	V16.S[0], V16.S4
	VDUP	V17.S[0], V17.S4

four:
	SLOPE4
	VLD1	(R0), [V3.S4]
	FADD4S(3, 0, 0)
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R4, R4
	BNE	four
	RET

// func sum(dst *float32, a *float32, b *float32, n int)
//
// R0 dst, R1 a, R2 b, R3 values left.
TEXT ·sum(SB), NOSPLIT, $0-32
	MOVD	dst+0(FP), R0
	MOVD	a+8(FP), R1
	MOVD	b+16(FP), R2
	MOVD	n+24(FP), R3

four:
	VLD1.P	16(R1), [V0.S4]
	VLD1.P	16(R2), [V1.S4]
	FADD4S(1, 0, 0)
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R3, R3
	BNE	four
	RET
