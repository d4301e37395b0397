package infer

import (
	"fmt"
	"math/rand/v2"
	"sort"

	"mmfree/ternary/f32"
)

// Sampling says how the next token is chosen from logits.
type Sampling struct {
	Temperature float64 // 0 takes the most likely token, the first of equals
	TopK        int     // keep so many most likely tokens; 0 keeps all
	TopP        float64 // keep the most likely tokens whose probabilities reach it; 0 or 1 keeps all
	Seed        uint64
}

// Validate names the first impossible value.
func (s *Sampling) Validate() error {
	switch {
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return fmt.Errorf("%w: temperature %v is not between 0 and 100", ErrInput, s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("%w: top-k %d is negative", ErrInput, s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("%w: top-p %v is not between 0 and 1", ErrInput, s.TopP)
	}
	return nil
}

// Sampler draws tokens; equal seeds and logits give equal tokens on every machine. It allocates only when made.
type Sampler struct {
	Sampling
	rng   *rand.Rand
	order []int
	prob  []float32
	by    byProbability
}

// NewSampler makes a sampler for a vocabulary of V tokens; a model may have more logits, which are then never chosen.
func NewSampler(s Sampling, V int) *Sampler {
	p := &Sampler{
		Sampling: s, rng: rand.New(rand.NewPCG(s.Seed, 0x5a3e)),
		order: make([]int, V), prob: make([]float32, V),
	}
	p.by = byProbability{p}
	return p
}

// Sample returns the index of the chosen logit. Logits that are not numbers are never chosen.
func (s *Sampler) Sample(logits []float32) int32 {
	logits = logits[:len(s.order)]
	best := -1
	for j, v := range logits {
		if v == v && (best < 0 || v > logits[best]) {
			best = j
		}
	}
	if best < 0 || s.Temperature == 0 {
		return int32(max(best, 0))
	}
	inv := float32(1 / s.Temperature)
	var total float32
	for j, v := range logits {
		s.order[j], s.prob[j] = j, 0
		if v == v {
			s.prob[j] = f32.Exp(float32((v - logits[best]) * inv))
		}
		total += s.prob[j]
	}
	keep := len(logits)
	if s.TopK > 0 && s.TopK < keep || s.TopP > 0 && s.TopP < 1 {
		sort.Stable(&s.by)
		if s.TopK > 0 {
			keep = min(keep, s.TopK)
		}
		var kept float32
		for n, j := range s.order[:keep] {
			kept += s.prob[j]
			if s.TopP > 0 && s.TopP < 1 && kept >= float32(s.TopP)*total {
				keep = n + 1
				break
			}
		}
		total = kept
	}
	x := float32(s.rng.Float32() * total)
	for _, j := range s.order[:keep] {
		if x -= s.prob[j]; x < 0 {
			return int32(j)
		}
	}
	return int32(best) // rounding left a crumb
}

// byProbability sorts a sampler's order, most likely first.
type byProbability struct{ s *Sampler }

func (b *byProbability) Len() int      { return len(b.s.order) }
func (b *byProbability) Swap(i, j int) { b.s.order[i], b.s.order[j] = b.s.order[j], b.s.order[i] }

func (b *byProbability) Less(i, j int) bool { return b.s.prob[b.s.order[i]] > b.s.prob[b.s.order[j]] }
