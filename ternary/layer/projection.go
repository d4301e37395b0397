package layer

import (
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// Projection is one linear layer of an attention model, y = W·x: ternary with a norm and codes of its input, or full
// precision (spec §10, §11).
type Projection struct {
	Name     string // of its tensor, without ".weight"
	NormName string // of the gain of the norm on its input; "" where there is none
	BitLinear
	Dense      []float32 // [Rows, Cols] when W is nil
	Rows, Cols int
}

// norm applies the projection's norm alone: what a full-precision layer reads.
func (p *Projection) norm(set *kernel.Set, dst, x []float32) (inv float32) {
	return set.RMSNorm(dst, x, p.Gain, p.Eps)
}

// apply computes dst [n, Rows] from the codes (ternary) or from x [n, Cols].
func (p *Projection) apply(e *Env, dst []float32, codes *Codes, x []float32, n int) {
	if p.W != nil {
		e.MatMul(dst, p.W, codes, n)
		return
	}
	e.Dense(dst, p.Dense, x, p.Rows, p.Cols, n)
}

// Fan is the entry of a part: several projections of the residual stream through one norm that they share, or through one
// each.
type Fan struct {
	Shared      bool // all read the stream through the first one's norm
	Projections []Projection
}

// FanBuffers holds what a Fan makes of N tokens.
type FanBuffers struct {
	Out   [][]float32 // of each projection, [N, Rows]
	Codes []Codes     // of each ternary projection; shared ones differ in their factors Out alone
	X     []float32   // [N, d]: the normalised stream, for full-precision projections
	Inv   []float32   // [N]: r of the norm behind X
}

// newBuffers makes buffers for n tokens; with floats, the unfused mode's memory too.
func (f *Fan) newBuffers(n int, floats bool) FanBuffers {
	var b FanBuffers
	for i := range f.Projections {
		p := &f.Projections[i]
		b.Out = append(b.Out, make([]float32, n*p.Rows))
		switch {
		case p.W == nil && i == 0:
			b.X, b.Inv = make([]float32, n*p.Cols), make([]float32, n)
		case p.W == nil:
		case i > 0 && f.Shared:
			shared := b.Codes[0]
			shared.Out = make([]float32, n)
			b.Codes = append(b.Codes, shared)
		default:
			b.Codes = append(b.Codes, NewCodes(n, p.Cols, floats))
		}
	}
	return b
}

// token prepares token t of h [N, d].
func (f *Fan) token(e *Env, b *FanBuffers, h []float32, t int) {
	d := f.Projections[0].Cols
	x := h[t*d:][:d]
	if b.X != nil {
		b.Inv[t] = f.Projections[0].norm(e.Set, b.X[t*d:][:d], x)
		return
	}
	for i := range f.Projections {
		p, c := &f.Projections[i], &b.Codes[i]
		if i > 0 && f.Shared {
			c.Out[t] = p.W.Scale / c.Scale[t]
			continue
		}
		p.Quantize(e, c, t, x)
	}
}

// apply runs the products of n tokens.
func (f *Fan) apply(e *Env, b *FanBuffers, n int) {
	for i := range f.Projections {
		var codes *Codes
		if b.Codes != nil {
			codes = &b.Codes[i]
		}
		f.Projections[i].apply(e, b.Out[i], codes, b.X, n)
	}
}

// parts assembles the layers of a packed model by the names of their tensors.
type parts struct{ p *pack.Model }

// projection returns the linear layer of that name; norm names the gain on its input, "" where it has none.
func (a parts) projection(name, norm string, eps float64, away bool) Projection {
	j := Projection{Name: name, NormName: norm, BitLinear: BitLinear{Eps: float32(eps), Away: away}}
	if norm != "" {
		j.Gain = a.p.Dense(norm)
	}
	if j.W = a.p.Matrix(name + ".weight"); j.W != nil {
		j.Rows, j.Cols = j.W.Rows, j.W.Cols
		return j
	}
	for i := range a.p.Tensors {
		if t := &a.p.Tensors[i]; t.Name == name+".weight" {
			j.Dense, j.Rows, j.Cols = a.p.Dense(t.Name), t.Shape[0], t.Shape[1]
		}
	}
	return j
}
