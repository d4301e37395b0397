//go:build arm64 && !noasm

#include "textflag.h"
#include "neon_arm64.h"
#include "exp_arm64.h"

// func gate(dst *float32, x *float32, s *float32, gain *float32, r float32, n int)
//
// R0 dst, R1 x, R2 s, R3 gain, R4 values left; V5 s, V6 silu, V7 x, V8 gain, V15 r.
TEXT ·gate(SB), NOSPLIT, $0-48
	MOVD	dst+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	s+16(FP), R2
	MOVD	gain+24(FP), R3
	FMOVS	r+32(FP), F15
	MOVD	n+40(FP), R4
	VDUP	V15.S[0], V15.S4
	LOAD_SIGMOID

four:
	VLD1.P	16(R2), [V5.S4]
	VLD1.P	16(R1), [V7.S4]
	VLD1.P	16(R3), [V8.S4]
	SIGMOID(near)
	FMUL4S(6, 5, 6)
	FMUL4S(15, 7, 7)
	FMUL4S(8, 7, 7)
	FMUL4S(6, 7, 7)
	VST1.P	[V7.S4], 16(R0)
	SUBS	$4, R4, R4
	BNE	four
	RET

// func gateBack(dx *float32, ds *float32, da *float32, x *float32, s *float32, gain *float32, r float32, n int)
//
// R0 dx, R1 ds, R2 da, R3 x, R4 s, R5 gain, R6 values left; V5 s, V6 σ, V7 x, V8 gain, V9 slope, V10 da, V15 r.
TEXT ·gateBack(SB), NOSPLIT, $0-64
	MOVD	dx+0(FP), R0
	MOVD	ds+8(FP), R1
	MOVD	da+16(FP), R2
	MOVD	x+24(FP), R3
	MOVD	s+32(FP), R4
	MOVD	gain+40(FP), R5
	FMOVS	r+48(FP), F15
	MOVD	n+56(FP), R6
	VDUP	V15.S[0], V15.S4
	LOAD_SIGMOID

four:
	VLD1.P	16(R4), [V5.S4]
	VLD1.P	16(R3), [V7.S4]
	VLD1.P	16(R5), [V8.S4]
	VLD1.P	16(R2), [V10.S4]
	SIGMOID(near)
	SILU_SLOPE
	FMUL4S(15, 7, 7)
	FMUL4S(8, 7, 7)
	FMUL4S(7, 10, 7)
	FMUL4S(9, 7, 7)
	VST1.P	[V7.S4], 16(R1)
	FMUL4S(6, 5, 6)
	FMUL4S(6, 10, 6)
	VST1.P	[V6.S4], 16(R0)
	SUBS	$4, R6, R6
	BNE	four
	RET

// func swiGLU(dst *float32, p *float32, q *float32, n int)
//
// R0 dst, R1 p, R2 q, R3 values left; V5 p, V6 silu, V7 q.
TEXT ·swiGLU(SB), NOSPLIT, $0-32
	MOVD	dst+0(FP), R0
	MOVD	p+8(FP), R1
	MOVD	q+16(FP), R2
	MOVD	n+24(FP), R3
	LOAD_SIGMOID

four:
	VLD1.P	16(R1), [V5.S4]
	VLD1.P	16(R2), [V7.S4]
	SIGMOID(near)
	FMUL4S(6, 5, 6)
	FMUL4S(7, 6, 6)
	VST1.P	[V6.S4], 16(R0)
	SUBS	$4, R3, R3
	BNE	four
	RET

// func swiGLUBack(dp *float32, dq *float32, dz *float32, p *float32, q *float32, n int)
//
// R0 dp, R1 dq, R2 dz, R3 p, R4 q, R5 values left; V5 p, V6 σ, V7 q, V9 slope, V10 dz.
TEXT ·swiGLUBack(SB), NOSPLIT, $0-48
	MOVD	dp+0(FP), R0
	MOVD	dq+8(FP), R1
	MOVD	dz+16(FP), R2
	MOVD	p+24(FP), R3
	MOVD	q+32(FP), R4
	MOVD	n+40(FP), R5
	LOAD_SIGMOID

four:
	VLD1.P	16(R3), [V5.S4]
	VLD1.P	16(R4), [V7.S4]
	VLD1.P	16(R2), [V10.S4]
	SIGMOID(near)
	SILU_SLOPE
	FMUL4S(7, 10, 7)
	FMUL4S(9, 7, 7)
	VST1.P	[V7.S4], 16(R0)
	FMUL4S(6, 5, 6)
	FMUL4S(6, 10, 6)
	VST1.P	[V6.S4], 16(R1)
	SUBS	$4, R5, R5
	BNE	four
	RET

