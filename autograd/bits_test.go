package autograd

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// wideConfig has widths that are no multiple of any lane, word, superblock or block of channels, and above one of each.
func wideConfig() spec.Config {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 29, 37, 2, 53
	return c
}

func wideVariants() []variant {
	list := []variant{{"d 37, I 53, V 29", wideConfig()}}
	add := func(name string, change func(c *spec.Config)) {
		c := wideConfig()
		change(&c)
		list = append(list, variant{name, c})
	}
	add("D 77", func(c *spec.Config) { c.UseLowerBound, c.ExpandRatio = false, 2.1 })
	add("D 18, dense", func(c *spec.Config) {
		c.UseLowerBound, c.ExpandRatio, c.DownProj = false, 0.5, spec.DownDenseUnnormed
	})
	add("tied, d 131, V 151", func(c *spec.Config) {
		c.HiddenSize, c.VocabSize, c.TieWordEmbeddings = 131, 151, true
	})
	add("rwkv4", func(c *spec.Config) { c.Arch = spec.ArchRWKV4 })
	add("rwkv4, d 131", func(c *spec.Config) { c.Arch, c.HiddenSize = spec.ArchRWKV4, 131 })
	for arch, name := range map[string]string{spec.ArchTransformer: "transformer", spec.ArchBitNet: "bitnet"} {
		add(name, func(c *spec.Config) { c.Arch, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = arch, 4, 2, 10 })
	}
	for name, integer := range map[string]bool{"ternary": false, "integer": true} {
		add("bitnet, "+name+" attention", func(c *spec.Config) {
			c.Arch, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = spec.ArchBitNet, 4, 2, 10
			c.TernaryAttention, c.IntegerAttention = true, integer
		})
	}
	add("bitnet, inner norms, ternary head", func(c *spec.Config) {
		c.Arch, c.NumAttentionHeads, c.HeadDim, c.NormPlacement, c.LMHead = spec.ArchBitNet, 3, 16, spec.NormBitLinear, spec.HeadBitLinear
	})
	return list
}

// TestBitsOfModes: threads, the unfused mode and a second run of the same batch change no bit of loss or gradient, and
// the evaluation graph gives the training graph's loss.
func TestBitsOfModes(t *testing.T) {
	const B = 3
	for i, c := range wideVariants() {
		T := 13 // 39 tokens: blocks of 16 straddle sequences, and the last is short
		if i%2 == 0 {
			T = 131 // enough for layer.ChainTokens on three threads, the last block short
		}
		t.Run(c.name, func(t *testing.T) {
			w := smallModel(t, c.Config, 1)
			ids, labels, count := smallBatch(c.Config, B, T)
			var loss float64
			var grads *spec.Weights
			for _, mode := range []struct {
				name    string
				threads int
				unfused bool
			}{
				{"1 thread", 1, false},
				{"2 threads", 2, false},
				{"3 threads", 3, false},
				{"unfused", 1, true},
				{"unfused, 3 threads", 3, true},
			} {
				s := newTestSession(t, w, mode.threads, mode.unfused)
				for _, run := range []string{"first run", "second run"} {
					what := mode.name + ", " + run
					s.ZeroGrads()
					got, err := s.Backward(ids, labels, B, 1/float64(count))
					if err != nil {
						t.Fatal(err)
					}
					if grads == nil {
						loss, grads = got, s.Grads().Like()
						copy(grads.Flat(), s.Grads().Flat())
						checkAlive(t, grads)
						continue
					}
					if math.Float64bits(got) != math.Float64bits(loss) {
						t.Errorf("%s: loss %v, the first was %v", what, got, loss)
					}
					sameGrads(t, what, s.Grads(), grads)
				}
				if got, err := s.Evaluate(ids, labels, B); err != nil || got != loss {
					t.Errorf("%s: evaluation graph's loss %v, %v; the training graph's %v", mode.name, got, err, loss)
				}
			}
		})
	}
}

