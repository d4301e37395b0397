package layer

import "mmfree/ternary/kernel"

// BlockNorm is the RMSNorm in front of the BitLinears that share a part's input (spec §1: attn_norm, mlp_norm, norm).
type BlockNorm struct {
	Gain []float32 // [d]
	Eps  float32
}

// Normed holds what the backward pass needs of a BlockNorm's N tokens.
type Normed struct {
	Inv []float32 // [N], r
	// X is kept in the unfused mode only: the normalised input [N, d].
	X []float32
}

// newNormed makes room for n tokens of the given width; with floats, for the unfused mode.
func newNormed(n, width int, floats bool) Normed {
	b := Normed{Inv: make([]float32, n)}
	if floats {
		b.X = make([]float32, n*width)
	}
	return b
}

// forward normalises token t of h [N, d] into the worker's scratch row, or where it is kept, and returns the row.
func (m *BlockNorm) forward(e *Env, worker int, b *Normed, h []float32, t int) []float32 {
	d := len(m.Gain)
	x := e.Row(worker, d)
	if b.X != nil {
		x = b.X[t*d:][:d]
	}
	b.Inv[t] = e.Set.RMSNorm(x, h[t*d:][:d], m.Gain, m.Eps)
	return x
}

// Again returns the normalised token t of h [N, d] for the backward pass: where it was kept, else made again in dst [d],
// which is cheaper than keeping it.
func (m *BlockNorm) Again(set *kernel.Set, dst []float32, b *Normed, h []float32, t int) []float32 {
	d := len(m.Gain)
	if b.X != nil {
		return b.X[t*d:][:d]
	}
	set.RMSNorm(dst, h[t*d:][:d], m.Gain, m.Eps)
	return dst
}
