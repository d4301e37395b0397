// Instructions that Go's assembler does not know, as macros over register numbers. Operands stand as in Go's own
// instructions: sources from the last to the first, then the destination.

// d = n + m, n − m, n·m in four float32 lanes
#define FADD4S(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d)) // FADD Vd.4S, Vn.4S, Vm.4S
#define FSUB4S(m, n, d) WORD $(0x4EA0D400 | (m)<<16 | (n)<<5 | (d)) // FSUB Vd.4S, Vn.4S, Vm.4S
#define FMUL4S(m, n, d) WORD $(0x6E20DC00 | (m)<<16 | (n)<<5 | (d)) // FMUL Vd.4S, Vn.4S, Vm.4S

// d = n·m[i], i < 4
#define FMUL4SE(m, i, n, d) WORD $(0x4F809000 | ((i)&1)<<21 | (m)<<16 | ((i)>>1)<<11 | (n)<<5 | (d)) // FMUL Vd.4S, Vn.4S, Vm.S[i]

// d += n·m[i] in one rounding, i < 4
#define FMLA4SE(m, i, n, d) WORD $(0x4F801000 | ((i)&1)<<21 | (m)<<16 | ((i)>>1)<<11 | (n)<<5 | (d)) // FMLA Vd.4S, Vn.4S, Vm.S[i]

// d = n of int32 as float32, rounded to even
#define SCVTF4S(n, d) WORD $(0x4E21D800 | (n)<<5 | (d)) // SCVTF Vd.4S, Vn.4S

// d = the lower, the upper half of n with its sign
#define SXTL8H(n, d) WORD $(0x0F08A400 | (n)<<5 | (d)) // SXTL Vd.8H, Vn.8B
#define SXTL28H(n, d) WORD $(0x4F08A400 | (n)<<5 | (d)) // SXTL2 Vd.8H, Vn.16B
#define SXTL4S(n, d) WORD $(0x0F10A400 | (n)<<5 | (d)) // SXTL Vd.4S, Vn.4H
#define SXTL24S(n, d) WORD $(0x4F10A400 | (n)<<5 | (d)) // SXTL2 Vd.4S, Vn.8H

// d = n + the lower, the upper half of m with its sign
#define SADDW4S(m, n, d) WORD $(0x0E601000 | (m)<<16 | (n)<<5 | (d)) // SADDW Vd.4S, Vn.4S, Vm.4H
#define SADDW24S(m, n, d) WORD $(0x4E601000 | (m)<<16 | (n)<<5 | (d)) // SADDW2 Vd.4S, Vn.4S, Vm.8H

// d = n / m, √n, |n| of four float32 lanes, rounded to even
#define FDIV4S(m, n, d) WORD $(0x6E20FC00 | (m)<<16 | (n)<<5 | (d)) // FDIV Vd.4S, Vn.4S, Vm.4S
#define FSQRT4S(n, d) WORD $(0x6EA1F800 | (n)<<5 | (d)) // FSQRT Vd.4S, Vn.4S
#define FABS4S(n, d) WORD $(0x4EA0F800 | (n)<<5 | (d)) // FABS Vd.4S, Vn.4S

// d = all ones where n > m, else zeros, of NaN too
#define FCMGT4S(m, n, d) WORD $(0x6EA0E400 | (m)<<16 | (n)<<5 | (d)) // FCMGT Vd.4S, Vn.4S, Vm.4S

// d = all ones where n = m, else zeros, of NaN too
#define FCMEQ4S(m, n, d) WORD $(0x4E20E400 | (m)<<16 | (n)<<5 | (d)) // FCMEQ Vd.4S, Vn.4S, Vm.4S

// d = n rounded to int32, halves away from zero
#define FCVTAS4S(n, d) WORD $(0x4E21C800 | (n)<<5 | (d)) // FCVTAS Vd.4S, Vn.4S

// d = n shifted right by k with its sign
#define SSHR4S(k, n, d) WORD $(0x4F000400 | (64-(k))<<16 | (n)<<5 | (d)) // SSHR Vd.4S, Vn.4S, #k

// d = n rounded to int32, halves to even; NaN is 0
#define FCVTNS4S(n, d) WORD $(0x4E21A800 | (n)<<5 | (d)) // FCVTNS Vd.4S, Vn.4S

// d += n·m[i] of the lower, the upper four int16 of n, in int32; i < 8, m < 16
#define SMLAL4S(m, i, n, d) WORD $(0x0F402000 | (((i)>>1)&1)<<21 | ((i)&1)<<20 | (m)<<16 | ((i)>>2)<<11 | (n)<<5 | (d)) // SMLAL Vd.4S, Vn.4H, Vm.H[i]
#define SMLAL24S(m, i, n, d) WORD $(0x4F402000 | (((i)>>1)&1)<<21 | ((i)&1)<<20 | (m)<<16 | ((i)>>2)<<11 | (n)<<5 | (d)) // SMLAL2 Vd.4S, Vn.8H, Vm.H[i]

// d = the lower, the upper two float32 of n as float64
#define FCVTL2D(n, d) WORD $(0x0E617800 | (n)<<5 | (d)) // FCVTL Vd.2D, Vn.2S
#define FCVTL22D(n, d) WORD $(0x4E617800 | (n)<<5 | (d)) // FCVTL2 Vd.2D, Vn.4S

// d = n + m, n·m in two float64 lanes
#define FADD2D(m, n, d) WORD $(0x4E60D400 | (m)<<16 | (n)<<5 | (d)) // FADD Vd.2D, Vn.2D, Vm.2D
#define FMUL2D(m, n, d) WORD $(0x6E60DC00 | (m)<<16 | (n)<<5 | (d)) // FMUL Vd.2D, Vn.2D, Vm.2D
