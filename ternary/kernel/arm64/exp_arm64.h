// The exponential of f32.Exp, operation by operation, and what is made of it. V16 … V31 hold its constants; V0 … V6 are
// used. To be included behind neon_arm64.h.

DATA exponential<>+0(SB)/4, $0x3fb8aa3b // log2e 1.44269504
DATA exponential<>+4(SB)/4, $0x4b400000 // roundMagic 12582912
DATA exponential<>+8(SB)/4, $0x3f318000 // ln2Hi 0.693359375
DATA exponential<>+12(SB)/4, $0xb95e8083 // ln2Lo -2.12194440e-4
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

// V2 = x·log2e + magic, its integer n in the low bits; V3 = e^(x − n·ln 2), for x in V0. V1, V4 are lost.
#define POLYNOMIAL \
	FMUL4S(16, 0, 2); \
	FADD4S(17, 2, 2); \
	FSUB4S(17, 2, 3); \
	FMUL4S(18, 3, 1); \
	FSUB4S(1, 0, 1); \
	FMUL4S(19, 3, 3); \
	FSUB4S(3, 1, 1); \
	FMUL4S(1, 20, 3); \
	FADD4S(21, 3, 3); \
	FMUL4S(1, 3, 3); \
	FADD4S(22, 3, 3); \
	FMUL4S(1, 3, 3); \
	FADD4S(23, 3, 3); \
	FMUL4S(1, 3, 3); \
	FADD4S(24, 3, 3); \
	FMUL4S(1, 3, 3); \
	FADD4S(25, 3, 3); \
	FMUL4S(1, 1, 4); \
	FMUL4S(4, 3, 3); \
	FADD4S(1, 3, 3); \
	FADD4S(26, 3, 3)

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

// V6 = σ(V5), as f32.Sigmoid. V0 … V4 are lost.
#define SIGMOID \
	VORR	V28.B16, V5.B16, V0.B16; \
	EXP_NEGATIVE; \
	SSHR4S(31, 5, 4); \
	VMOV	V26.B16, V6.B16; \
	VBIT	V4.B16, V3.B16, V6.B16; \
	FADD4S(26, 3, 3); \
	FDIV4S(3, 26, 3); \
	FMUL4S(3, 6, 6)

// V9 = silu'(V5), as generic.siluSlope, given V6 = σ(V5)
#define SILU_SLOPE \
	FSUB4S(6, 26, 9); \
	FMUL4S(9, 5, 9); \
	FADD4S(26, 9, 9); \
	FMUL4S(9, 6, 9)
