package verify

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"mmfree/autograd"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// fixture is a small model of odd sizes as a request: 60 tokens in windows of 25, the last one shorter.
func fixture(t *testing.T, change func(*spec.Config)) (Request, *spec.Weights) {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 29, 37, 2, 53
	if change != nil {
		change(&c)
	}
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(1)
	pool := par.New(2)
	session, err := autograd.NewSession(w, autograd.Options{Set: kernel.Generic(), Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	ids := make([]int32, 60)
	for i := range ids {
		ids[i] = int32(rng.IntN(c.VocabSize))
	}
	return Request{Session: session, Packed: p, Set: kernel.Generic(), Pool: pool, IDs: ids, SeqLen: 25}, w
}

func run(t *testing.T, r Request) *Report {
	t.Helper()
	report, err := Run(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestIdentical(t *testing.T) {
	r, w := fixture(t, nil)
	got := run(t, r)
	c := w.Config
	n := int64(len(r.IDs))
	parts := int64(2*c.NumHiddenLayers + 1)
	if !got.Identical || got.Mismatches != 0 || got.First != nil || got.MaxULP != 0 {
		t.Errorf("report %+v", got)
	}
	if want := n * int64(c.VocabSize); got.LogitsCompared != want {
		t.Errorf("%d logits, want %d", got.LogitsCompared, want)
	}
	if want := n * (int64(c.VocabSize) + parts*int64(c.HiddenSize)); got.ValuesCompared != want {
		t.Errorf("%d values, want %d", got.ValuesCompared, want)
	}
	if want := int(parts) + 1; got.TensorsCompared != want {
		t.Errorf("%d tensors, want %d", got.TensorsCompared, want)
	}
	// Every ternary weight is met once a token: added, subtracted or skipped, never multiplied.
	_, ternary := spec.Parameters(c)
	o := got.Operations
	if o.WeightAdds+o.ZerosSkipped != n*ternary || o.WeightMultiplies != 0 || o.WeightAdds == 0 || o.ZerosSkipped == 0 || o.OtherMultiplies == 0 {
		t.Errorf("operations %+v for %d weights and %d tokens", o, ternary, n)
	}
}

// TestIdenticalAttention: the two paths of an attention model agree, with and without a softmax.
func TestIdenticalAttention(t *testing.T) {
	for name, c := range map[string]struct{ trits, integer bool }{"float": {}, "ternary": {true, false}, "integer": {true, true}} {
		r, _ := fixture(t, func(m *spec.Config) {
			m.Arch, m.NumAttentionHeads, m.NumKeyValueHeads, m.HeadDim = spec.ArchBitNet, 4, 2, 10
			m.TernaryAttention, m.IntegerAttention = c.trits, c.integer
		})
		if got := run(t, r); !got.Identical || got.Operations.WeightAdds == 0 {
			t.Errorf("%s queries and keys: %+v", name, got)
		}
	}
}

// TestDenseWeightsAreCounted: the count of weight multiplies is no constant.
func TestDenseWeightsAreCounted(t *testing.T) {
	r, w := fixture(t, func(c *spec.Config) { c.DownProj = spec.DownDenseUnnormed })
	got := run(t, r)
	c := w.Config
	want := int64(len(r.IDs)) * int64(c.NumHiddenLayers*c.HiddenSize*c.MLPWidth())
	if !got.Identical || got.Operations.WeightMultiplies != want {
		t.Errorf("identical %v, %d weight multiplies, want %d", got.Identical, got.Operations.WeightMultiplies, want)
	}
}

// TestEveryDifferenceIsFound changes one bit of one value of the packed model in many places.
func TestEveryDifferenceIsFound(t *testing.T) {
	for name, damage := range map[string]struct {
		do    func(p *pack.Model)
		first string // the tensor in which the difference must show first
	}{
		"a trit of the first layer": {func(p *pack.Model) {
			m := p.Matrix("model.layers.0.attn.o_proj.weight")
			codes := make([]int8, m.Rows*m.Cols)
			m.Decode(codes, 0, m.Superblocks())
			codes[5] = (codes[5]+2)%3 - 1 // another one
			m.Encode(codes, 0, m.Superblocks())
		}, "layers.0.attn"},
		"a scale of the last layer": {func(p *pack.Model) {
			m := p.Matrix("model.layers.1.mlp.down_proj.weight")
			m.Scale = math.Nextafter32(m.Scale, 1)
		}, "layers.1.mlp"},
		"the scale of the head": {func(p *pack.Model) {
			m := p.Matrix(spec.HeadName)
			m.Scale = math.Nextafter32(m.Scale, 1)
		}, LogitsTensor},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := fixture(t, nil)
			damage.do(r.Packed)
			got := run(t, r)
			if got.Identical || got.Mismatches == 0 || got.MaxULP < 1 || got.First == nil {
				t.Fatalf("not found: %+v", got)
			}
			if got.First.Tensor != damage.first || got.First.Training == got.First.Packed {
				t.Errorf("first difference %+v, want one in %s", got.First, damage.first)
			}
		})
	}
}

// TestKernelsAreHeldToTheBits: a set whose additions are off by one unit in the last place is found.
func TestKernelsAreHeldToTheBits(t *testing.T) {
	r, _ := fixture(t, nil)
	wrong := *kernel.Generic()
	wrong.Add = func(dst, a, b []float32) {
		for i := range a {
			dst[i] = math.Nextafter32(a[i]+b[i], 9)
		}
	}
	r.Set = &wrong
	if got := run(t, r); got.Identical || !strings.HasSuffix(got.First.Tensor, ".attn") {
		t.Errorf("a kernel that is off by one unit passed: %+v", got)
	}
}

func TestCancelled(t *testing.T) {
	r, _ := fixture(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestULPs(t *testing.T) {
	for _, c := range []struct {
		a, b float32
		want int64
	}{
		{1, math.Nextafter32(1, 2), 1},
		{-1, math.Nextafter32(-1, -2), 1},
		{math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 2},
		{0, float32(math.Copysign(0, -1)), 1},
		{1, 2, 1 << 23},
	} {
		if got := ulps(c.a, c.b); got != c.want {
			t.Errorf("ulps(%v, %v) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
