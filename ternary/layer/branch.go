package layer

// Branch is what half a block adds to the residual stream, for N tokens.
type Branch struct {
	Out []float32 // [N, d]; scratch, which all parts share
	// Drop changes Out before it is added: training's dropout. Nil in inference.
	Drop func(out []float32)
}

// add computes dst = h + Out for values [N·d]; dst may be h.
func (b *Branch) add(e *Env, dst, h []float32) {
	out := b.Out[:len(dst)]
	if b.Drop != nil {
		b.Drop(out)
	}
	e.Add(dst, h, out)
}
