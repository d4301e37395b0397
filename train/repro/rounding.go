package repro

import (
	"math"
	"sync"

	"mmfree/ternary/kernel"
)

// powerOfTwo rounds values to 8-bit integers times one power of two.
func powerOfTwo(x []float32) {
	most := largestMagnitude(x)
	if most == 0 {
		return
	}
	step := math.Exp2(math.Ceil(math.Log2(most / 127)))
	for i, v := range x {
		x[i] = float32(math.RoundToEven(float64(v)/step) * step)
	}
}

// roundTo rounds values to integers of so many bits, times the scale at which most is the largest of them; what is beyond
// is clamped.
func roundTo(x []float32, bits int, most float64) {
	if most == 0 {
		clear(x)
		return
	}
	limit := math.Exp2(float64(bits-1)) - 1
	step := most / limit
	for i, v := range x {
		x[i] = float32(max(-limit, min(limit, math.RoundToEven(float64(v)/step))) * step)
	}
}

func largestMagnitude(x []float32) (most float64) {
	for _, v := range x {
		most = max(most, math.Abs(float64(v)))
	}
	return most
}

// activations rounds what a model's row operations write: each row by its own largest value, or by one for each place in
// the model, which a first pass learns.
type activations struct {
	bits  int
	most  map[tensorAt]float64 // the largest magnitude at each place; nil: each row has a scale of its own
	known bool                 // most is learnt, and used

	part  int // of the model that runs
	mutex sync.Mutex
}

// tensorAt is an activation tensor: what is written, in which part of the model.
type tensorAt struct {
	part int
	what string
}

// enter says which part of the model runs next.
func (a *activations) enter(part int, _ []float32) { a.part = part }

func (a *activations) round(what string, x []float32) {
	if a.most == nil {
		roundTo(x, a.bits, largestMagnitude(x))
		return
	}
	at := tensorAt{a.part, what}
	a.mutex.Lock() // blocks of rows run at the same time; the largest value has no order
	most := a.most[at]
	if !a.known {
		a.most[at] = max(most, largestMagnitude(x))
	}
	a.mutex.Unlock()
	if a.known {
		roundTo(x, a.bits, most)
	}
}

// install makes the set's row operations round what they write, a token at a time.
func (a *activations) install(s *kernel.Set) {
	norm, recur, gate, swiglu := s.RMSNorm, s.Recurrence, s.OutputGate, s.SwiGLU
	s.RMSNorm = func(dst, x, gain []float32, eps float32) float32 {
		r := norm(dst, x, gain, eps)
		a.round("norm", dst[:len(x)])
		return r
	}
	s.Recurrence = func(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
		for t := range T {
			at := t * D
			a.round("candidate", i[at+c0:at+c1])
			a.round("forget", z[at+c0:at+c1])
			var keep []float32
			if mask != nil {
				keep = mask[t:]
			}
			recur(states[at:], state, i[at:], z[at:], bound, keep, 1, D, c0, c1)
			a.round("state", state[c0:c1])
			copy(states[at+c0:at+c1], state[c0:c1])
		}
	}
	s.OutputGate = func(dst, g, st, gain []float32, eps float32) float32 {
		r := gate(dst, g, st, gain, eps)
		a.round("gate", dst[:len(g)])
		return r
	}
	s.SwiGLU = func(dst, p, q []float32) {
		swiglu(dst, p, q)
		a.round("mlp", dst[:len(p)])
	}
}
