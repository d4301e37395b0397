package autograd

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"mmfree/autograd/op"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TestBatchesThatDoNotFit: each is refused with ErrInput, by every entry that takes it, and leaves no gradient.
func TestBatchesThatDoNotFit(t *testing.T) {
	w := smallModel(t, smallConfig(), 1)
	s := newTestSession(t, w, 1, false)
	V := int32(w.Config.VocabSize)
	tests := []struct {
		name        string
		ids, labels []int32
		B           int
		want        string
	}{
		{"id above the vocabulary", []int32{0, V}, []int32{1, 1}, 1, "id 11 at position 1"},
		{"negative id", []int32{-1, 0}, []int32{1, 1}, 1, "id -1 at position 0"},
		{"label above the vocabulary", []int32{0, 1}, []int32{1, V}, 1, "label 11 at position 1"},
		{"fewer labels than ids", []int32{0, 1}, []int32{1}, 1, "1 labels for 2 ids"},
		{"more labels than ids", []int32{0, 1}, []int32{1, 2, 3}, 1, "3 labels for 2 ids"},
		{"ids do not make whole sequences", []int32{0, 1, 2}, []int32{1, 2, 3}, 2, "3 ids for 2 sequences"},
		{"no sequence", []int32{0, 1}, []int32{1, 2}, 0, "2 ids for 0 sequences"},
		{"negative number of sequences", []int32{0, 1}, []int32{1, 2}, -1, "2 ids for -1 sequences"},
		{"no ids", nil, nil, 1, "0 ids for 1 sequences"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := func(entry string, err error) {
				t.Helper()
				if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: error %v, want ErrInput with %q", entry, err, tt.want)
				}
			}
			_, err := s.Backward(tt.ids, tt.labels, tt.B, 1)
			check("Backward", err)
			_, err = s.Evaluate(tt.ids, tt.labels, tt.B)
			check("Evaluate", err)
			if !strings.Contains(tt.name, "label") {
				check("Forward", s.Forward(tt.ids, tt.B, make([]float32, len(tt.ids)*int(V)), nil))
			}
		})
	}
	if err := s.Forward([]int32{0, 1}, 1, make([]float32, 2*V-1), nil); !errors.Is(err, ErrInput) {
		t.Errorf("too few logits: %v", err)
	}
	if slices.ContainsFunc(s.Grads().Flat(), func(v float32) bool { return v != 0 }) {
		t.Error("a refused batch left a gradient")
	}
}

// TestNotFiniteShadowWeight: whichever ternary tensor holds it, the error has its class and names the tensor, in
// training and in evaluation; and the session works again once the value is repaired.
func TestNotFiniteShadowWeight(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := smallConfig()
		c.TieWordEmbeddings = tied
		w := smallModel(t, c, 1)
		s := newTestSession(t, w, 2, false)
		ids, labels, _ := smallBatch(c, 2, 5)
		want, err := s.Backward(ids, labels, 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, tensor := range spec.PackedTensors(c) {
			if tensor.Kind != spec.Ternary {
				continue
			}
			checked++
			values := w.Get(spec.ShadowName(c, tensor.Name))
			last := len(values) - 1
			kept := values[last]
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				values[last] = float32(bad)
				s.WeightsChanged()
				_, train := s.Backward(ids, labels, 2, 1)
				_, evaluate := s.Evaluate(ids, labels, 2)
				for _, err := range []error{train, evaluate} {
					if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), tensor.Name) {
						t.Errorf("%s holds %v: error %v", tensor.Name, bad, err)
					}
				}
			}
			values[last] = kept
		}
		if checked != 6*c.NumHiddenLayers+1 {
			t.Errorf("checked %d ternary tensors", checked)
		}
		s.WeightsChanged()
		if got, err := s.Backward(ids, labels, 2, 1); err != nil || got != want {
			t.Errorf("after the repair: loss %v, %v; before the damage %v", got, err, want)
		}
	}
}

// TestNotFiniteRest: tensors that are not quantised carry a NaN on to the loss, where the training loop looks for it.
func TestNotFiniteRest(t *testing.T) {
	c := smallConfig()
	for _, tensor := range spec.Tensors(c) {
		if tensor.Kind == spec.Ternary {
			continue
		}
		w := smallModel(t, c, 1)
		s := newTestSession(t, w, 2, false)
		ids, labels, _ := smallBatch(c, 2, 5)
		values := w.Get(tensor.Name)
		for i := range values { // all, so that it does not matter which embeddings the batch reads
			values[i] = float32(math.NaN())
		}
		loss, err := s.Backward(ids, labels, 2, 1)
		if err != nil || !math.IsNaN(loss) {
			t.Errorf("%s is NaN: loss %v, error %v", tensor.Name, loss, err)
		}
	}
}