// V6 = σ(z), V7 = f = bound + (1 − bound)·σ(z), V8 = 1 − bound, for z in V5 and the bound in V7. V11 is lost.
#define FORGET \
	SIGMOID(nearZ); \
	FSUB4S(7, 26, 8); \
	FMUL4S(6, 8, 11); \
	FADD4S(11, 7, 7)

// func recur(states *float32, state *float32, i *float32, z *float32, bound *float32, keep float32, n int)
//
// R0 states, R1 state, R2 i, R3 z, R4 bound, R5 channels left; V5 z and i, V6 σ and u, V7 f, V9 state, V15 keep.
TEXT ·recur(SB), NOSPLIT, $0-56
	MOVD	states+0(FP), R0
	MOVD	state+8(FP), R1
	MOVD	i+16(FP), R2
	MOVD	z+24(FP), R3
	MOVD	bound+32(FP), R4
	FMOVS	keep+40(FP), F15
	MOVD	n+48(FP), R5
	VDUP	V15.S[0], V15.S4
	LOAD_SIGMOID

four:
	VLD1.P	16(R3), [V5.S4]
	VLD1.P	16(R4), [V7.S4]
	FORGET
	VLD1.P	16(R2), [V5.S4]
	SIGMOID(near)
	FMUL4S(6, 5, 6)
	FSUB4S(7, 26, 8)
	FMUL4S(8, 6, 6)
	FMUL4S(15, 6, 6)
	VLD1	(R1), [V9.S4]
	FMUL4S(9, 7, 9)
	FADD4S(6, 9, 9)
	VST1.P	[V9.S4], 16(R1)
	VST1.P	[V9.S4], 16(R0)
	SUBS	$4, R5, R5
	BNE	four
	RET

// func recurBack(di *float32, dz *float32, dbound *float32, carried *float32, ds *float32, previous *float32, i *float32, z *float32, bound *float32, keep float32, n int)
//
// R0 di, R1 dz, R2 dbound, R3 carried, R4 ds, R5 previous, R6 i, R7 z, R8 bound, R9 channels left; V5 z and i, V6 their σ,
// V7 f, V8 1 − bound, V9 slopes, V10 δ, V12 du and df, V13 σ(z), V14 previous, V15 keep.
TEXT ·recurBack(SB), NOSPLIT, $0-88
	MOVD	di+0(FP), R0
	MOVD	dz+8(FP), R1
	MOVD	dbound+16(FP), R2
	MOVD	carried+24(FP), R3
	MOVD	ds+32(FP), R4
	MOVD	previous+40(FP), R5
	MOVD	i+48(FP), R6
	MOVD	z+56(FP), R7
	MOVD	bound+64(FP), R8
	FMOVS	keep+72(FP), F15
	MOVD	n+80(FP), R9
	VDUP	V15.S[0], V15.S4
	LOAD_SIGMOID

four:
	VLD1.P	16(R7), [V5.S4]
	VLD1.P	16(R8), [V7.S4]
	VLD1.P	16(R4), [V10.S4]
	VLD1	(R3), [V11.S4]
	VLD1.P	16(R5), [V14.S4]
	FADD4S(11, 10, 10)
	FORGET
	VMOV	V6.B16, V13.B16
	FMUL4S(10, 7, 11)
	VST1.P	[V11.S4], 16(R3)
	VLD1.P	16(R6), [V5.S4]
	SIGMOID(near)
	SILU_SLOPE
	// di = (du·(1−f))·silu'(i)
	FMUL4S(15, 10, 12)
	FSUB4S(7, 26, 7)
	FMUL4S(7, 12, 7)
	FMUL4S(9, 7, 7)
	VST1.P	[V7.S4], 16(R0)
	// df = δ·previous − du·silu(i)
	FMUL4S(6, 5, 6)
	FMUL4S(6, 12, 6)
	FMUL4S(14, 10, 12)
	FSUB4S(6, 12, 12)
	// dz = (df·(1−bound))·(σ·(1−σ)), dbound += df·(1−σ)
	FSUB4S(13, 26, 9)
	FMUL4S(8, 12, 8)
	FMUL4S(9, 13, 11)
	FMUL4S(11, 8, 8)
	VST1.P	[V8.S4], 16(R1)
	FMUL4S(9, 12, 9)
	VLD1	(R2), [V11.S4]
	FADD4S(9, 11, 11)
	VST1.P	[V11.S4], 16(R2)
	SUBS	$4, R9, R9
	BNE	four
	RET

// v, of number n, takes the values of x, of number xn, that are greater. V8 is lost.
#define GREATER(x, xn, v, n) \
	FCMGT4S(n, xn, 8); \
	VBIT	V8.B16, x.B16, v.B16

// func largest(tops *float32, x *float32, n int)
//
// R0 tops, R1 x, R2 values left; V0 … V3 x, V4 … V7 the largest of 16 lanes, V8 masks.
TEXT ·largest(SB), NOSPLIT, $0-24
	MOVD	tops+0(FP), R0
	MOVD	x+8(FP), R1
	MOVD	n+16(FP), R2
	VLD1	(R0), [V4.S4, V5.S4, V6.S4, V7.S4]

