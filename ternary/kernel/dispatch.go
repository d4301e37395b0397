package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel/gemm"
	"mmfree/ternary/kernel/generic"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
)

// ErrISA is the class of an impossible choice of kernel set.
var ErrISA = errors.New("kernel set")

// Choose returns the set that the environment variable MMFREE_ISA names, or the fastest when it is unset or empty.
func Choose() (*Set, error) {
	sets := Available()
	want := os.Getenv("MMFREE_ISA")
	if want == "" {
		return sets[0], nil
	}
	var names []string
	for _, s := range sets {
		if s.Name == want {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("%w: MMFREE_ISA is %q, this machine and build can run: %s", ErrISA, want, strings.Join(names, ", "))
}

// Generic returns the portable set.
func Generic() *Set {
	s := &Set{
		Name: "generic", Tile: generic.Tile,
		MatMul: generic.MatMul, Prepare: generic.Prepare, MatVec: generic.MatVec, MatMulFloat: generic.MatMulFloat,
		OuterInts: generic.OuterInts, IntStrip: generic.IntStrip, IntPanel: generic.IntPanel,
		RMSNorm: generic.RMSNorm, NormQuantize: generic.NormQuantize, RMSNormBackward: generic.RMSNormBackward,
		Recurrence: generic.Recurrence, RecurrenceBackward: generic.RecurrenceBackward,
		OutputGate: generic.OutputGate, OutputGateBackward: generic.OutputGateBackward,
		SwiGLU: generic.SwiGLU, SwiGLUBackward: generic.SwiGLUBackward, Add: generic.Add,
		Shift: generic.Shift, WKV: generic.WKV, WKVBackward: generic.WKVBackward,
		Receptance: generic.Receptance, ReceptanceBackward: generic.ReceptanceBackward,
		Exponentials: generic.Exponentials, LogSumExp: generic.LogSumExp, SoftmaxGradient: generic.SoftmaxGradient,
		Encode: (*pack.Matrix).Encode, EncodeTransposed: (*pack.Matrix).EncodeTransposed,
		Trits: quant.Trits, AbsSum: f32.AbsSum, SquareSum: f32.SquareSum,
		AdamW: adamW(generic.AdamW),
	}
	setFew(s)
	setDense(s, generic.Dense())
	return s
}

func setDense(s *Set, t *gemm.Tile) {
	s.OuterCodes, s.OuterFloat, s.Dense, s.DenseTransposed = t.OuterCodes, t.OuterFloat, t.Dense, t.DenseTransposed
}

// adamW adapts a routine that takes the scalars one by one, so that generic need not import this package.
func adamW(f func(theta, m, v, g []float32, clip, decay, beta1, beta2, rest1, rest2, rate, correction2, epsilon float32)) func(theta, m, v, g []float32, a AdamStep) {
	return func(theta, m, v, g []float32, a AdamStep) {
		f(theta, m, v, g, a.Clip, a.Decay, a.Beta1, a.Beta2, a.Rest1, a.Rest2, a.Rate, a.Correction2, a.Epsilon)
	}
}
