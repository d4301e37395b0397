package autograd

import (
	"errors"
	"fmt"
	"testing"

	"mmfree/ternary/layer"
)

// packedBatch is a batch of 3 sequences of 13 tokens, cut into documents: one sequence whole, one cut twice, one cut
// behind its first token. Labels do not cross a cut.
func packedBatch(c variant) (ids, labels []int32, starts []bool, count int) {
	const B, T = 3, 13
	ids, labels, count = smallBatch(c.Config, B, T)
	starts = make([]bool, B*T)
	for _, t := range []int{0, T, T + 4, T + 11, 2 * T, 2*T + 1} {
		starts[t] = true
		if t > 0 && labels[t-1] >= 0 {
			labels[t-1] = -100
			count--
		}
	}
	return ids, labels, starts, count
}

// documents calls do for every document of the batch: tokens [from, to).
func documents(starts []bool, B int, do func(from, to int)) {
	T := len(starts) / B
	for b := range B {
		for from, to := b*T, 0; from < (b+1)*T; from = to {
			to = layer.DocumentEnd(starts, from, (b+1)*T)
			do(from, to)
		}
	}
}

// TestPackedDocumentsAreAlone: documents that share a sequence give the logits that each gives alone, bit for bit, and
// gradients that are the sum of theirs, to rounding.
func TestPackedDocumentsAreAlone(t *testing.T) {
	const B = 3
	for _, c := range wideVariants() {
		for _, threads := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d threads", c.name, threads), func(t *testing.T) {
				w := smallModel(t, c.Config, 1)
				s := newTestSession(t, w, threads, false)
				ids, labels, starts, count := packedBatch(c)
				V := c.VocabSize
				logits := make([]float32, len(ids)*V)
				if err := s.ForwardDocuments(ids, starts, B, logits, nil); err != nil {
					t.Fatal(err)
				}
				loss, err := s.BackwardDocuments(ids, labels, starts, B, 1/float64(count))
				if err != nil {
					t.Fatal(err)
				}
				evaluated, err := s.EvaluateDocuments(ids, labels, starts, B)
				if err != nil || evaluated != loss {
					t.Errorf("evaluation's loss %v, %v; training's %v", evaluated, err, loss)
				}

				alone := newTestSession(t, w, 1, false)
				sum := make([][]float64, len(w.Tensors))
				for i, tensor := range w.Tensors {
					sum[i] = make([]float64, tensor.Elements())
				}
				total := 0.0
				documents(starts, B, func(from, to int) {
					one := make([]float32, (to-from)*V)
					if err := alone.Forward(ids[from:to], 1, one, nil); err != nil {
						t.Fatal(err)
					}
					sameBits(t, fmt.Sprintf("logits of tokens %d to %d", from, to), logits[from*V:to*V], one)
					alone.ZeroGrads()
					part, err := alone.Backward(ids[from:to], labels[from:to], 1, 1/float64(count))
					if err != nil {
						t.Fatal(err)
					}
					total += part
					for i := range sum {
						for j, g := range alone.Grads().At(i) {
							sum[i][j] += float64(g)
						}
					}
				})
				if d := total - loss; d > 1e-9*total || d < -1e-9*total {
					t.Errorf("loss %v, the documents' sum %v", loss, total)
				}
				for i, tensor := range w.Tensors {
					checkGradient(t, "packed against alone: "+tensor.Name, s.Grads().At(i), sum[i])
				}
			})
		}
	}
}

// TestNoStartIsNoChange: marks where sequences begin anyway change no bit, and marks of one batch do not stay for the next.
func TestNoStartIsNoChange(t *testing.T) {
	const B, T = 3, 13
	c := wideConfig()
	w := smallModel(t, c, 1)
	s := newTestSession(t, w, 2, false)
	ids, labels, count := smallBatch(c, B, T)
	first := make([]bool, B*T)
	for b := range B {
		first[b*T] = true
	}
	everywhere := make([]bool, B*T)
	for i := range everywhere {
		everywhere[i] = true
	}
	plain := newTestSession(t, w, 1, false)
	want, err := plain.Backward(ids, labels, B, 1/float64(count))
	if err != nil {
		t.Fatal(err)
	}
	for name, starts := range map[string][]bool{"first tokens": first, "none": nil} {
		if _, err := s.BackwardDocuments(ids, labels, everywhere, B, 1); err != nil {
			t.Fatal(err)
		}
		s.ZeroGrads()
		got, err := s.BackwardDocuments(ids, labels, starts, B, 1/float64(count))
		if err != nil || got != want {
			t.Errorf("%s: loss %v, %v; want %v", name, got, err, want)
		}
		sameGrads(t, name, s.Grads(), plain.Grads())
	}
	if _, err := s.BackwardDocuments(ids, labels, first[1:], B, 1); !errors.Is(err, ErrInput) {
		t.Errorf("too few marks: %v", err)
	}
}
