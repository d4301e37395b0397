package autograd

import (
	"slices"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

// TestFreeze: frozen matrices get no gradient, ternary or not, and the others' are the same bits, until they are no longer frozen.
func TestFreeze(t *testing.T) {
	const B, T = 2, 9
	for _, c := range variants() {
		t.Run(c.name, func(t *testing.T) {
			w := smallModel(t, c.Config, 1)
			ids, labels, count := smallBatch(c.Config, B, T)
			s := newTestSession(t, w, 2, false)
			gradients := func(frozen func(name string) bool) []float32 {
				s.Freeze(frozen)
				s.ZeroGrads()
				if _, err := s.Backward(ids, labels, B, 1/float64(count)); err != nil {
					t.Fatal(err)
				}
				return slices.Clone(s.Grads().Flat())
			}
			nothing := func(string) bool { return false }
			want := gradients(nothing)
			for _, frozen := range []func(name string) bool{
				func(name string) bool { return strings.Contains(name, ".mlp.") }, func(string) bool { return true },
			} {
				got, skipped := gradients(frozen), 0
				for i, tensor := range w.Tensors {
					from := w.Offset(i)
					a, b := want[from:][:tensor.Elements()], got[from:][:tensor.Elements()]
					if large := tensor.Kind == spec.Ternary || tensor.Kind == spec.Dense || tensor.Kind == spec.Embedding; large && frozen(tensor.Name) {
						skipped++
						a = make([]float32, len(b))
					}
					sameBits(t, tensor.Name, b, a)
				}
				if skipped < 2*c.NumHiddenLayers {
					t.Errorf("%d tensors were skipped", skipped)
				}
			}
			sameBits(t, "thawed", gradients(nothing), want)
		})
	}
}
