package layer

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// matMulFreeBlocks assembles the blocks of the MatMul-free model, and what recomputes its lower bounds.
func (m *Model) matMulFreeBlocks(p *pack.Model) {
	c := p.Config
	norm := func(name string) BlockNorm { return BlockNorm{Gain: p.Dense(name), Eps: float32(c.RMSNormEps)} }
	bit := func(name string) BitLinear { return bitLinear(p, name) }
	var bounds, probabilities []float32
	if lambda := p.Dense(spec.LowerBoundsName); lambda != nil {
		bounds, probabilities = make([]float32, len(lambda)), make([]float32, len(lambda))
		m.update = append(m.update, func() { LowerBounds(bounds, probabilities, lambda, c.NumHiddenLayers, c.HiddenSize) })
	}
	for l := range c.NumHiddenLayers {
		name := spec.Layer(l)
		mixer := &TokenMixer{
			Norm: norm(name + "attn_norm.weight"), GateNorm: p.Dense(name + "attn.g_norm.weight"),
			I: bit(name + "attn.i_proj"), F: bit(name + "attn.f_proj"), G: bit(name + "attn.g_proj"), O: bit(name + "attn.o_proj"),
		}
		if bounds != nil && l > 0 { // layer 0 has bound 0 and skips the mix
			mixer.Bound, mixer.Probabilities = bounds[l*c.HiddenSize:][:c.HiddenSize], probabilities
		}
		m.Parts = append(m.Parts, mixer, &ChannelMixer{
			Norm: norm(name + "mlp_norm.weight"), Gate: bit(name + "mlp.gate_proj"),
			Down: bit(name + "mlp.down_proj"), Dense: p.Dense(name + "mlp.down_proj.weight"),
		})
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

// Recurrent is the state of a TokenMixer: [B, D], nothing else.
type Recurrent []float32

// Reset clears the state.
func (s Recurrent) Reset() { clear(s) }

// Copy makes s equal to from, or each of its sequences to the one of from.
func (s Recurrent) Copy(from State) {
	for o, at := from.(Recurrent), 0; at < len(s); at += len(o) {
		copy(s[at:], o)
	}
}
