package repro

import (
	"math"
	"math/bits"

	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
	"mmfree/ternary/quant"
)

// The sigmoid and the inverse square root as the paper's chip computes them, on fixed-point numbers.

const (
	sigmoidIn  = 1 << 6  // an input is an integer of this many to one
	sigmoidOut = 1 << 15 // an entry likewise
)

// sigmoidTable holds σ(0), σ(1), … σ(7) in units of 1/sigmoidOut.
type sigmoidTable [8]int

func newSigmoidTable() *sigmoidTable {
	var s sigmoidTable
	for i := range s {
		s[i] = int(math.RoundToEven(sigmoidOut / (1 + math.Exp(-float64(i)))))
	}
	return &s
}

// at returns σ(x): on the straight line between two entries, beyond the last one its value, 1 − σ(−x) below 0. NaN stays NaN.
func (s *sigmoidTable) at(x float32) float32 {
	if x != x {
		return x
	}
	last := len(s) - 1
	n := int(math.RoundToEven(sigmoidIn * min(math.Abs(float64(x)), float64(last))))
	y := s[last] * sigmoidIn
	if i, part := n/sigmoidIn, n%sigmoidIn; i < last {
		y = s[i]*(sigmoidIn-part) + s[i+1]*part
	}
	if x < 0 {
		y = sigmoidOut*sigmoidIn - y
	}
	return float32(y) / (sigmoidOut * sigmoidIn)
}

// tabulatedGates takes every σ of the set's forward pass from the table: of the recurrence, of its output gate, of SwiGLU.
func tabulatedGates(s *kernel.Set) {
	v := mixerVariant{sigma: newSigmoidTable().at}
	s.Recurrence, s.OutputGate = v.recurrence, v.outputGate(s)
	s.SwiGLU = func(dst, p, q []float32) {
		for j, x := range p {
			y, _ := v.silu(x)
			dst[j] = y * q[j]
		}
	}
}

const (
	rootBits     = 24      // of an input, which has as many first guesses
	rootIn       = 1 << 12 // an input is an integer of this many to one
	rootOut      = 30      // a root of the integer 1 is 1 << rootOut
	newtonRounds = 5
)

// integerRoot holds first guesses of 2^30/√n by the highest bit of the integer n: in the middle of what n it is the highest of.
type integerRoot [rootBits]uint64

func newIntegerRoot() *integerRoot {
	var r integerRoot
	for i := range r {
		r[i] = uint64(math.RoundToEven((1 << rootOut) / math.Sqrt(math.Exp2(float64(i))*math.Sqrt2)))
	}
	return &r
}

// of returns 1/√x, x rounded to a whole number of 1/rootIn from 1 to 2^24 − 1. NaN stays NaN.
func (r *integerRoot) of(x float32) float32 {
	if x != x {
		return x
	}
	n := uint64(max(1, min(1<<rootBits-1, math.RoundToEven(rootIn*float64(x)))))
	y := r[bits.Len64(n)-1]
	for range newtonRounds { // y·(3 − n·y²)/2; n·y² stays below 2^61, for a guess is off by a fourth root of 2 at most
		y = y * ((3<<(2*rootOut) - n*y*y) >> (rootOut + 1)) >> rootOut
	}
	return float32(y) / (1 << (rootOut - 6)) // √rootIn is 2^6
}

// integerNorms takes every 1/√x of the set's forward pass from the integer root; sums of squares stay floats.
func integerNorms(s *kernel.Set) {
	root := newIntegerRoot()
	norm := func(dst, x, gain []float32, eps float32) (r float32) {
		r = root.of(f32.SumSquares(x)/float32(len(x)) + eps)
		for j, v := range x {
			dst[j] = v * r * gain[j]
		}
		return r
	}
	s.RMSNorm = norm
	s.NormQuantize = func(codes []int8, x, gain []float32, eps float32, away bool) (r, scale float32) {
		row := make([]float32, len(x))
		r = norm(row, x, gain, eps)
		return r, quant.Quantize(codes[:len(x)], row, away)
	}
	s.OutputGate = mixerVariant{}.outputGate(s)
}
