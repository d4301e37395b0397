package layer

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
)

// BitLinear is a linear layer with ternary weights and an RMSNorm of its own on its input (spec §3).
type BitLinear struct {
	W    *pack.Matrix // [out, in]
	Gain []float32    // [in], of the inner norm
	Eps  float32      // of the inner norm
	Away bool         // exact halves of activations go away from zero
	// Inserted marks a norm that a full-precision model of the family has not: see Blend.Norm.
	Inserted bool
}

// Codes holds a BitLinear's quantised input: what the product needs, and, with one r a token, all that the fused
// backward pass keeps of it.
type Codes struct {
	Q     []int8    // [N, in]
	Scale []float32 // [N], s: the value of a code is q/s
	Out   []float32 // [N], m/s: what an integer sum is multiplied by
	Inv   []float32 // [N], r of the inner norm
	// Norm and Float are kept in the unfused mode only: the normalised input, and the codes as floats (of a Blend what
	// stands between the two), both [N, in].
	Norm, Float []float32
}

// NewCodes makes room for n tokens of the given width; with floats, for the unfused mode.
func NewCodes(n, width int, floats bool) Codes {
	c := Codes{Q: make([]int8, n*width), Scale: make([]float32, n), Out: make([]float32, n), Inv: make([]float32, n)}
	if floats {
		c.Norm, c.Float = make([]float32, n*width), make([]float32, n*width)
	}
	return c
}

// Quantize normalises and quantises the layer's input x [in] as token t of c. In the unfused mode the normalised values
// pass through memory; the bits are the same.
func (b *BitLinear) Quantize(e *Env, c *Codes, t int, x []float32) {
	if e.Blend.On() {
		e.Blend.input(e, b, c, t, x)
		return
	}
	n := len(x)
	q := c.Q[t*n:][:n]
	if c.Norm == nil {
		c.Inv[t], c.Scale[t] = e.Set.NormQuantize(q, x, b.Gain, b.Eps, b.Away)
	} else {
		norm := c.Norm[t*n:][:n]
		c.Inv[t] = e.Set.RMSNorm(norm, x, b.Gain, b.Eps)
		c.Scale[t] = quant.Quantize(q, norm, b.Away)
		float := c.Float[t*n:][:n]
		for j, v := range q {
			float[j] = float32(v)
		}
	}
	c.Out[t] = b.W.Scale / c.Scale[t]
	if e.Meter != nil {
		e.Meter.count(q)
	}
}
