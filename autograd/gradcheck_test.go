package autograd

import (
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/spec"
)

const (
	// Gradients are float32 sums of some tens to thousands of products: the largest error seen is 3.4e-6 of the tensor's
	// largest entry. A wrong term shows at 1e-2 and above.
	gradTolerance = 2e-5
	// Values this close to a half could round apart in float32 and float64 (127 times some units in the last place).
	codeMargin = 1e-4
	// Central differences in float64: the error of h² terms and that of rounding are both below 1e-8 here.
	gradStep = 1e-5
)

// clearOfHalves returns a model, and its recorded reference, in which no value lies so close to a rounding boundary that
// float32 and float64 could give other codes: the first seed that has that. set, where it is not nil, changes the reference
// first.
func clearOfHalves(t *testing.T, c spec.Config, ids, labels []int32, B int, set func(r *reference)) (*spec.Weights, *reference) {
	t.Helper()
	for seed := range uint64(200) {
		w := smallModel(t, c, seed)
		r := newReference(w)
		if set != nil {
			set(r)
		}
		r.lossSum(ids, labels, B)
		if r.margin > codeMargin {
			r.frozen = true
			return w, r
		}
	}
	t.Fatalf("no seed keeps all values %g from a half", codeMargin)
	return nil, nil
}

// TestGradients compares every entry of every gradient with the central difference of the straight-through reference,
// and the gradient of each tensor along random directions too, fused and unfused.
func TestGradients(t *testing.T) {
	const B, T = 2, 9 // more than one block of tokens
	for _, c := range variants() {
		t.Run(c.name, func(t *testing.T) {
			ids, labels, count := smallBatch(c.Config, B, T)
			w, r := clearOfHalves(t, c.Config, ids, labels, B, nil)
			difference := differences(r, w, ids, labels, B, count)
			for _, unfused := range []bool{false, true} {
				s := newTestSession(t, w, 1, unfused)
				sum, err := s.Backward(ids, labels, B, 1/float64(count))
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := r.lossSum(ids, labels, B); math.Abs(sum-want) > 1e-5*want {
					t.Fatalf("loss %v, the reference's is %v: some code differs", sum, want)
				}
				for i, tensor := range w.Tensors {
					checkGradient(t, tensor.Name, s.Grads().At(i), difference[i])
				}
				checkDirections(t, r, s.Grads(), ids, labels, B, count)
			}
		})
	}
}

// differences returns ∂loss/∂w of every entry of every tensor. The row of the padding token is a constant of the model,
// though a tied head reads it.
func differences(r *reference, w *spec.Weights, ids, labels []int32, B, count int) [][]float64 {
	return centralDifferences(r, w, func() float64 {
		sum, _ := r.lossSum(ids, labels, B)
		return sum / float64(count)
	})
}

// centralDifferences is differences of any loss.
func centralDifferences(r *reference, w *spec.Weights, loss func() float64) [][]float64 {
	all := make([][]float64, len(w.Tensors))
	for i, tensor := range w.Tensors {
		values := r.weights[tensor.Name]
		all[i] = make([]float64, len(values))
		for j, v := range values {
			if pad := w.Config.PadTokenID; pad != nil && tensor.Name == spec.EmbeddingName(w.Config) && j/w.Config.HiddenSize == *pad {
				continue
			}
			values[j] = v + gradStep
			up := loss()
			values[j] = v - gradStep
			all[i][j] = (up - loss()) / (2 * gradStep)
			values[j] = v
		}
	}
	return all
}

// checkGradient compares entries, with a tolerance relative to the tensor's largest.
func checkGradient(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	var largest, worst float64
	at := 0
	for j, v := range want {
		largest = max(largest, math.Abs(v))
		if e := math.Abs(float64(got[j]) - v); !(e <= worst) {
			worst, at = e, j
		}
	}
	if !(worst <= gradTolerance*largest+1e-9) {
		t.Errorf("%s: entry %d of %d is %v, want %v; off by %.2g of the largest", name, at, len(want), got[at], want[at], worst/largest)
	}
}

// checkDirections moves all weights at once along random directions: a mistake that single entries hide in a small
// corner shows in the sum, and terms between tensors are exercised together.
func checkDirections(t *testing.T, r *reference, grads *spec.Weights, ids, labels []int32, B, count int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	for range 4 {
		direction := map[string][]float64{}
		var slope, size float64
		for i, tensor := range grads.Tensors {
			d := make([]float64, tensor.Elements())
			for j, g := range grads.At(i) {
				d[j] = rng.NormFloat64()
				if pad := grads.Config.PadTokenID; pad != nil && tensor.Name == spec.EmbeddingName(grads.Config) && j/grads.Config.HiddenSize == *pad {
					d[j] = 0
				}
				slope += d[j] * float64(g)
				size += math.Abs(d[j] * float64(g))
			}
			direction[tensor.Name] = d
		}
		at := func(h float64) float64 {
			for name, d := range direction {
				for j := range d {
					r.weights[name][j] += h * d[j]
				}
			}
			sum, _ := r.lossSum(ids, labels, B)
			for name, d := range direction {
				for j := range d {
					r.weights[name][j] -= h * d[j]
				}
			}
			return sum / float64(count)
		}
		const h = 1e-6
		if want := (at(h) - at(-h)) / (2 * h); math.Abs(slope-want) > gradTolerance*size {
			t.Errorf("slope along a random direction %v, want %v; the terms sum to %v in size", slope, want, size)
		}
	}
}
