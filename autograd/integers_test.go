package autograd

import (
	"math"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// integerGradients runs one batch and returns the loss and a copy of the gradients.
func integerGradients(t *testing.T, w *spec.Weights, o Options, threads int, ids, labels []int32, B int, scale float64) (float64, *spec.Weights) {
	t.Helper()
	o.Pool = par.New(threads)
	defer o.Pool.Close()
	s, err := NewSession(w, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	loss, err := s.Backward(ids, labels, B, scale)
	if err != nil {
		t.Fatal(err)
	}
	return loss, s.Grads()
}

// TestIntegerGradients: integers change nothing but the gradients of ternary tensors, and those by little; sets and
// threads change no bit of them; without codes they are not used.
func TestIntegerGradients(t *testing.T) {
	const B, T = 3, 13
	for _, c := range wideVariants() {
		t.Run(c.name, func(t *testing.T) {
			w := smallModel(t, c.Config, 1)
			ids, labels, count := smallBatch(c.Config, B, T)
			scale := 1 / float64(count)
			wantLoss, floats := integerGradients(t, w, Options{Set: kernel.Generic()}, 1, ids, labels, B, scale)
			loss, want := integerGradients(t, w, Options{Set: kernel.Generic(), WeightGradient: Int16}, 1, ids, labels, B, scale)
			if loss != wantLoss {
				t.Errorf("loss %v, with floats %v", loss, wantLoss)
			}
			shadows := map[string]bool{}
			for _, tensor := range spec.PackedTensors(c.Config) {
				if tensor.Kind == spec.Ternary {
					shadows[spec.ShadowName(c.Config, tensor.Name)] = true
				}
			}
			ternary := 0
			for i, tensor := range want.Tensors {
				got, float := want.At(i), floats.At(i)
				if !shadows[tensor.Name] {
					sameBits(t, tensor.Name, got, float)
					continue
				}
				ternary++
				var square, off float64
				for j, v := range float {
					square += float64(v) * float64(v)
					off += (float64(got[j]) - float64(v)) * (float64(got[j]) - float64(v))
				}
				// Rounding to 15 bits and a sign moves a column's gradients by 1/65534 of its largest at most. Measured: up to 4.6e-5.
				if off = math.Sqrt(off / square); off > 2e-4 || off == 0 {
					t.Errorf("%s: gradients differ from the floats' by %g of their norm", tensor.Name, off)
				}
			}
			if ternary != len(shadows) {
				t.Errorf("%d ternary tensors of %d", ternary, len(shadows))
			}
			for _, set := range kernel.Available() {
				for _, threads := range []int{1, 2, 3} {
					_, got := integerGradients(t, w, Options{Set: set, WeightGradient: Int16}, threads, ids, labels, B, scale)
					sameBits(t, set.Name, got.Flat(), want.Flat())
				}
			}
			_, got := integerGradients(t, w, Options{Set: kernel.Generic(), WeightGradient: Int16, Unfused: true}, 2, ids, labels, B, scale)
			sameBits(t, "unfused", got.Flat(), floats.Flat())
		})
	}
}

// TestIntegerGradientsOfNaN: no integer hides that a step cannot be taken.
func TestIntegerGradientsOfNaN(t *testing.T) {
	w := smallModel(t, wideConfig(), 1)
	ids, labels, _ := smallBatch(w.Config, 2, 7)
	for _, set := range kernel.Available() {
		for _, scale := range []float64{math.NaN(), math.Inf(1)} {
			_, got := integerGradients(t, w, Options{Set: set, WeightGradient: Int16}, 1, ids, labels, 2, scale)
			for i, tensor := range got.Tensors {
				if tensor.Kind == spec.Ternary && !slices.ContainsFunc(got.At(i), func(v float32) bool { return v != v }) {
					t.Errorf("%s: %s has no NaN for a loss times %v", set.Name, tensor.Name, scale)
				}
			}
		}
	}
}
