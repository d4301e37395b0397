package autograd

import (
	"fmt"
	"math"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// blending returns a session that stands at these shares of ternary weights and activations.
func blending(t *testing.T, w *spec.Weights, threads int, weights, activations float32) *Session {
	t.Helper()
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(threads)
	s, err := NewSession(w, Options{Set: set, Pool: pool, Blend: true})
	if err != nil {
		t.Fatal(err)
	}
	s.SetBlend(weights, activations)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	return s
}

// ternaryVariants are the variants that have something to blend.
func ternaryVariants() (list []variant) {
	for _, v := range variants() {
		if v.Arch != spec.ArchTransformer {
			list = append(list, v)
		}
	}
	return list
}

// TestBlendGradients compares every entry of every gradient, at several places between full precision and ternary, with the
// central difference of the mixture w + λ·(Q(w) − w) whose offsets are held still: the straight-through gradient of the
// mixture. The loss is the reference's too.
func TestBlendGradients(t *testing.T) {
	const B, T = 2, 9
	for i, c := range ternaryVariants() {
		shares := [][2]float64{{0.25, 0.75}, {0, 0}, {1, 0.5}, {0.5, 0}}
		if i > 0 && c.name != "bitnet" {
			shares = shares[:1]
		}
		for _, share := range shares {
			t.Run(fmt.Sprintf("%s/weights %v, activations %v", c.name, share[0], share[1]), func(t *testing.T) {
				ids, labels, count := smallBatch(c.Config, B, T)
				w, r := clearOfHalves(t, c.Config, ids, labels, B, func(r *reference) { r.weightShare, r.activationShare = share[0], share[1] })
				difference := differences(r, w, ids, labels, B, count)
				s := blending(t, w, 2, float32(share[0]), float32(share[1]))
				sum, err := s.Backward(ids, labels, B, 1/float64(count))
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := r.lossSum(ids, labels, B); math.Abs(sum-want) > 1e-5*want {
					t.Fatalf("loss %v, the reference's is %v", sum, want)
				}
				for i, tensor := range w.Tensors {
					checkGradient(t, tensor.Name, s.Grads().At(i), difference[i])
				}
			})
		}
	}
}

// TestBlendIsBitLinearAtOne: wherever it stood before, with both shares at 1 a session has the loss, the logits and the
// gradients of one that never blended, in every bit.
func TestBlendIsBitLinearAtOne(t *testing.T) {
	const B, T = 2, 9
	for _, c := range ternaryVariants() {
		t.Run(c.name, func(t *testing.T) {
			ids, labels, count := smallBatch(c.Config, B, T)
			w := smallModel(t, c.Config, 1)
			plain, s := newTestSession(t, w, 1, false), blending(t, w, 2, 0.5, 0.25)
			want, got := make([]float32, len(ids)*c.VocabSize), make([]float32, len(ids)*c.VocabSize)
			forward := func(s *Session, logits []float32) {
				if err := s.Forward(ids, B, logits, nil); err != nil {
					t.Fatal(err)
				}
			}
			forward(plain, want)
			forward(s, got)
			same := true
			for i := range got {
				same = same && got[i] == want[i]
			}
			if same {
				t.Fatal("half way there the logits are those of the ternary model")
			}
			s.SetBlend(1, 1)
			forward(s, got)
			sameBits(t, "logits", got, want)
			wantLoss, err := plain.Backward(ids, labels, B, 1/float64(count))
			if err != nil {
				t.Fatal(err)
			}
			loss, err := s.Backward(ids, labels, B, 1/float64(count))
			if err != nil || loss != wantLoss {
				t.Fatalf("loss %v, want %v (%v)", loss, wantLoss, err)
			}
			sameGrads(t, "at one", s.Grads(), plain.Grads())
		})
	}
}

// TestBlendIsTheTransformerAtZero: a BitNet that blends nothing in has the logits of the transformer of the same weights, in
// every bit, whatever the gains of the norms that it has more.
func TestBlendIsTheTransformerAtZero(t *testing.T) {
	const B, T = 2, 9
	for _, tied := range []bool{false, true} {
		c := smallConfig()
		c.Arch, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim, c.TieWordEmbeddings = spec.ArchTransformer, 4, 2, 6, tied
		teacher := smallModel(t, c, 1)
		c.Arch = spec.ArchBitNet
		w := smallModel(t, c, 2)
		for i, tensor := range teacher.Tensors {
			copy(w.Get(tensor.Name), teacher.At(i))
		}
		ids, _, _ := smallBatch(c, B, T)
		want, got := make([]float32, len(ids)*c.VocabSize), make([]float32, len(ids)*c.VocabSize)
		if err := newTestSession(t, teacher, 1, false).Forward(ids, B, want, nil); err != nil {
			t.Fatal(err)
		}
		if err := blending(t, w, 2, 0, 0).Forward(ids, B, got, nil); err != nil {
			t.Fatal(err)
		}
		sameBits(t, "logits", got, want)
	}
}

// TestBlendBits: between the ends, too, threads and kernels change no bit.
func TestBlendBits(t *testing.T) {
	const B, T = 3, 11
	for _, c := range ternaryVariants() {
		ids, labels, count := smallBatch(c.Config, B, T)
		w := smallModel(t, c.Config, 1)
		reference := blending(t, w, 1, 0.3, 0.6)
		want, err := reference.Backward(ids, labels, B, 1/float64(count))
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range kernel.Available() {
			pool := par.New(3)
			s, err := NewSession(w, Options{Set: set, Pool: pool, Blend: true})
			if err != nil {
				t.Fatal(err)
			}
			s.SetBlend(0.3, 0.6)
			got, err := s.Backward(ids, labels, B, 1/float64(count))
			if err != nil || got != want {
				t.Errorf("%s, %s: loss %v, want %v (%v)", c.name, set.Name, got, want, err)
			}
			sameGrads(t, c.name+", "+set.Name, s.Grads(), reference.Grads())
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			pool.Close()
		}
	}
}