// TestPanicInAnOp: a panic in an op's own code, or in a worker's, is an error that names the op, and the next run works.
func TestPanicInAnOp(t *testing.T) {
	for _, threads := range []int{1, 2} {
		w := smallModel(t, smallConfig(), 1)
		set, err := kernel.Choose()
		if err != nil {
			t.Fatal(err)
		}
		broken := *set
		var armed atomic.Bool
		broken.SwiGLU = func(dst, p, q []float32) {
			if armed.Swap(false) {
				panic("no such instruction")
			}
			set.SwiGLU(dst, p, q)
		}
		pool := par.New(threads)
		defer pool.Close()
		s, err := NewSession(w, Options{Set: &broken, Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		ids, labels, _ := smallBatch(w.Config, 3, 13) // three blocks of tokens, so that workers share them
		want, err := s.Backward(ids, labels, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		armed.Store(true)
		_, err = s.Backward(ids, labels, 3, 1)
		var failed *op.Error
		if !errors.As(err, &failed) || failed.Op != "layers.0.mlp" || !strings.Contains(err.Error(), "no such instruction") {
			t.Errorf("%d threads: error %v", threads, err)
		}
		if got, err := s.Backward(ids, labels, 3, 1); err != nil || got != want {
			t.Errorf("%d threads: after the panic: loss %v, %v; before %v", threads, got, err, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPaddingRow: the embedding of pad_token_id gets no gradient, though the token occurs, nor from a tied head, which reads
// the row too: it stays zero. The rows of other tokens that occur do.
func TestPaddingRow(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := smallConfig()
		pad := 3
		c.PadTokenID, c.TieWordEmbeddings = &pad, tied
		w := smallModel(t, c, 1)
		s := newTestSession(t, w, 1, false)
		ids, labels, _ := smallBatch(c, 2, 5)
		ids[1], ids[7] = 3, 3
		if _, err := s.Backward(ids, labels, 2, 1); err != nil {
			t.Fatal(err)
		}
		grad := s.Grads().Get(spec.EmbeddingsName)
		var read []int32 // where a label depends on it
		for i, id := range ids {
			if labels[i] >= 0 {
				read = append(read, id)
			}
		}
		for token := range c.VocabSize {
			row := grad[token*c.HiddenSize:][:c.HiddenSize]
			got := slices.ContainsFunc(row, func(v float32) bool { return v != 0 })
			want := token != pad && (tied || slices.Contains(read, int32(token)))
			if got != want {
				t.Errorf("tied %v, token %d: gradient %v, want one: %v", tied, token, got, want)
			}
		}
	}
}

// TestForwardOnly: a session over codes alone gives the training session's logits and loss in every bit, and refuses to
// train.
func TestForwardOnly(t *testing.T) {
	for _, c := range variants() {
		t.Run(c.name, func(t *testing.T) {
			w := smallModel(t, c.Config, 1)
			s := newTestSession(t, w, 2, false)
			p, err := pack.Build(w)
			if err != nil {
				t.Fatal(err)
			}
			set, err := kernel.Choose()
			if err != nil {
				t.Fatal(err)
			}
			pool := par.New(1)
			defer pool.Close()
			f := NewForward(p, Options{Set: set, Pool: pool})
			defer f.Close()
			ids, labels, _ := smallBatch(c.Config, 2, 5)
			want, got := make([]float32, len(ids)*c.VocabSize), make([]float32, len(ids)*c.VocabSize)
			if err := errors.Join(s.Forward(ids, 2, want, nil), f.Forward(ids, 2, got, nil)); err != nil {
				t.Fatal(err)
			}
			sameBits(t, "logits", got, want)
			trained, err := s.Backward(ids, labels, 2, 1)
			if err != nil {
				t.Fatal(err)
			}
			if evaluated, err := f.Evaluate(ids, labels, 2); err != nil || evaluated != trained {
				t.Errorf("loss %v, %v; the training session's is %v", evaluated, err, trained)
			}
			if _, err := f.Backward(ids, labels, 2, 1); !errors.Is(err, ErrInput) {
				t.Errorf("Backward without shadow weights: %v", err)
			}
			if f.Grads() != nil {
				t.Error("gradients of a session that only evaluates")
			}
		})
	}
}

// TestHashCollision: two names found by trying 135,000 of them, whose nodes have one 32-bit hash.
func TestHashCollision(t *testing.T) {
	g := G.NewGraph()
	for _, name := range []string{"w1", "w35249", "w2"} {
		G.NewScalar(g, tensor.Float32, G.WithName(name))
	}
	if err := distinct(g); err != nil {
		t.Fatal(err)
	}
	G.NewScalar(g, tensor.Float32, G.WithName("w135004"))
	if err := distinct(g); err == nil || !strings.Contains(err.Error(), "w35249 and w135004") {
		t.Errorf("error %v", err)
	}
}
