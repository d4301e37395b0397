// f32.Exp and f32.Sigmoid, operation by operation, and what is made of them. V16 … V31 hold constants; V0 … V6 are used.
// To be included behind neon_arm64.h.

DATA exponential<>+0(SB)/4, $0x3fb8aa3b // log2e 1.44269504
DATA exponential<>+4(SB)/4, $0x4b400000 // roundMagic 12582912
DATA exponential<>+8(SB)/4, $0x3f317218 // ln2Hi 0.693147182
DATA exponential<>+12(SB)/4, $0xb102e308 // ln2Lo -1.90465430e-9
DATA exponential<>+16(SB)/4, $0x39506967 // the polynomial: 1.9875691500e-4
DATA exponential<>+20(SB)/4, $0x3ab743ce // 1.3981999507e-3
DATA exponential<>+24(SB)/4, $0x3c088908 // 8.3334519073e-3
DATA exponential<>+28(SB)/4, $0x3d2aa9c1 // 4.1665795894e-2
DATA exponential<>+32(SB)/4, $0x3e2aaaaa // 1.6666665459e-1
DATA exponential<>+36(SB)/4, $0x3f000000 // 5.0000001201e-1
DATA exponential<>+40(SB)/4, $0x3f800000 // 1
DATA exponential<>+44(SB)/4, $0xc2aeac4f // lowest -87.33654
DATA exponential<>+48(SB)/4, $0x80000000 // the sign bit
DATA exponential<>+52(SB)/4, $0x42b17217 // highest 88.72283
DATA exponential<>+56(SB)/4, $0x7f800000 // +Inf
GLOBL exponential<>(SB), RODATA|NOPTR, $60

#define LOAD_EXPONENTIAL \
	MOVD	$exponential<>(SB), R15; \
	VLD1R.P	4(R15), [V16.S4]; \
	VLD1R.P	4(R15), [V17.S4]; \
	VLD1R.P	4(R15), [V18.S4]; \
	VLD1R.P	4(R15), [V19.S4]; \
	VLD1R.P	4(R15), [V20.S4]; \
	VLD1R.P	4(R15), [V21.S4]; \
	VLD1R.P	4(R15), [V22.S4]; \
	VLD1R.P	4(R15), [V23.S4]; \
	VLD1R.P	4(R15), [V24.S4]; \
	VLD1R.P	4(R15), [V25.S4]; \
	VLD1R.P	4(R15), [V26.S4]; \
	VLD1R.P	4(R15), [V27.S4]; \
	VLD1R.P	4(R15), [V28.S4]; \
	VLD1R.P	4(R15), [V29.S4]; \
	VLD1R.P	4(R15), [V30.S4]; \
	VEOR	V31.B16, V31.B16, V31.B16

// to = sum·V1 + c, rounded once
#define HORNER(sum, c, to) \
	VMOV	c.B16, to.B16; \
	VFMLA	sum.S4, V1.S4, to.S4

// V2 = x·log2e + magic, its integer n in the low bits; V3 = e^(x − n·ln 2), for x in V0. V1, V4 are lost.
#define POLYNOMIAL \
	VMOV	V17.B16, V2.B16; \
	VFMLA	V16.S4, V0.S4, V2.S4; \
	FSUB4S(17, 2, 3); \
	VMOV	V0.B16, V1.B16; \
	VFMLS	V18.S4, V3.S4, V1.S4; \
	VFMLS	V19.S4, V3.S4, V1.S4; \
	HORNER(V20, V21, V3); \
	HORNER(V3, V22, V4); \
	HORNER(V4, V23, V3); \
	HORNER(V3, V24, V4); \
	HORNER(V4, V25, V3); \
	HORNER(V3, V26, V4); \
	HORNER(V4, V26, V3)

// V3 = e^V0 for V0 ≤ 0 or NaN: 2^n is a normal float32, so that one product does what f32.Exp's two do. V1 … V4 are lost.
#define EXP_NEGATIVE \
	POLYNOMIAL; \
	VSHL	$23, V2.S4, V2.S4; \
	VADD	V26.S4, V2.S4, V2.S4; \
	FMUL4S(2, 3, 3); \
	FCMGT4S(0, 27, 4); \
	VBIT	V4.B16, V31.B16, V3.B16

