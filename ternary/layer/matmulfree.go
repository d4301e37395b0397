package layer

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// matMulFreeBlocks assembles the blocks of the MatMul-free model, and what recomputes its lower bounds.
func (m *Model) matMulFreeBlocks(p *pack.Model) {
	c := p.Config
	bit := func(name string) BitLinear { return bitLinear(p, name) }
	var bounds, probabilities []float32
	if lambda := p.Dense(spec.LowerBoundsName); lambda != nil {
		bounds, probabilities = make([]float32, len(lambda)), make([]float32, len(lambda))
		m.update = append(m.update, func() { LowerBounds(bounds, probabilities, lambda, c.NumHiddenLayers, c.HiddenSize) })
	}
	for l := range c.NumHiddenLayers {
		name := spec.Layer(l)
		mixer := &TokenMixer{
			Norm: blockNorm(p, name+"attn_norm.weight"), GateNorm: p.Dense(name + "attn.g_norm.weight"),
			I: bit(name + "attn.i_proj"), F: bit(name + "attn.f_proj"), G: bit(name + "attn.g_proj"), O: bit(name + "attn.o_proj"),
		}
		if bounds != nil && l > 0 { // layer 0 has bound 0 and skips the mix
			mixer.Bound, mixer.Probabilities = bounds[l*c.HiddenSize:][:c.HiddenSize], probabilities
		}
		m.Parts = append(m.Parts, mixer, channelMixer(p, name))
	}
}

// blockNorm returns the norm of that name.
func blockNorm(p *pack.Model, name string) BlockNorm {
	return BlockNorm{Gain: p.Dense(name), Eps: float32(p.Config.RMSNormEps)}
}

// channelMixer returns the GLU of the layer whose tensors' names begin with prefix.
func channelMixer(p *pack.Model, prefix string) *ChannelMixer {
	return &ChannelMixer{
		Norm: blockNorm(p, prefix+"mlp_norm.weight"), Gate: bitLinear(p, prefix+"mlp.gate_proj"),
		Down: bitLinear(p, prefix+"mlp.down_proj"), Dense: p.Dense(prefix + "mlp.down_proj.weight"),
	}
}

// bitLinear returns the ternary layer of that name with the norm of its own.
func bitLinear(p *pack.Model, name string) BitLinear {
	c := &p.Config
	return BitLinear{
		W: p.Matrix(name + ".weight"), Gain: p.Dense(name + ".norm.weight"),
		Eps: float32(c.BitLinearEps), Away: c.ActivationRounding == spec.HalfAway,
	}
}

// Recurrent is the state of a TokenMixer, [B, D], or of a TimeMixer, [B, 4, d]; nothing else.
type Recurrent []float32

// Reset clears the state.
func (s Recurrent) Reset() { clear(s) }

// Copy makes s equal to from, or each of its sequences to the one of from.
func (s Recurrent) Copy(from State) {
	for o, at := from.(Recurrent), 0; at < len(s); at += len(o) {
		copy(s[at:], o)
	}
}