sixteen:
	VLD1.P	64(R1), [V0.S4, V1.S4, V2.S4, V3.S4]
	GREATER(V0, 0, V4, 4)
	GREATER(V1, 1, V5, 5)
	GREATER(V2, 2, V6, 6)
	GREATER(V3, 3, V7, 7)
	SUBS	$16, R2, R2
	BNE	sixteen
	VST1	[V4.S4, V5.S4, V6.S4, V7.S4], (R0)
	RET

// func expSum(acc *float32, x *float32, top float32, n int)
//
// R0 acc, R1 x, R2 values left, R3 the next lanes, R4 lanes left; V0 x − top, V3 exponentials, V6 sums, V15 top.
TEXT ·expSum(SB), NOSPLIT, $0-32
	MOVD	acc+0(FP), R0
	MOVD	x+8(FP), R1
	FMOVS	top+16(FP), F15
	MOVD	n+24(FP), R2
	VDUP	V15.S[0], V15.S4
	LOAD_EXPONENTIAL

lanes:
	MOVD	R0, R3
	MOVD	$64, R4

four:
	VLD1.P	16(R1), [V0.S4]
	VLD1	(R3), [V6.S4]
	FSUB4S(15, 0, 0)
	EXP
	FADD4S(3, 6, 6)
	VST1.P	[V6.S4], 16(R3)
	SUBS	$4, R4, R4
	BNE	four
	SUBS	$64, R2, R2
	BNE	lanes
	RET

// func softmax(x *float32, top float32, inv float32, scale float32, n int)
//
// R0 x, R1 values left; V0 x − top, V3 exponentials, V13 top, V14 inv, V15 scale.
TEXT ·softmax(SB), NOSPLIT, $0-32
	MOVD	x+0(FP), R0
	FMOVS	top+8(FP), F13
	FMOVS	inv+12(FP), F14
	FMOVS	scale+16(FP), F15
	MOVD	n+24(FP), R1
	VDUP	V13.S[0], V13.S4
	VDUP	V14.S[0], V14.S4
	VDUP	V15.S[0], V15.S4
	LOAD_EXPONENTIAL

four:
	VLD1	(R0), [V0.S4]
	FSUB4S(13, 0, 0)
	EXP
	FMUL4S(14, 3, 3)
	FMUL4S(15, 3, 3)
	VST1.P	[V3.S4], 16(R0)
	SUBS	$4, R1, R1
	BNE	four
	RET

// func adamW(theta *float32, m *float32, v *float32, d *float32, scalars *float32, n int)
//
// R0 theta, R1 m, R2 v, R3 d, R4 scalars, R5 values left; V0 theta, V1 m, V2 v, V3 d, V4 products; V16 … V24 clip, decay,
// β1, β2, 1−β1, 1−β2, rate, correction2, ε.
TEXT ·adamW(SB), NOSPLIT, $0-48
	MOVD	theta+0(FP), R0
	MOVD	m+8(FP), R1
	MOVD	v+16(FP), R2
	MOVD	d+24(FP), R3
	MOVD	scalars+32(FP), R4
	MOVD	n+40(FP), R5
	VLD1R.P	4(R4), [V16.S4]
	VLD1R.P	4(R4), [V17.S4]
	VLD1R.P	4(R4), [V18.S4]
	VLD1R.P	4(R4), [V19.S4]
	VLD1R.P	4(R4), [V20.S4]
	VLD1R.P	4(R4), [V21.S4]
	VLD1R.P	4(R4), [V22.S4]
	VLD1R.P	4(R4), [V23.S4]
	VLD1R.P	4(R4), [V24.S4]

four:
	VLD1.P	16(R3), [V3.S4]
	VLD1	(R1), [V1.S4]
	VLD1	(R2), [V2.S4]
	VLD1	(R0), [V0.S4]
	FMUL4S(16, 3, 3)
	FMUL4S(18, 1, 1)
	FMUL4S(20, 3, 4)
	FADD4S(4, 1, 1)
	VST1.P	[V1.S4], 16(R1)
	FMUL4S(3, 3, 3)
	FMUL4S(21, 3, 3)
	FMUL4S(19, 2, 2)
	FADD4S(3, 2, 2)
	VST1.P	[V2.S4], 16(R2)
	FMUL4S(23, 2, 2)
	FSQRT4S(2, 2)
	FADD4S(24, 2, 2)
	FMUL4S(22, 1, 1)
	FDIV4S(2, 1, 1)
	FMUL4S(17, 0, 0)
	FSUB4S(1, 0, 0)
	VST1.P	[V0.S4], 16(R0)
	SUBS	$4, R5, R5
	BNE	four
	RET
