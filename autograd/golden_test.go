package autograd

import (
	"strings"
	"testing"

	"mmfree/ternary/goldentest"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// newTestSession makes a session with so many threads that ends with the test.
func newTestSession(t testing.TB, w *spec.Weights, threads int, unfused bool) *Session {
	t.Helper()
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(threads)
	s, err := NewSession(w, Options{Set: set, Pool: pool, Unfused: unfused})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	return s
}

// nextTokens returns the labels of ids [B, T]: the ids shifted left, each row's last ignored; and how many count.
func nextTokens(ids []int32, B int) (labels []int32, count int) {
	T := len(ids) / B
	labels = make([]int32, len(ids))
	for i := range ids {
		if (i+1)%T == 0 {
			labels[i] = -100
			continue
		}
		labels[i] = ids[i+1]
		count++
	}
	return labels, count
}

func goldenModels(t *testing.T) []string {
	t.Helper()
	names := goldentest.Names("model_")
	if len(names) < 8 {
		t.Fatalf("goldens of whole models: %v", names)
	}
	return names
}

// TestModelGoldens checks logits, loss, hidden states and every gradient of whole models, in both modes, with the
// training graph and the evaluation graph.
func TestModelGoldens(t *testing.T) {
	for _, name := range goldenModels(t) {
		for _, unfused := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "/fused", true: "/unfused"}[unfused], func(t *testing.T) {
				g := goldentest.Load(t, name)
				w := g.Weights("param.")
				s := newTestSession(t, w, 2, unfused)
				ids, B := g.IDs("ids"), g.Shape("ids")[0]
				labels, count := nextTokens(ids, B)

				s.ZeroGrads()
				sum, err := s.Backward(ids, labels, B, 1/float64(count))
				if err != nil {
					t.Fatal(err)
				}
				g.CheckOutput(t, "loss", []float32{float32(sum / float64(count))})
				for i, tensor := range s.Grads().Tensors {
					g.CheckOutput(t, "grad."+tensor.Name, s.Grads().At(i))
				}

				logits := make([]float32, len(ids)*w.Config.VocabSize)
				seen := 0
				err = s.Forward(ids, B, logits, func(part string, rows []float32) {
					// hidden.N is the residual stream behind layer N; behind the embeddings it is not stored.
					if n, ok := strings.CutSuffix(strings.TrimPrefix(part, "layers."), ".mlp"); ok && g.Has("hidden."+n) {
						g.CheckOutput(t, "hidden."+n, rows)
						seen++
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				if seen != w.Config.NumHiddenLayers {
					t.Errorf("compared %d layers' hidden states of %d", seen, w.Config.NumHiddenLayers)
				}
				g.CheckOutput(t, "logits", logits)
				evaluated, err := s.Evaluate(ids, labels, B)
				if err != nil {
					t.Fatal(err)
				}
				if evaluated != sum {
					t.Errorf("evaluation graph's loss %v, training graph's %v", evaluated, sum)
				}
			})
		}
	}
}
