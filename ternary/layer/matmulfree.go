package layer

import (
	"fmt"

	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// MatMulFree is a whole model as its layers, over a pack.Model whose values it uses in place: when training rewrites
// those, the next forward pass sees it (bounds after UpdateBounds).
type MatMulFree struct {
	Config     spec.Config
	Embeddings []float32 // [V, d]
	Mixers     []TokenMixer
	MLPs       []ChannelMixer
	Head       Head

	lambda, bounds []float32
	// Probabilities [L, d] is the softmax behind the lower bounds, which their gradient needs; nil without bounds.
	Probabilities []float32
}

// NewMatMulFree assembles the layers.
func NewMatMulFree(p *pack.Model) *MatMulFree {
	c := p.Config
	norm := func(name string) BlockNorm { return BlockNorm{Gain: p.Dense(name), Eps: float32(c.RMSNormEps)} }
	bit := func(name string) BitLinear {
		return BitLinear{
			W: p.Matrix(name + ".weight"), Gain: p.Dense(name + ".norm.weight"),
			Eps: float32(c.BitLinearEps), Away: c.ActivationRounding == spec.HalfAway,
		}
	}
	m := &MatMulFree{Config: c, Embeddings: p.Dense(spec.EmbeddingsName)}
	if m.lambda = p.Dense(spec.LowerBoundsName); m.lambda != nil {
		m.bounds, m.Probabilities = make([]float32, len(m.lambda)), make([]float32, len(m.lambda))
	}
	for l := range c.NumHiddenLayers {
		name := spec.Layer(l)
		mixer := TokenMixer{
			Norm: norm(name + "attn_norm.weight"), GateNorm: p.Dense(name + "attn.g_norm.weight"),
			I: bit(name + "attn.i_proj"), F: bit(name + "attn.f_proj"), G: bit(name + "attn.g_proj"), O: bit(name + "attn.o_proj"),
		}
		if m.bounds != nil && l > 0 { // layer 0 has bound 0 and skips the mix
			mixer.Bound = m.bounds[l*c.HiddenSize:][:c.HiddenSize]
		}
		m.Mixers = append(m.Mixers, mixer)
		m.MLPs = append(m.MLPs, ChannelMixer{
			Norm: norm(name + "mlp_norm.weight"), Gate: bit(name + "mlp.gate_proj"),
			Down: bit(name + "mlp.down_proj"), Dense: p.Dense(name + "mlp.down_proj.weight"),
		})
	}
	m.Head = Head{Norm: norm(spec.FinalNormName), Out: bit("lm_head")}
	m.UpdateBounds()
	return m
}

// UpdateBounds recomputes the lower bounds after their parameter has changed.
func (m *MatMulFree) UpdateBounds() {
	if m.lambda != nil {
		LowerBounds(m.bounds, m.Probabilities, m.lambda, m.Config.NumHiddenLayers, m.Config.HiddenSize)
	}
}

// Embed writes the embeddings of ids to dst [N, d]. Every id is below V.
func (m *MatMulFree) Embed(dst []float32, ids []int32) {
	d := m.Config.HiddenSize
	for t, id := range ids {
		copy(dst[t*d:][:d], m.Embeddings[int(id)*d:][:d])
	}
}

// TapName names the residual stream behind a part of a model: "embeddings", or a half ("attn", "mlp") of layer l. Both
// paths label what they compare with it.
func TapName(part string, l int) string {
	if part == "embeddings" {
		return part
	}
	return fmt.Sprintf("layers.%d.%s", l, part)
}
