package infer_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"mmfree/ternary/f32"
	"mmfree/ternary/infer"
)

// drawSorted is Sample by sorting the whole vocabulary; u is the generator's next number.
func drawSorted(s infer.Sampling, logits []float32, u float32) int32 {
	best := slices.Index(logits, slices.Max(logits))
	inv := float32(1 / s.Temperature)
	order, prob, total := make([]int, len(logits)), make([]float32, len(logits)), float32(0)
	for j, v := range logits {
		order[j], prob[j] = j, f32.Exp(float32((v-logits[best])*inv))
		total += prob[j]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(prob[b], prob[a]) })
	if s.TopK > 0 {
		order = order[:min(len(order), s.TopK)]
	}
	var kept float32
	for n, j := range order {
		if kept += prob[j]; s.TopP > 0 && s.TopP < 1 && kept >= float32(s.TopP)*total {
			order = order[:n+1]
			break
		}
	}
	x := float32(u * kept)
	for _, j := range order {
		if x -= prob[j]; x < 0 {
			return int32(j)
		}
	}
	return int32(best)
}

// TestSamplerDrawsAsSorted: with many equal logits, which keep the vocabulary's order.
func TestSamplerDrawsAsSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for _, s := range []infer.Sampling{
		{Temperature: 0.8, TopK: 1},
		{Temperature: 0.8, TopK: 7},
		{Temperature: 2, TopP: 0.3},
		{Temperature: 3, TopP: 0.9},
		{Temperature: 1, TopK: 40, TopP: 0.95},
		{Temperature: 1e-300, TopK: 9},
		{Temperature: 100, TopK: 299},
		{Temperature: 1, TopP: 1e-9},
	} {
		s.Seed = 5
		sampler, numbers := infer.NewSampler(s, 300), rand.New(rand.NewPCG(s.Seed, 0x5a3e))
		for range 200 {
			logits := make([]float32, 300)
			for j := range logits {
				logits[j] = float32(rng.IntN(12))
			}
			if got, want := sampler.Sample(logits), drawSorted(s, logits, numbers.Float32()); got != want {
				t.Fatalf("%+v: drew %d, want %d", s, got, want)
			}
		}
	}
}

func TestSamplerDoesNotAllocate(t *testing.T) {
	logits := make([]float32, 500)
	s := infer.NewSampler(infer.Sampling{Temperature: 1, TopK: 40, TopP: 0.9}, len(logits))
	if n := testing.AllocsPerRun(20, func() { s.Sample(logits) }); n != 0 {
		t.Errorf("%v allocations for a token", n)
	}
}

func BenchmarkSampler(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 1))
	logits := make([]float32, 32000)
	for j := range logits {
		logits[j] = float32(2 * rng.NormFloat64())
	}
	for name, s := range map[string]infer.Sampling{"all": {}, "k=40": {TopK: 40}, "p=0.9": {TopP: 0.9}, "k=40,p=0.9": {TopK: 40, TopP: 0.9}} {
		s.Temperature = 0.8
		b.Run(name, func(b *testing.B) {
			p := infer.NewSampler(s, len(logits))
			for b.Loop() {
				p.Sample(logits)
			}
			b.ReportAllocs()
		})
	}
}
