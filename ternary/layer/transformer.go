package layer

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/spec"
)

// attentionBlocks assembles the blocks of the transformer and of BitNet. Which norms there are follows from the tensors
// that the model has; everything else of the two is the same.
func (m *Model) attentionBlocks(a parts) {
	c := &m.Config
	heads, keys, width := c.Attention()
	away := c.ActivationRounding == spec.HalfAway
	turn := newRope(width, c.RopeTheta)
	for l := range c.NumHiddenLayers {
		p := spec.Layer(l)
		// inserted marks the norms that conversion from a transformer inserts.
		inserted := func(p Projection) Projection {
			p.Inserted = c.NormPlacement == spec.NormSubLN
			return p
		}
		// project returns a projection whose norm is the named shared one where the model has it, else its own, else none.
		project := func(name, shared string) Projection {
			if shared += ".weight"; a.p.Dense(p+shared) != nil {
				return a.projection(p+name, p+shared, c.RMSNormEps, away)
			}
			if own := p + name + ".norm.weight"; a.p.Dense(own) != nil {
				return a.projection(p+name, own, c.BitLinearEps, away)
			}
			return a.projection(p+name, "", c.RMSNormEps, away)
		}
		fan := func(norm string, names ...string) Fan {
			f := Fan{Shared: a.p.Dense(p+norm+".weight") != nil}
			for _, name := range names {
				f.Projections = append(f.Projections, project(name, norm))
			}
			return f
		}
		m.Parts = append(m.Parts,
			&Attention{
				In:    fan("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
				Out:   inserted(project("self_attn.o_proj", "self_attn.attn_sub_norm")),
				Heads: heads, KeyHeads: keys, Width: width, Positions: c.MaxPositionEmbeddings,
				Trits: c.Arch == spec.ArchBitNet && c.TernaryAttention, Integer: c.Arch == spec.ArchBitNet && c.IntegerAttention, rope: turn, scale: 1 / f32.Sqrt(float32(width)),
			},
			&GatedMLP{
				In:    fan("post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj"),
				Down:  inserted(project("mlp.down_proj", "mlp.ffn_sub_norm")),
				ReLU2: c.HiddenAct == spec.ActReLU2,
			})
	}
}
