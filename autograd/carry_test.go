package autograd

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// halves cuts B sequences of 2T values in the middle.
func halves[V any](values []V, B int) (first, second []V) {
	T := len(values) / B / 2
	for b := range B {
		first = append(first, values[2*b*T:][:T]...)
		second = append(second, values[(2*b+1)*T:][:T]...)
	}
	return first, second
}

// TestCarry: two batches that carry the state are one of sequences twice as long: loss and states behind it are the same, states
// in every bit. The second one's gradients are those of a model whose state at the cut is a constant (spec §4).
func TestCarry(t *testing.T) {
	const B, T = 2, 9
	for _, c := range variants() {
		if c.MaxPositions() > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			ids, labels, _ := smallBatch(c.Config, B, 2*T)
			second := slices.Clone(labels) // those behind the cut alone
			count := 0
			for i, l := range second {
				if i%(2*T) < T {
					second[i] = -1
				} else if l >= 0 {
					count++
				}
			}
			w, r := clearOfHalves(t, c.Config, ids, second, B, func(r *reference) { r.cut = T })
			difference := differences(r, w, ids, second, B, count)

			whole := newTestSession(t, w, 1, false)
			behind := whole.NewStates(B)
			whole.Carry(behind)
			want, err := whole.Backward(ids, labels, B, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, unfused := range []bool{false, true} {
				s := newTestSession(t, w, 2, unfused)
				states := s.NewStates(B)
				s.Carry(states)
				ids0, ids1 := halves(ids, B)
				labels0, labels1 := halves(labels, B)
				sum0, err := s.Backward(ids0, labels0, B, 1)
				if err != nil {
					t.Fatal(err)
				}
				s.ZeroGrads()
				sum1, err := s.Backward(ids1, labels1, B, 1/float64(count))
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(sum0+sum1-want) > 1e-12*want {
					t.Errorf("losses %v and %v, of the whole %v", sum0, sum1, want)
				}
				for i, p := range states.Parts {
					sameBits(t, "state", p, behind.Parts[i])
				}
				for i, tensor := range w.Tensors {
					checkGradient(t, tensor.Name, s.Grads().At(i), difference[i])
				}
			}
		})
	}
}

// TestCarryEnds: a document that starts with the batch, a reset and no carrying at all give the same bits, and states of other
// shapes are refused.
func TestCarryEnds(t *testing.T) {
	const B, T = 2, 9
	for _, c := range variants() {
		if c.MaxPositions() > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			w := smallModel(t, c.Config, 1)
			ids, labels, _ := smallBatch(c.Config, B, T)
			plain := newTestSession(t, w, 1, false)
			want, err := plain.Backward(ids, labels, B, 1)
			if err != nil {
				t.Fatal(err)
			}
			starts := make([]bool, B*T)
			starts[0], starts[T] = true, true
			s := newTestSession(t, w, 2, false)
			states := s.NewStates(B)
			s.Carry(states)
			carriesOn := func() float64 {
				s.ZeroGrads()
				sum, err := s.Backward(ids, labels, B, 1)
				if err != nil {
					t.Fatal(err)
				}
				return sum
			}
			carriesOn()
			if got := carriesOn(); got == want {
				t.Error("the state behind a batch changes nothing in the next")
			}
			for name, run := range map[string]func() (float64, error){
				"documents": func() (float64, error) { return s.BackwardDocuments(ids, labels, starts, B, 1) },
				"reset":     func() (float64, error) { states.Reset(); return s.Backward(ids, labels, B, 1) },
				"none":      func() (float64, error) { s.Carry(nil); defer s.Carry(states); return s.Backward(ids, labels, B, 1) },
			} {
				carriesOn()
				s.ZeroGrads()
				if got, err := run(); err != nil || got != want {
					t.Errorf("%s: loss %v, %v; want %v", name, got, err, want)
				}
				sameGrads(t, name, s.Grads(), plain.Grads())
			}
			s.Carry(s.NewStates(B + 1))
			if _, err := s.Backward(ids, labels, B, 1); !errors.Is(err, ErrInput) {
				t.Errorf("states of three sequences for two: %v", err)
			}
		})
	}
}