// V3 = e^V0. V1 … V5 are lost.
#define EXP \
	POLYNOMIAL; \
	VSUB	V17.S4, V2.S4, V4.S4; \
	SSHR4S(1, 4, 5); \
	VSUB	V5.S4, V4.S4, V4.S4; \
	VSHL	$23, V5.S4, V5.S4; \
	VSHL	$23, V4.S4, V4.S4; \
	VADD	V26.S4, V5.S4, V5.S4; \
	VADD	V26.S4, V4.S4, V4.S4; \
	FMUL4S(5, 3, 3); \
	FMUL4S(4, 3, 3); \
	FCMGT4S(0, 27, 4); \
	VBIT	V4.B16, V31.B16, V3.B16; \
	FCMGT4S(29, 0, 4); \
	VBIT	V4.B16, V30.B16, V3.B16

// The exponential's constants but for its last two, in whose place are those of SIGMOID.
#define LOAD_SIGMOID \
	LOAD_EXPONENTIAL; \
	MOVD	$0x03020100, R15; \
	VDUP	R15, V29.S4; \
	MOVD	$0x4177ffff, R15; \
	VDUP	R15, V30.S4

// V3 or V4, c, = c + q·V2 with the next row of f32.Logistic in place of c, from where R15 points: V1 has where a word's
// bytes are in it.
#define COEFFICIENT(c) \
	VLD1	(R15), [V18.B16, V19.B16, V20.B16, V21.B16]; \
	SUB	$64, R15, R15; \
	VTBL	V1.B16, [V18.B16, V19.B16, V20.B16, V21.B16], c.B16

#define STEP(q, c) \
	COEFFICIENT(c); \
	VFMLA	q.S4, V2.S4, c.S4

// V6 = σ(V5), as f32.Sigmoid; near is a label's name. V0 … V4 and V18 … V21 are lost. The bytes' places are those of the
// word's number, the lowest four bits of |z| + magic; where an |z| is above 15.499999, the table's end, its σ is made of
// the exponential.
#define SIGMOID(near) \
	FABS4S(5, 0); \
	FADD4S(17, 0, 1); \
	FSUB4S(17, 1, 2); \
	FSUB4S(2, 0, 2); \
	VSHL	$28, V1.S4, V1.S4; \
	VUSHR	$26, V1.S4, V1.S4; \
	VSLI	$8, V1.S4, V1.S4; \
	VSLI	$16, V1.S4, V1.S4; \
	VORR	V29.B16, V1.B16, V1.B16; \
	MOVD	$·logistic(SB), R15; \
	ADD	$384, R15, R15; \
	COEFFICIENT(V4); \
	STEP(V4, V3); \
	STEP(V3, V4); \
	STEP(V4, V3); \
	STEP(V3, V4); \
	STEP(V4, V3); \
	STEP(V3, V4); \
	FCMGT4S(30, 0, 3); \
	VUADDLV	V3.B16, V3; \
	VMOV	V3.H[0], R15; \
	CBZ	R15, near; \
	LOAD_SIGMOID; \
	VMOV	V4.B16, V6.B16; \
	VORR	V28.B16, V5.B16, V0.B16; \
	EXP_NEGATIVE; \
	FADD4S(26, 3, 4); \
	FDIV4S(4, 3, 3); \
	FABS4S(5, 0); \
	FCMGT4S(30, 0, 4); \
	VBIT	V4.B16, V3.B16, V6.B16; \
	VMOV	V6.B16, V4.B16; \
near: \
	FSUB4S(4, 26, 6); \
	SSHR4S(31, 5, 3); \
	VBIT	V3.B16, V4.B16, V6.B16

// V9 = silu'(V5), as generic.siluSlope, given V6 = σ(V5)
#define SILU_SLOPE \
	FSUB4S(6, 26, 9); \
	FMUL4S(9, 5, 9); \
	FADD4S(26, 9, 9); \
	FMUL4S(9, 6, 9)
