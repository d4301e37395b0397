package layer

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
)

// Blend is how far a model in training stands between full precision and ternary: λ of the weights, and λ of the
// activations, each from 0 to 1. Every BitLinear computes y = x·Wᵀ with
//
//	W = (1−λ)·w + λ·(t·m)     t, m the codes and the scale of the shadow weights w
//	x = (1−λ)·x̃ + λ·(q/s)     q, s the codes and the scale of the normalised input x̃
//
// in float32. With both at 1 it is off, and every BitLinear the sum of integers that it is everywhere else.
type Blend struct {
	Weights, Activations float32

	mixed map[*pack.Matrix][]float32 // W of each matrix, [Rows·Cols]
}

// NewBlend makes a blend that is off, and room for all matrices of p.
func NewBlend(p *pack.Model) *Blend {
	b := &Blend{Weights: 1, Activations: 1, mixed: map[*pack.Matrix][]float32{}}
	for _, t := range p.Tensors {
		if m := p.Matrix(t.Name); m != nil {
			b.mixed[m] = make([]float32, m.Rows*m.Cols)
		}
	}
	return b
}

// On reports whether anything is computed in another way than by codes; a nil blend is off.
func (b *Blend) On() bool { return b != nil && (b.Weights < 1 || b.Activations < 1) }

// Mixed returns the values of W, row-major.
func (b *Blend) Mixed(w *pack.Matrix) []float32 { return b.mixed[w] }

// Mix writes the W of shadow weights w with codes t and scale m to dst.
func (b *Blend) Mix(dst, w []float32, t []int8, m float32) {
	rest, step := 1-b.Weights, float32(b.Weights*m)
	for j, v := range w {
		dst[j] = float32(rest*v) + float32(float32(t[j])*step)
	}
}

// Norm returns λ of the norm on the BitLinear's input: how much of what it makes of x counts, against x itself. Only a norm
// that conversion inserts comes in by degrees, with the weights.
func (b *Blend) Norm(l *BitLinear) float32 {
	if !b.On() || !l.Inserted {
		return 1
	}
	return b.Weights
}

// input makes token t of c of the layer's input x. The codes are made in any case: to watch them.
func (b *Blend) input(e *Env, l *BitLinear, c *Codes, t int, x []float32) {
	n := len(x)
	norm, q, mixed := c.Norm[t*n:][:n], c.Q[t*n:][:n], c.Float[t*n:][:n]
	c.Inv[t] = e.Set.RMSNorm(norm, x, l.Gain, l.Eps)
	if lambda := b.Norm(l); lambda < 1 {
		for j, v := range norm {
			norm[j] = float32((1-lambda)*x[j]) + float32(lambda*v)
		}
	}
	s := quant.Quantize(q, norm, l.Away)
	if e.Meter != nil {
		e.Meter.count(q)
	}
	c.Scale[t] = 1 // of Float, which the weights' gradient reads
	rest, step := 1-b.Activations, b.Activations/s
	for j, v := range norm {
		mixed[j] = float32(rest*v) + float32(float32(q[j])*step)
	}
}
