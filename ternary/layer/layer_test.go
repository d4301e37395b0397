package layer_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// model is a small model whose sizes are multiples of no block.
func model(t *testing.T, edit func(c *spec.Config)) *layer.Model {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 29, 37, 2, 531
	edit(&c)
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(1)
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	return layer.New(p)
}

func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: value %d is %v (%#08x), want %v (%#08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// TestBuffersAndThreadsChangeNoBit compares every buffer that the backward pass may read: unfused with fused mode, and
// several threads with one.
func TestBuffersAndThreadsChangeNoBit(t *testing.T) {
	for name, edit := range map[string]func(*spec.Config){
		"naive": func(*spec.Config) {},
		"fused": func(c *spec.Config) { c.BitLinearEps, c.ActivationRounding = spec.BitLinearEpsFused, spec.HalfAway },
		"wide":  func(c *spec.Config) { c.UseLowerBound, c.ExpandRatio = false, 5 },
		"dense": func(c *spec.Config) { c.DownProj = spec.DownDenseUnnormed },
	} {
		t.Run(name, func(t *testing.T) {
			m := model(t, edit)
			c := m.Config
			const B, T = 3, 19
			const N = B * T
			rng := rand.New(rand.NewPCG(2, 1))
			h := make([]float32, N*c.HiddenSize)
			for i := range h {
				h[i] = float32(rng.NormFloat64())
			}
			before := make([]float32, B*c.RecurrenceWidth())
			for i := range before {
				before[i] = float32(rng.NormFloat64())
			}
			run := func(threads int, floats bool) map[string][]float32 {
				pool := par.New(threads)
				defer pool.Close()
				e := layer.NewEnv(kernel.Generic(), pool, c)
				scratch, out, state := make([]float32, len(h)), make([]float32, len(h)), slices.Clone(before)
				mixer, mlp := m.Parts[2].(*layer.TokenMixer), m.Parts[3].(*layer.ChannelMixer)
				mb := mixer.NewMixerBuffers(N, scratch, floats)
				mixer.Forward(e, out, h, B, T, state, nil, nil, mb)
				seen := map[string][]float32{
					"state": state, "i": mb.I, "z": mb.Z, "g": mb.G, "s": mb.S, "norm inv": mb.Normed.Inv, "gate inv": mb.GateInv,
					"mixed": slices.Clone(out),
				}
				cb := mlp.NewMLPBuffers(N, scratch, floats)
				mlp.Forward(e, out, out, N, cb)
				hb := m.Head.NewHeadBuffers(N, floats)
				m.Head.Quantize(e, out, N, hb)
				logits := make([]float32, N*c.VocabSize)
				m.Head.Logits(e, logits, 0, N, hb)
				seen["pq"], seen["mlp inv"], seen["h"], seen["head inv"], seen["logits"] = cb.PQ, cb.Normed.Inv, out, hb.Normed.Inv, logits
				for name, codes := range map[string]layer.Codes{
					"I": mb.CodesI, "F": mb.CodesF, "G": mb.CodesG, "O": mb.CodesO, "gate": cb.CodesGate, "down": cb.CodesDown, "head": hb.Codes,
				} {
					seen[name+" scale"], seen[name+" inv"], seen[name+" out"] = codes.Scale, codes.Inv, codes.Out
					q := make([]float32, len(codes.Q))
					for i, v := range codes.Q {
						q[i] = float32(v)
					}
					seen[name+" codes"] = q
					if floats {
						same(t, name+" codes as floats", codes.Float, q)
					}
				}
				return seen
			}
			want := run(1, false)
			for _, threads := range []int{1, 2, 3} {
				for _, floats := range []bool{false, true} {
					for name, got := range run(threads, floats) {
						same(t, fmt.Sprintf("%d threads, floats %v: %s", threads, floats, name), got, want[name])
					}
				}
			}
		})
	}
}

func TestDamageStaysInItsSequence(t *testing.T) {
	m := model(t, func(*spec.Config) {})
	const B, T = 2, 5
	c := m.Config
	pool := par.New(1)
	e := layer.NewEnv(kernel.Generic(), pool, c)
	h := make([]float32, B*T*c.HiddenSize)
	for i := range h {
		h[i] = float32(i%7) - 3
	}
	h[2*c.HiddenSize+5] = float32(math.NaN()) // token 2 of sequence 0
	mixer := m.Parts[0].(*layer.TokenMixer)
	mb := mixer.NewMixerBuffers(B*T, make([]float32, len(h)), false)
	mixer.Forward(e, h, h, B, T, make([]float32, B*c.RecurrenceWidth()), nil, nil, mb)
	for n := range B * T {
		bad := n >= 2 && n < T // the state carries it on
		for j, v := range h[n*c.HiddenSize:][:c.HiddenSize] {
			if (v != v) != bad {
				t.Fatalf("token %d, channel %d is %v; NaN expected: %v", n, j, v, bad)
			}
		}
	}
}

func TestLowerBounds(t *testing.T) {
	const L, d = 5, 3
	lambda := make([]float32, L*d) // channel 0: zeros
	for l := range L {
		lambda[l*d+1] = float32(l) - 1.5
		lambda[l*d+2] = float32(100 - 50*l)
	}
	bounds, p := make([]float32, L*d), make([]float32, L*d)
	layer.LowerBounds(bounds, p, lambda, L, d)
	for c := range d {
		var sum, below float64
		for l := range L {
			sum += math.Exp(float64(lambda[l*d+c]) - 100)
		}
		for l := range L {
			want := math.Exp(float64(lambda[l*d+c])-100) / sum
			if got := p[l*d+c]; math.Abs(float64(got)-want) > 3e-7 {
				t.Errorf("layer %d, channel %d: probability %v, want %v", l, c, got, want)
			}
			if l > 0 {
				below += want
			}
			if got := bounds[l*d+c]; math.Abs(float64(got)-below) > 3e-7 {
				t.Errorf("layer %d, channel %d: bound %v, want %v", l, c, got, below)
			}
		}
		if bounds[c] != 0 {
			t.Errorf("layer 0, channel %d: bound %v, want exactly 0", c, bounds[c])
		}
	}
	for l := range L { // Λ = 0: ℓ/L
		if got, want := bounds[l*d], float32(l)/L; math.Abs(float64(got-want)) > 1e-6 {
			t.Errorf("layer %d of zeros: bound %v, want %v", l, got, want)
		}
	}
}
