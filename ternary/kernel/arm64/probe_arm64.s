//go:build arm64 && !noasm

#include "textflag.h"

// The words of 64 bytes, at bytes behind R0, are added to the sums a, b, c, d.
#define READ64(at, a, b, c, d) \
	FLDPQ	(at)(R0), (F16, F17); \
	FLDPQ	(at+32)(R0), (F18, F19); \
	VADD	V16.D2, a.D2, a.D2; \
	VADD	V17.D2, b.D2, b.D2; \
	VADD	V18.D2, c.D2, c.D2; \
	VADD	V19.D2, d.D2, d.D2

#define READ128(at) \
	READ64(at, V0, V1, V2, V3); \
	READ64(at+64, V4, V5, V6, V7)

// func readSum(p *byte, n int) uint64
//
// R0 p, R1 bytes left; V0 … V7 sums.
TEXT ·readSum(SB), NOSPLIT, $0-24
	MOVD	p+0(FP), R0
	MOVD	n+8(FP), R1
	VEOR	V0.B16, V0.B16, V0.B16
	VEOR	V1.B16, V1.B16, V1.B16
	VEOR	V2.B16, V2.B16, V2.B16
	VEOR	V3.B16, V3.B16, V3.B16
	VEOR	V4.B16, V4.B16, V4.B16
	VEOR	V5.B16, V5.B16, V5.B16
	VEOR	V6.B16, V6.B16, V6.B16
	VEOR	V7.B16, V7.B16, V7.B16

block:
	READ128(0)
	READ128(128)
	READ128(256)
	READ128(384)
	ADD	$512, R0
	SUBS	$512, R1, R1
	BNE	block
	VADD	V4.D2, V0.D2, V0.D2
	VADD	V5.D2, V1.D2, V1.D2
	VADD	V6.D2, V2.D2, V2.D2
	VADD	V7.D2, V3.D2, V3.D2
	VADD	V2.D2, V0.D2, V0.D2
	VADD	V3.D2, V1.D2, V1.D2
	VADD	V1.D2, V0.D2, V0.D2
	VADDP	V0.D2, V0.D2, V0.D2
	FMOVD	F0, R0
	MOVD	R0, ret+16(FP)
	RET

// One operation on each of the 24 chains, with two sources s of arrangement t: four units of four cycles each would be busy with 16.
#define CHAINS(op, s, t) \
	op	s.t, s.t, V0.t; \
	op	s.t, s.t, V1.t; \
	op	s.t, s.t, V2.t; \
	op	s.t, s.t, V3.t; \
	op	s.t, s.t, V4.t; \
	op	s.t, s.t, V5.t; \
	op	s.t, s.t, V6.t; \
	op	s.t, s.t, V7.t; \
	op	s.t, s.t, V8.t; \
	op	s.t, s.t, V9.t; \
	op	s.t, s.t, V10.t; \
	op	s.t, s.t, V11.t; \
	op	s.t, s.t, V12.t; \
	op	s.t, s.t, V13.t; \
	op	s.t, s.t, V14.t; \
	op	s.t, s.t, V15.t; \
	op	s.t, s.t, V16.t; \
	op	s.t, s.t, V17.t; \
	op	s.t, s.t, V18.t; \
	op	s.t, s.t, V19.t; \
	op	s.t, s.t, V20.t; \
	op	s.t, s.t, V21.t; \
	op	s.t, s.t, V22.t; \
	op	s.t, s.t, V23.t

// V0 = the larger bits of its own and a chain's.
#define TOP(chain) VUMAX chain.S4, V0.S4, V0.S4

// func fusedPeak(loops int, half float32) float32
//
// R0 passes left; V0 … V23 chains, which are 1 and 1.25 in turn, V24 half, V25 one.
TEXT ·fusedPeak(SB), NOSPLIT, $0-20
	MOVD	loops+0(FP), R0
	FMOVS	half+8(FP), F24
	FADDS	F24, F24, F25
	VDUP	V24.S[0], V24.S4
	VDUP	V25.S[0], V25.S4
	CHAINS(VORR, V25, B16)

pass:
	CHAINS(VFMLA, V24, S4)
	CHAINS(VFMLS, V24, S4)
	CHAINS(VFMLA, V24, S4)
	CHAINS(VFMLS, V24, S4)
	CHAINS(VFMLA, V24, S4)
	CHAINS(VFMLS, V24, S4)
	CHAINS(VFMLA, V24, S4)
	CHAINS(VFMLS, V24, S4)
	SUBS	$1, R0, R0
	BNE	pass
	TOP(V1); TOP(V2); TOP(V3); TOP(V4)
	TOP(V5); TOP(V6); TOP(V7); TOP(V8)
	TOP(V9); TOP(V10); TOP(V11); TOP(V12)
	TOP(V13); TOP(V14); TOP(V15); TOP(V16)
	TOP(V17); TOP(V18); TOP(V19); TOP(V20)
	TOP(V21); TOP(V22); TOP(V23)
	FMOVS	F0, ret+16(FP)
	RET
