package infer_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/infer"
)

func TestSamplerChoices(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name    string
		s       infer.Sampling
		logits  []float32
		allowed []int32
	}{
		{"greedy", infer.Sampling{}, []float32{1, 3, 2}, []int32{1}},
		{"greedy, first of equals", infer.Sampling{}, []float32{1, 3, 3}, []int32{1}},
		{"greedy beside NaN", infer.Sampling{}, []float32{nan, 3, nan, 4}, []int32{3}},
		{"greedy, all NaN", infer.Sampling{}, []float32{nan, nan}, []int32{0}},
		{"NaN is never drawn", infer.Sampling{Temperature: 100}, []float32{nan, 3, nan, 3.1}, []int32{1, 3}},
		{"all NaN", infer.Sampling{Temperature: 1}, []float32{nan, nan}, []int32{0}},
		{"infinity", infer.Sampling{Temperature: 1}, []float32{0, inf, 2}, []int32{1}},
		{"minus infinity is never drawn", infer.Sampling{Temperature: 100}, []float32{-inf, 3, -inf, 3}, []int32{1, 3}},
		{"all minus infinity", infer.Sampling{Temperature: 1}, []float32{-inf, -inf}, []int32{0}},
		{"top-k 1", infer.Sampling{Temperature: 100, TopK: 1}, []float32{1, 2, 1.9}, []int32{1}},
		{"top-k 2", infer.Sampling{Temperature: 100, TopK: 2}, []float32{1, 2, 1.9, 0}, []int32{1, 2}},
		{"top-k above the vocabulary", infer.Sampling{Temperature: 100, TopK: 9}, []float32{1, 2}, []int32{0, 1}},
		{"top-p keeps at least one", infer.Sampling{Temperature: 1, TopP: 1e-9}, []float32{1, 2, 1.9}, []int32{1}},
		{"top-p", infer.Sampling{Temperature: 1, TopP: 0.7}, []float32{0, 0, -9, -9}, []int32{0, 1}},
		{"top-p counts among all, not among top-k", infer.Sampling{Temperature: 1, TopP: 0.4, TopK: 3}, []float32{0, 0, 0, 0}, []int32{0, 1}},
		{"almost cold", infer.Sampling{Temperature: 1e-300}, []float32{1, 2, 1.9}, []int32{1}},
	} {
		sampler := infer.NewSampler(c.s, len(c.logits))
		seen := map[int32]bool{}
		for range 400 {
			seen[sampler.Sample(c.logits)] = true
		}
		if len(seen) != len(c.allowed) {
			t.Errorf("%s: drawn %v, want all of %v", c.name, seen, c.allowed)
		}
		for _, id := range c.allowed {
			if !seen[id] {
				t.Errorf("%s: drawn %v, want all of %v", c.name, seen, c.allowed)
			}
		}
	}
}

func TestSamplerIsDeterministic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := infer.Sampling{Temperature: 0.8, TopK: 20, TopP: 0.9, Seed: 5}
	a, b := infer.NewSampler(s, 50), infer.NewSampler(s, 50)
	s.Seed = 6
	other := infer.NewSampler(s, 50)
	differs := false
	for range 200 {
		logits := make([]float32, 50)
		for j := range logits {
			logits[j] = float32(rng.NormFloat64())
		}
		x, y, z := a.Sample(logits), b.Sample(logits), other.Sample(logits)
		if x != y {
			t.Fatalf("equal seeds drew %d and %d", x, y)
		}
		differs = differs || x != z
	}
	if !differs {
		t.Error("another seed drew the same 200 tokens")
	}
}

func TestSamplerFollowsTheProbabilities(t *testing.T) {
	logits := []float32{float32(math.Log(0.5)), float32(math.Log(0.3)), float32(math.Log(0.2))}
	s := infer.NewSampler(infer.Sampling{Temperature: 1, Seed: 1}, 3)
	var seen [3]float64
	const n = 20000
	for range n {
		seen[s.Sample(logits)]++
	}
	for j, want := range []float64{0.5, 0.3, 0.2} {
		if got := seen[j] / n; math.Abs(got-want) > 0.018 { // five standard errors
			t.Errorf("token %d was drawn %.3f of the time, want %.3f", j, got, want)
		}
	}
}

func TestSamplingValidates(t *testing.T) {
	for _, bad := range []infer.Sampling{
		{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1}, {TopP: -0.1}, {TopP: 1.1}, {TopP: math.NaN()},
	} {
		if err := bad.Validate(); !errors.Is(err, infer.ErrInput) {
			t.Errorf("%+v: error %v, want ErrInput", bad, err)
		}
	}
	good := infer.Sampling{Temperature: 1, TopK: 40, TopP: 0.95}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
