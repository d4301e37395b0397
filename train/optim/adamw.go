package optim

import (
	"math"
	"slices"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// Hyper holds AdamW's constants. The learning rate comes with each step.
type Hyper struct {
	Beta1, Beta2, Epsilon float64
	WeightDecay           float64 // λ, decoupled; acts on the tensors that spec.Tensor.Decay marks
	Clip                  float64 // largest global norm of the gradient; 0 = no clipping
}

// AdamW holds the optimiser's state over one model's weights: two moments, and the number of steps taken.
type AdamW struct {
	Hyper
	Steps int // n of the bias corrections: steps taken, skipped ones not counted
	M, V  *spec.Weights

	set     *kernel.Set
	pool    *par.Pool
	weights *spec.Weights
	grads   *spec.Weights
	blocks  []block
	sums    []float64 // Σ g² of each block
	kinds   []kind
	steps   []kernel.AdamStep // of each kind, for the update in flight
	sum     func(worker, b int)
	update  func(worker, b int)
}

// block is a run of one tensor's values. Blocks depend on the model alone, so the norm does not depend on the threads.
type block struct {
	from, to int // in Flat
	kind     int
}

// kind is what sets tensors apart in an update.
type kind struct {
	decay  bool
	factor float64 // of the learning rate
}

const blockValues = 1 << 14

// New makes an optimiser over w and the gradients g, of the same model.
func New(h Hyper, w, g *spec.Weights, set *kernel.Set, pool *par.Pool) *AdamW {
	a := &AdamW{Hyper: h, M: w.Like(), V: w.Like(), set: set, pool: pool, weights: w, grads: g}
	a.cut(func(int) float64 { return 1 })
	a.sum, a.update = a.sumBlock, a.updateBlock
	return a
}

// Scale multiplies the learning rate of tensor i by factors[i]. A tensor of factor 0 is frozen: neither gradient nor decay
// moves it, and its gradient does not count in the norm. Between steps; moments stay as they
// are.
func (a *AdamW) Scale(factors []float64) { a.cut(func(i int) float64 { return factors[i] }) }

// cut makes the blocks of the tensors that move.
func (a *AdamW) cut(factor func(tensor int) float64) {
	a.blocks, a.kinds = nil, nil
	for i := range a.weights.Tensors {
		k := kind{decay: a.weights.Tensors[i].Decay, factor: factor(i)}
		if k.factor == 0 {
			continue
		}
		at := slices.Index(a.kinds, k)
		if at < 0 {
			at = len(a.kinds)
			a.kinds = append(a.kinds, k)
		}
		begin, n := a.weights.Offset(i), a.weights.Tensors[i].Elements()
		for from := 0; from < n; from += blockValues {
			a.blocks = append(a.blocks, block{from: begin + from, to: begin + min(from+blockValues, n), kind: at})
		}
	}
	a.sums, a.steps = make([]float64, len(a.blocks)), make([]kernel.AdamStep, len(a.kinds))
}

// GradNorm returns the global norm ‖g‖₂ over all tensors, in float64.
func (a *AdamW) GradNorm() float64 {
	a.pool.Run(len(a.blocks), a.sum)
	var total float64
	for _, s := range a.sums {
		total += s
	}
	return math.Sqrt(total)
}

func (a *AdamW) sumBlock(_, b int) {
	a.sums[b] = a.set.SquareSum(a.grads.Flat()[a.blocks[b].from:a.blocks[b].to])
}

// Step clips and updates the weights with learning rate lr, given GradNorm's result. A norm that is not finite leaves
// weights and moments as they are, and reports false.
func (a *AdamW) Step(lr, norm float64) (updated bool) {
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return false
	}
	a.Steps++
	clip := 1.0
	if a.Clip > 0 {
		clip = min(1, a.Clip/(norm+1e-6))
	}
	n := float64(a.Steps)
	s := kernel.AdamStep{
		Clip: float32(clip), Beta1: float32(a.Beta1), Beta2: float32(a.Beta2),
		Rest1: float32(1 - a.Beta1), Rest2: float32(1 - a.Beta2),
		Correction2: float32(1 / (1 - math.Pow(a.Beta2, n))), Epsilon: float32(a.Epsilon),
	}
	for i, k := range a.kinds {
		rate := lr * k.factor
		s.Rate, s.Decay = float32(rate/(1-math.Pow(a.Beta1, n))), 1
		if k.decay {
			s.Decay = float32(1 - rate*a.WeightDecay)
		}
		a.steps[i] = s
	}
	a.pool.Run(len(a.blocks), a.update)
	return true
}

func (a *AdamW) updateBlock(_, b int) {
	k := a.blocks[b]
	a.set.AdamW(a.weights.Flat()[k.from:k.to], a.M.Flat()[k.from:k.to], a.V.Flat()[k.from:k.to],
		a.grads.Flat()[k.from:k.to], a.steps[k.kind])
}
