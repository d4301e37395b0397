package infer

import (
	"fmt"
	"math/rand/v2"

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
	order []int32 // tokens as a heap, the most likely first of all; behind it those taken from it, the first one last
	prob  []float32
}

// NewSampler makes a sampler for a vocabulary of V tokens; a model may have more logits, which are then never chosen.
func NewSampler(s Sampling, V int) *Sampler {
	return &Sampler{
		Sampling: s, rng: rand.New(rand.NewPCG(s.Seed, 0x5a3e)),
		order: make([]int32, V), prob: make([]float32, V),
	}
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
		s.prob[j] = 0
		if v == v {
			s.prob[j] = f32.Exp(float32((v - logits[best]) * inv))
		}
		total += s.prob[j]
	}
	if s.TopK > 0 && s.TopK < len(logits) || s.TopP > 0 && s.TopP < 1 {
		return s.drawMostLikely(best, total)
	}
	x := float32(s.rng.Float32() * total)
	for j, p := range s.prob {
		if x -= p; x < 0 {
			return int32(j)
		}
	}
	return int32(best) // rounding left a crumb
}

// drawMostLikely draws among the tokens that top-k and top-p keep, taken one by one from a heap: few of a vocabulary, so
// that sorting it all would be most of the work. total is the sum of all probabilities.
func (s *Sampler) drawMostLikely(best int, total float32) int32 {
	V := len(s.order)
	keep := V
	if s.TopK > 0 {
		keep = min(keep, s.TopK)
	}
	for j := range s.order {
		s.order[j] = int32(j)
	}
	for i := V/2 - 1; i >= 0; i-- {
		s.sift(i, V)
	}
	var kept float32
	left := V
	for left > V-keep {
		left--
		s.order[0], s.order[left] = s.order[left], s.order[0]
		s.sift(0, left)
		kept += s.prob[s.order[left]]
		if s.TopP > 0 && s.TopP < 1 && kept >= float32(s.TopP)*total {
			break
		}
	}
	x := float32(s.rng.Float32() * kept)
	for i := V - 1; i >= left; i-- {
		if x -= s.prob[s.order[i]]; x < 0 {
			return s.order[i]
		}
	}
	return int32(best)
}

// sift makes a heap of order[i:n] when all behind i is one.
func (s *Sampler) sift(i, n int) {
	order, top := s.order[:n], s.order[i]
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && s.before(order[child+1], order[child]) {
			child++
		}
		if s.before(top, order[child]) {
			break
		}
		order[i] = order[child]
		i = child
	}
	order[i] = top
}

// before reports whether token a is more likely than b, or the first of equals.
func (s *Sampler) before(a, b int32) bool {
	p, q := s.prob[a], s.prob[b]
	return p > q || p == q && a < b
}