// checkAlive: equality of zeros would prove nothing.
func checkAlive(t *testing.T, grads *spec.Weights) {
	t.Helper()
	for i, tensor := range grads.Tensors {
		zero := !slices.ContainsFunc(grads.At(i), func(v float32) bool { return v != 0 })
		unused := grads.Config.DownProj == spec.DownDenseUnnormed && strings.HasSuffix(tensor.Name, "down_proj.norm.weight")
		if zero != unused {
			t.Errorf("gradient of %s: all zero is %v", tensor.Name, zero)
		}
	}
}

// TestBatchRowsAreIndependent: the logits of a sequence do not depend, in any bit, on its neighbours in the batch, nor on
// the tokens behind a position.
func TestBatchRowsAreIndependent(t *testing.T) {
	const B, T = 3, 13
	for _, c := range wideVariants() {
		w := smallModel(t, c.Config, 1)
		s := newTestSession(t, w, 2, false)
		ids, _, _ := smallBatch(c.Config, B, T)
		V := c.VocabSize
		all := make([]float32, B*T*V)
		if err := s.Forward(ids, B, all, nil); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{T, 1, 7} {
			one := make([]float32, n*V)
			if err := s.Forward(ids[T:][:n], 1, one, nil); err != nil {
				t.Fatal(err)
			}
			sameBits(t, c.name+": a sequence alone", one, all[T*V:][:n*V])
		}
	}
}

// TestMicroBatches: gradients of two Backward calls add up to the whole batch's, and equal calls give equal bits with any
// thread count and mode.
func TestMicroBatches(t *testing.T) {
	const B, T = 2, 16
	for _, c := range wideVariants() {
		t.Run(c.name, func(t *testing.T) {
			w := smallModel(t, c.Config, 1)
			ids, labels, count := smallBatch(c.Config, 2*B, T)
			half := B * T
			scale := 1 / float64(count)
			run := func(threads int, unfused bool) (*spec.Weights, float64) {
				s := newTestSession(t, w, threads, unfused)
				s.ZeroGrads()
				a, err := s.Backward(ids[:half], labels[:half], B, scale)
				if err != nil {
					t.Fatal(err)
				}
				b, err := s.Backward(ids[half:], labels[half:], B, scale)
				if err != nil {
					t.Fatal(err)
				}
				return s.Grads(), a + b
			}
			first, loss := run(1, false)
			for _, threads := range []int{1, 2} {
				for _, unfused := range []bool{false, true} {
					again, sum := run(threads, unfused)
					if sum != loss {
						t.Errorf("loss %v, before %v", sum, loss)
					}
					sameGrads(t, "two micro-batches again", again, first)
				}
			}
			whole := newTestSession(t, w, 2, false)
			if _, err := whole.Backward(ids, labels, 2*B, scale); err != nil {
				t.Fatal(err)
			}
			for i, tensor := range first.Tensors {
				want := make([]float64, tensor.Elements())
				for j, v := range whole.Grads().At(i) {
					want[j] = float64(v)
				}
				checkGradient(t, "two halves against the whole: "+tensor.Name, first.At(i), want)
			}
			// Gains are summed block of tokens by block, 16 each, and each block is added to the buffer in order: with
			// whole blocks in each half no bit depends on the cut.
			for i, tensor := range first.Tensors {
				if tensor.Kind == spec.Gain {
					sameBits(t, tensor.Name, first.At(i), whole.Grads().At(i))
				}
			}
		})
	}
}

