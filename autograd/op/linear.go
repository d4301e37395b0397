package op

import (
	"fmt"

	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
)

// Linear is one ternary tensor in training: the shadow weight, its gradient, and its codes packed by rows (forward) and
// by columns (for dX). The codes are those of the moment; Refresh renews them after an update.
type Linear struct {
	Name   string
	Shadow []float32    // [out, in]; nil when the codes are fixed
	Grad   []float32    // [out, in]; nil in evaluation
	W      *pack.Matrix // [out, in], shared with the pack.Model that the layers read
	WT     *pack.Matrix // [in, out]; nil in evaluation
	Frozen *bool        // as a Weight's

	generation uint64 // of the shadow weights that the codes were made from
}

// Quantiser renews the codes of a session's linears. generation counts updates of the shadow weights.
type Quantiser struct {
	Generation uint64

	env   *layer.Env
	codes []int8    // of the largest tensor
	sums  []float64 // of its blocks
	l     *Linear
	// The jobs, made once.
	sum, trit, encode, mix func(worker, block int)
}

// NewQuantiser makes a quantiser for tensors of at most n values.
func NewQuantiser(env *layer.Env, n int) *Quantiser {
	q := &Quantiser{Generation: 1, env: env, codes: make([]int8, n), sums: make([]float64, quant.Blocks(n))}
	q.sum, q.trit, q.encode, q.mix = q.sumBlock, q.tritBlock, q.encodeBlock, q.mixBlock
	return q
}

// Refresh ternarizes and packs shadow weights that have changed since it last did. A nil linear is a full-precision matrix, which
// has no codes.
func (q *Quantiser) Refresh(linears ...*Linear) error {
	for _, l := range linears {
		if err := q.refresh(l); err != nil {
			return err
		}
	}
	return nil
}

func (q *Quantiser) refresh(l *Linear) error {
	if l == nil || l.Shadow == nil || l.generation == q.Generation {
		return nil
	}
	q.l = l
	blocks := quant.Blocks(len(l.Shadow))
	scale, ok := quant.Magnitude(l.Shadow) // as good as free: two different weights say no
	if !ok {
		q.env.Pool.Run(blocks, q.sum)
		if scale, ok = quant.WeightScale(q.sums[:blocks], len(l.Shadow)); !ok {
			return fmt.Errorf("tensor %s: %w", l.Name, ErrNotFinite)
		}
	}
	l.W.Scale = scale
	q.env.Pool.Run(blocks, q.trit)
	n := l.W.Superblocks()
	if l.WT != nil {
		l.WT.Scale = scale
		n += l.WT.Superblocks()
	}
	q.env.Pool.Run(n, q.encode)
	if q.env.Blend.On() {
		q.env.Pool.Run(blocks, q.mix)
	}
	l.generation = q.Generation
	return nil
}

func (q *Quantiser) sumBlock(_, b int) { q.sums[b] = q.env.Set.AbsSum(quant.Block(q.l.Shadow, b)) }

func (q *Quantiser) tritBlock(_, b int) {
	q.env.Set.Trits(quant.Block(q.codes[:len(q.l.Shadow)], b), quant.Block(q.l.Shadow, b), q.l.W.Scale)
}

func (q *Quantiser) mixBlock(_, b int) {
	l, blend := q.l, q.env.Blend
	blend.Mix(quant.Block(blend.Mixed(l.W), b), quant.Block(l.Shadow, b), quant.Block(q.codes[:len(l.Shadow)], b), l.W.Scale)
}

func (q *Quantiser) encodeBlock(_, b int) {
	if n := q.l.W.Superblocks(); b >= n {
		q.env.Set.EncodeTransposed(q.l.WT, q.codes, b-n, b-n+1)
		return
	}
	q.env.Set.Encode(q.l.W, q.codes, b, b+1)
}

// The most output rows of one block of a weight gradient from floats, in panels of 14: ten of these, 91 Gmac/s with four, 96 with eight,
// 98 with as many as are packed at a time (512x512, 256 tokens).
const (
	outerRows = 140
	outerUnit = 14
)

// outerJob adds a weight gradient: grad[o, k] += Σ_t dy[t, o]/s[t]·q[t, k].
type outerJob struct {
	run   func(worker, block int)
	env   *layer.Env
	grad  []float32
	dy    []float32
	s     []float32
	q     []int8
	float []float32 // instead of q
	ints  bool      // sum integers; with q alone
	R, K  int
	n     int
}

// rows is the number of output rows of a block.
func (j *outerJob) rows() int {
	most, unit := outerRows, outerUnit
	if j.ints {
		most, unit = j.env.Set.IntStrip, j.env.Set.IntPanel
	}
	return layer.Share(j.R, j.env.Pool.Threads(), most, unit)
}

func (j *outerJob) block(_, b int) {
	o0, o1 := layer.Span(b, j.rows(), j.R)
	switch {
	case j.float != nil:
		j.env.Set.OuterFloat(j.grad, j.dy, j.R, j.s, j.float, j.K, j.n, o0, o1)
	case j.ints:
		j.env.Set.OuterInts(j.grad, j.dy, j.R, j.s, j.q, j.K, j.n, o0, o1)
	default:
		j.env.Set.OuterCodes(j.grad, j.dy, j.R, j.s, j.q, j.K, j.n, o0, o1)
	}
}

// backward is the straight-through gradient of a BitLinear's product (spec §3.2) for tokens [t0, t0+n) of its codes c and
// the upstream gradient dy [n, out] of those tokens: the weight's is added, dX̃ [n, in] is written to dnorm.
func (l *Linear) backward(w *Workspace, dnorm, dy []float32, c *layer.Codes, t0, n int) {
	l.outer(w, dy, c, t0, n)
	l.transposed(w, dnorm, dy, n)
}

// transposed writes dX̃ [n, in] = dy·W for n tokens, W what the forward pass multiplied by.
func (l *Linear) transposed(w *Workspace, dnorm, dy []float32, n int) {
	if w.Env.Blend.On() {
		w.Env.DenseTransposed(dnorm, w.Env.Blend.Mixed(l.W), dy, l.W.Rows, l.W.Cols, n)
		return
	}
	w.Env.MatMulFloat(dnorm, l.WT, dy, l.W.Scale, n)
}

// outer is the first half of backward, the weight's gradient.
func (l *Linear) outer(w *Workspace, dy []float32, c *layer.Codes, t0, n int) {
	if *l.Frozen {
		return
	}
	R, K := l.W.Rows, l.W.Cols
	j := &w.outer
	*j = outerJob{run: j.run, env: w.Env, grad: l.Grad, dy: dy, s: c.Scale[t0:], R: R, K: K, n: n}
	if c.Float != nil {
		j.float = c.Float[t0*K:]
	} else {
		j.q, j.ints = c.Q[t0*K:], w.IntegerGradients
	}
	w.Env.Pool.Run(layer.Blocks(R, j.rows()), j.run)
}

// input is the second half of backward for tokens [t0, t1) of dnorm and dy, by the worker that calls it.
func (l *Linear) input(w *Workspace, dnorm, dy []float32, t0, t1 int) {
	w.Env.ProductFloat(dnorm, l.WT, dy, l.W.Scale, t0, t1)
}
