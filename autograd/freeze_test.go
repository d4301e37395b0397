package autograd

import (
	"slices"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

// TestFreeze: frozen ternary tensors get no gradient, and the others' are the same bits, until they are no longer frozen.
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
			got := gradients(func(name string) bool { return strings.Contains(name, ".mlp.") })
			skipped := 0
			for i, tensor := range w.Tensors {
				from := w.Offset(i)
				a, b := want[from:][:tensor.Elements()], got[from:][:tensor.Elements()]
				if tensor.Kind == spec.Ternary && strings.Contains(tensor.Name, ".mlp.") {
					skipped++
					a = make([]float32, len(b))
				}
				sameBits(t, tensor.Name, b, a)
			}
			if ternary := slices.ContainsFunc(w.Tensors, func(x spec.Tensor) bool { return x.Kind == spec.Ternary }); ternary != (skipped > 0) {
				t.Errorf("%d tensors were skipped", skipped)
			}
			sameBits(t, "thawed", gradients(nothing), want)
		})
	}
}
