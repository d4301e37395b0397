//go:build amd64 && !noasm

package amd64

//go:generate sh -c "cd ../_gen && go run ./rows -out ../amd64/rows_amd64.s -stubs ../amd64/rows_amd64.go -widths ../amd64/rows_widths_amd64.go -pkg amd64"

import (
	"unsafe"

	"mmfree/ternary/f32"
	"mmfree/ternary/quant"
)

// Rows is the width of the row kernels' vectors. Its methods are kernel.Set's fields of the same names. It chooses at each
// call of an assembly routine, by a branch: through function variables the scratch memory of callers would escape.
type Rows bool

// The widths.
const (
	Rows512 Rows = true  // AVX-512 F and DQ, BMI2
	Rows256 Rows = false // AVX2 and FMA
)

// span is the number of values that one call of a routine takes where rows may be long: under 50 µs without preemption at
// the costliest ones. It is a multiple of f32.Lanes, so that a sum over several spans keeps its order.
const span = 8192

// logistic is where the assembly finds the table of sigmoid.
//
//lint:ignore U1000 no Go code reads it.
var logistic = f32.Logistic()

// at is the address of x[i], which need not exist where nothing is read.
func at(x []float32, i int) *float32 { return unsafe.SliceData(x[i:]) }

func (wide Rows) inverseRMS(x []float32, eps float32) float32 {
	return 1 / f32.Sqrt(wide.sumSquares(at(x, 0), len(x))/float32(len(x))+eps)
}

// next returns the bytes from x to the row behind it in its array, which is most often the next one of the same caller, or 0
// if there is none.
func next(x []float32) int {
	if cap(x) < 2*len(x) {
		return 0
	}
	return len(x) * bytesPerFloat
}

// RMSNorm is kernel.Set.RMSNorm.
func (wide Rows) RMSNorm(dst, x, gain []float32, eps float32) (r float32) {
	n := len(x)
	dst, gain = dst[:n], gain[:n]
	r = wide.inverseRMS(x, eps)
	wide.normalise(at(dst, 0), at(x, 0), at(gain, 0), r, n, next(x))
	return r
}

// NormQuantize is kernel.Set.NormQuantize: three passes over x, which stays in the nearest cache.
func (wide Rows) NormQuantize(codes []int8, x, gain []float32, eps float32, away bool) (r, s float32) {
	n := len(x)
	codes, gain = codes[:n], gain[:n]
	r = wide.inverseRMS(x, eps)
	s = quant.ActivationScale(wide.normTop(at(x, 0), at(gain, 0), r, n, next(x)))
	switch {
	case s != s:
		clear(codes)
	case away:
		wide.normCodesAway(unsafe.SliceData(codes), at(x, 0), at(gain, 0), r, s, n)
	default:
		wide.normCodes(unsafe.SliceData(codes), at(x, 0), at(gain, 0), r, s, n)
	}
	return r, s
}

// RMSNormBackward is kernel.Set.RMSNormBackward.
func (wide Rows) RMSNormBackward(dx, dgain, dy, x, gain []float32, r float32, add bool) {
	n := len(x)
	dx, dgain, dy, gain = dx[:n], dgain[:n], dy[:n], gain[:n]
	mean := wide.normSlope(at(dgain, 0), at(dy, 0), at(x, 0), at(gain, 0), r, n) / float32(n)
	if add {
		wide.normBackAdd(at(dx, 0), at(dy, 0), at(x, 0), at(gain, 0), r, mean, n)
	} else {
		wide.normBack(at(dx, 0), at(dy, 0), at(x, 0), at(gain, 0), r, mean, n)
	}
}

// OutputGate is kernel.Set.OutputGate.
func (wide Rows) OutputGate(dst, g, s, gain []float32, eps float32) (r float32) {
	n := len(g)
	dst, s, gain = dst[:n], s[:n], gain[:n]
	r = wide.inverseRMS(g, eps)
	for i := 0; i < n; i += span {
		wide.gate(at(dst, i), at(g, i), at(s, i), at(gain, i), r, min(span, n-i), next(g))
	}
	return r
}

// OutputGateBackward is kernel.Set.OutputGateBackward.
func (wide Rows) OutputGateBackward(dg, ds, dgain, da, g, s, gain []float32, r float32) {
	n := len(g)
	dg, ds, da, s, gain = dg[:n], ds[:n], da[:n], s[:n], gain[:n]
	for i := 0; i < n; i += span {
		wide.gateBack(at(dg, i), at(ds, i), at(da, i), at(g, i), at(s, i), at(gain, i), r, min(span, n-i))
	}
	wide.RMSNormBackward(dg, dgain, dg, g, gain, r, false)
}

// SwiGLU is kernel.Set.SwiGLU.
func (wide Rows) SwiGLU(dst, p, q []float32) {
	n := len(p)
	dst, q = dst[:n], q[:n]
	for i := 0; i < n; i += span {
		wide.swiGLU(at(dst, i), at(p, i), at(q, i), min(span, n-i))
	}
}

// SwiGLUBackward is kernel.Set.SwiGLUBackward.
func (wide Rows) SwiGLUBackward(dp, dq, dz, p, q []float32) {
	n := len(p)
	dp, dq, dz, q = dp[:n], dq[:n], dz[:n], q[:n]
	for i := 0; i < n; i += span {
		wide.swiGLUBack(at(dp, i), at(dq, i), at(dz, i), at(p, i), at(q, i), min(span, n-i))
	}
}

// Add is kernel.Set.Add.
func (wide Rows) Add(dst, a, b []float32) {
	n := len(a)
	dst, b = dst[:n], b[:n]
	for i := 0; i < n; i += span {
		wide.sum(at(dst, i), at(a, i), at(b, i), min(span, n-i))
	}
}
