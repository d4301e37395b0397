//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"

// Four values in register n become trits: ±1 by their sign where |v·inv| is above one half, else 0. a is lost.
#define TRITS4(n, v, a, abs) \
	FMUL4S(16, n, n); \
	FABS4S(n, a); \
	FCMGT4S(17, a, a); \
	SSHR4S(31, n, n); \
	VORR	V18.B16, v.B16, v.B16; \
	VAND	abs.B16, v.B16, v.B16

// func trits(codes *int8, w *float32, inv float32, n int)
//
// R0 codes, R1 w, R2 values left; V0 … V3 values, V4 … V7 which of them are not 0, V16 inv, V17 one half, V18 ones.
TEXT ·trits(SB), NOSPLIT, $0-32
	MOVD	codes+0(FP), R0
	MOVD	w+8(FP), R1
	FMOVS	inv+16(FP), F16
	MOVD	n+24(FP), R2
	VDUP	V16.S[0], V16.S4
	MOVD	$0x3f000000, R3
	VDUP	R3, V17.S4
	MOVD	$1, R3
	VDUP	R3, V18.S4

sixteen:
	VLD1.P	64(R1), [V0.S4, V1.S4, V2.S4, V3.S4]
	TRITS4(0, V0, 4, V4)
	TRITS4(1, V1, 5, V5)
	TRITS4(2, V2, 6, V6)
	TRITS4(3, V3, 7, V7)
	VUZP1	V1.H8, V0.H8, V0.H8
	VUZP1	V3.H8, V2.H8, V2.H8
	VUZP1	V2.B16, V0.B16, V0.B16
	VST1.P	[V0.B16], 16(R0)
	SUBS	$16, R2, R2
	BNE	sixteen
	RET

// term adds what it makes of each four of R2 values at R1, in V16 … V19, to the lanes at R0, which are V0 … V15 meanwhile.
#define LANES(term) \
	MOVD	R0, R3; \
	VLD1.P	64(R3), [V0.D2, V1.D2, V2.D2, V3.D2]; \
	VLD1.P	64(R3), [V4.D2, V5.D2, V6.D2, V7.D2]; \
	VLD1.P	64(R3), [V8.D2, V9.D2, V10.D2, V11.D2]; \
	VLD1	(R3), [V12.D2, V13.D2, V14.D2, V15.D2]; \
lanes: \
	VLD1.P	64(R1), [V16.S4, V17.S4, V18.S4, V19.S4]; \
	term(16, 0, 1); \
	term(17, 2, 3); \
	term(18, 4, 5); \
	term(19, 6, 7); \
	VLD1.P	64(R1), [V16.S4, V17.S4, V18.S4, V19.S4]; \
	term(16, 8, 9); \
	term(17, 10, 11); \
	term(18, 12, 13); \
	term(19, 14, 15); \
	SUBS	$32, R2, R2; \
	BNE	lanes; \
	VST1.P	[V0.D2, V1.D2, V2.D2, V3.D2], 64(R0); \
	VST1.P	[V4.D2, V5.D2, V6.D2, V7.D2], 64(R0); \
	VST1.P	[V8.D2, V9.D2, V10.D2, V11.D2], 64(R0); \
	VST1	[V12.D2, V13.D2, V14.D2, V15.D2], (R0)

// The magnitudes of the four values in register n are added to the lanes in a, b. V20, V21 are lost.
#define MAGNITUDES(n, a, b) \
	FABS4S(n, n); \
	FCVTL2D(n, 20); \
	FCVTL22D(n, 21); \
	FADD2D(20, a, a); \
	FADD2D(21, b, b)

// func absSum(acc *float64, x *float32, n int)
TEXT ·absSum(SB), NOSPLIT, $0-24
	MOVD	acc+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	n+16(FP), R2
	LANES(MAGNITUDES)
	RET

// Their squares.
#define SQUARES64(n, a, b) \
	FCVTL2D(n, 20); \
	FCVTL22D(n, 21); \
	FMUL2D(20, 20, 20); \
	FMUL2D(21, 21, 21); \
	FADD2D(20, a, a); \
	FADD2D(21, b, b)

// func squareSum(acc *float64, x *float32, n int)
TEXT ·squareSum(SB), NOSPLIT, $0-24
	MOVD	acc+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	n+16(FP), R2
	LANES(SQUARES64)
	RET
