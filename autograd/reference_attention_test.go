package autograd

import (
	"fmt"
	"math"

	"mmfree/ternary/spec"
)

// attentionSequence is sequence for the transformer and BitNet: spec §10 and §11 as plain loops over all earlier tokens.
func (r *reference) attentionSequence(ids []int32) (logits [][]float64) {
	c := r.config
	d := c.HiddenSize
	heads, keys, width := c.Attention()
	table := r.weights[spec.EmbeddingName(c)]
	var h [][]float64
	for _, id := range ids {
		h = append(h, append([]float64{}, table[int(id)*d:][:d]...))
	}
	inner := c.NormPlacement == spec.NormBitLinear
	// linear is a projection of x, which the named norm goes before; full precision has none before its own outputs.
	linear := func(x []float64, norm, name string, out bool) []float64 {
		switch {
		case c.Arch == spec.ArchTransformer && out:
			return product(r.weights[name+".weight"], x)
		case c.Arch == spec.ArchTransformer:
			return product(r.weights[name+".weight"], rms64(x, r.weights[norm+".weight"], c.RMSNormEps))
		case inner:
			return r.bitLinear(x, name)
		}
		n := rms64(x, r.weights[norm+".weight"], c.RMSNormEps)
		if out { // conversion inserts this norm by degrees
			for j := range n {
				n[j] = (1-r.weightShare)*x[j] + r.weightShare*n[j]
			}
		}
		return product(r.weight(name+".weight"), r.row(n))
	}
	for l := range c.NumHiddenLayers {
		p := spec.Layer(l)
		var k, v [][]float64
		for t := range h {
			in := p + "input_layernorm"
			var plain [3][]float64
			for i, letter := range "qkv" {
				plain[i] = linear(h[t], in, fmt.Sprintf("%sself_attn.%c_proj", p, letter), false)
				name := fmt.Sprintf("layers.%d.%c", l, letter)
				r.streams[name] = append(r.streams[name], plain[i]...)
			}
			q := r.rotate(plain[0], t, width)
			for j := range q {
				q[j] /= math.Sqrt(float64(width))
			}
			q = r.trits(q, width)
			k = append(k, r.trits(r.rotate(plain[1], t, width), width))
			v = append(v, plain[2])
			a := make([]float64, heads*width)
			for head := range heads {
				at := head * keys / heads * width
				var total float64
				for s := range k {
					var score float64
					for j := range width {
						score += q[head*width+j] * k[s][at+j]
					}
					e, share := math.Exp(score), math.Exp(score)
					if c.IntegerAttention { // the mean over keys
						e, share = score, 1
					}
					total += share
					for j := range width {
						a[head*width+j] += e * v[s][at+j]
					}
				}
				for j := range width {
					a[head*width+j] /= total
				}
			}
			for j, y := range linear(a, p+"self_attn.attn_sub_norm", p+"self_attn.o_proj", true) {
				h[t][j] += y
			}
		}
		for t := range h {
			in := p + "post_attention_layernorm"
			gate, up := linear(h[t], in, p+"mlp.gate_proj", false), linear(h[t], in, p+"mlp.up_proj", false)
			for j, z := range gate {
				if c.HiddenAct == spec.ActReLU2 {
					up[j] *= max(z, 0) * max(z, 0)
				} else {
					up[j] *= silu64(z)
				}
			}
			for j, y := range linear(up, p+"mlp.ffn_sub_norm", p+"mlp.down_proj", true) {
				h[t][j] += y
			}
		}
		r.record(l, h)
	}
	for t := range h {
		x := rms64(h[t], r.weights[spec.FinalNormName], c.RMSNormEps)
		switch head := spec.ShadowName(c, spec.HeadName); {
		case c.Arch == spec.ArchTransformer || c.LMHead == spec.HeadDense:
			logits = append(logits, product(r.weights[head], x))
		case inner:
			logits = append(logits, r.bitLinear(x, "lm_head"))
		default:
			logits = append(logits, product(r.weight(head), r.row(x)))
		}
	}
	return logits
}

// trits quantises the heads of x, where the model wants it, each by its own mean magnitude.
func (r *reference) trits(x []float64, width int) (y []float64) {
	if !r.config.TernaryAttention {
		return x
	}
	for at := 0; at < len(x); at += width {
		mean := 0.0
		for _, v := range x[at:][:width] {
			mean += math.Abs(v) / float64(width)
		}
		size := mean
		if r.config.IntegerAttention {
			size = 1
		}
		y = append(y, r.step(x[at:][:width], 1, 1/mean, 1, size, math.RoundToEven)...)
	}
	return y
}

// rotate turns the heads of x by the angles of a position.
func (r *reference) rotate(x []float64, position, width int) []float64 {
	y := make([]float64, len(x))
	for at := 0; at < len(x); at += width {
		for j := range width / 2 {
			sin, cos := math.Sincos(float64(position) * math.Pow(r.config.RopeTheta, -2*float64(j)/float64(width)))
			a, b := x[at+j], x[at+width/2+j]
			y[at+j], y[at+width/2+j] = a*cos-b*sin, b*cos+a*sin
		}
	}
	return y
}