// TestWeightsChanged: after an update and the call, losses are those of a new session over the new weights, the lower
// bounds and decays among them; without the call the ternary tensors keep their codes.
func TestWeightsChanged(t *testing.T) {
	for _, c := range wideVariants() {
		w := smallModel(t, c.Config, 1)
		ids, labels, _ := smallBatch(c.Config, 3, 13)
		s := newTestSession(t, w, 2, false)
		before, err := s.Backward(ids, labels, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(3, 3))
		_, ternary := spec.Parameters(c.Config)
		for i, tensor := range w.Tensors {
			// Full-precision tensors are read in place: they are changed where there is nothing else.
			if tensor.Kind == spec.Ternary || tensor.Kind == spec.Bounds || strings.HasSuffix(tensor.Name, "time_decay") || ternary == 0 && tensor.Kind == spec.Dense {
				for j := range w.At(i) {
					w.At(i)[j] += float32(0.3 * rng.NormFloat64())
				}
			}
		}
		stale, err := s.Evaluate(ids, labels, 3)
		if err != nil {
			t.Fatal(err)
		}
		if !c.TieWordEmbeddings && ternary > 0 && stale != before {
			t.Errorf("%s: codes changed before WeightsChanged: loss %v, then %v", c.name, before, stale)
		}
		s.WeightsChanged()
		s.ZeroGrads()
		got, err := s.Backward(ids, labels, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newTestSession(t, w, 1, false)
		want, err := fresh.Backward(ids, labels, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got != want || got == before {
			t.Errorf("%s: loss after the update %v, a new session's %v, before %v", c.name, got, want, before)
		}
		sameGrads(t, c.name+": after an update", s.Grads(), fresh.Grads())
	}
}

// TestIgnoredLabels: tokens with a negative label add nothing, whatever its value, and a batch without labels has loss 0
// and gradient 0.
func TestIgnoredLabels(t *testing.T) {
	c := wideConfig()
	w := smallModel(t, c, 1)
	s := newTestSession(t, w, 2, false)
	ids, labels, _ := smallBatch(c, 3, 13)
	labels[5], labels[20] = -100, -100
	want, err := s.Backward(ids, labels, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	grads := slices.Clone(s.Grads().Flat())
	for i, l := range labels {
		if l < 0 {
			labels[i] = -1
		}
	}
	s.ZeroGrads()
	if got, err := s.Backward(ids, labels, 3, 1); err != nil || got != want {
		t.Errorf("loss %v, %v; with -100 %v", got, err, want)
	}
	sameBits(t, "gradient", s.Grads().Flat(), grads)
	for i := range labels {
		labels[i] = -100
	}
	s.ZeroGrads()
	if got, err := s.Backward(ids, labels, 3, 1); err != nil || got != 0 {
		t.Errorf("no labels: loss %v, %v", got, err)
	}
	if slices.ContainsFunc(s.Grads().Flat(), func(v float32) bool { return v != 0 }) {
		t.Error("no labels: a gradient")
	}
}

// TestUnfusedKeepsFloats: the modes give the same bits, so only the kernels that run tell them apart.
func TestUnfusedKeepsFloats(t *testing.T) {
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	for _, unfused := range []bool{false, true} {
		var codes, floats atomic.Int64
		counted := *set
		counted.OuterCodes = func(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
			codes.Add(1)
			set.OuterCodes(dst, a, lda, s, q, K, n, o0, o1)
		}
		counted.OuterFloat = func(dst, a []float32, lda int, s []float32, x []float32, K, n, o0, o1 int) {
			floats.Add(1)
			set.OuterFloat(dst, a, lda, s, x, K, n, o0, o1)
		}
		pool := par.New(1)
		defer pool.Close()
		w := smallModel(t, smallConfig(), 1)
		s, err := NewSession(w, Options{Set: &counted, Pool: pool, Unfused: unfused})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ids, labels, _ := smallBatch(w.Config, 2, 5)
		if _, err := s.Backward(ids, labels, 2, 1); err != nil {
			t.Fatal(err)
		}
		if (codes.Load() > 0) == unfused || (floats.Load() > 0) != unfused {
			t.Errorf("unfused %v: %d products with codes, %d with floats", unfused, codes.Load(), floats.Load())
		}
	}
}
