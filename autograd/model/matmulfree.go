package model

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"mmfree/autograd/op"
	"mmfree/ternary/layer"
	"mmfree/ternary/spec"
)

func (b *builder) tokenMixer(m *layer.TokenMixer, l int, h *G.Node) (*G.Node, error) {
	p, weight, src := spec.Layer(l), b.weight, b.src
	mixer := op.MixerWeights{
		Norm:  weight(p + "attn_norm.weight"),
		NormI: weight(p + "attn.i_proj.norm.weight"), WI: weight(p + "attn.i_proj.weight"), I: src.Linear(p + "attn.i_proj.weight"),
		NormF: weight(p + "attn.f_proj.norm.weight"), WF: weight(p + "attn.f_proj.weight"), F: src.Linear(p + "attn.f_proj.weight"),
		NormG: weight(p + "attn.g_proj.norm.weight"), WG: weight(p + "attn.g_proj.weight"), G: src.Linear(p + "attn.g_proj.weight"),
		NormO: weight(p + "attn.o_proj.norm.weight"), WO: weight(p + "attn.o_proj.weight"), O: src.Linear(p + "attn.o_proj.weight"),
		GateNorm: weight(p + "attn.g_norm.weight"),
	}
	if m.Bound != nil {
		bounds := src.Weight(fmt.Sprintf("%s.%d", spec.LowerBoundsName, l), spec.LowerBoundsName)
		mixer.Bounds = &bounds
	}
	buf := buffers(b, m.Name(), func() *layer.MixerBuffers { return m.NewMixerBuffers(b.w.N, b.scratch, b.w.Floats()) })
	if b.first == nil {
		b.first = buf
	} else if b.w.Training && !b.w.Floats() {
		buf.ShareCodes(b.first)
	}
	return op.TokenMixer(b.w, m, l, mixer, h, buf, b.out())
}

func (b *builder) channelMixer(m *layer.ChannelMixer, l int, h *G.Node) (*G.Node, error) {
	p, weight, src := spec.Layer(l), b.weight, b.src
	mlp := op.MLPWeights{
		Norm:     weight(p + "mlp_norm.weight"),
		NormGate: weight(p + "mlp.gate_proj.norm.weight"), WGate: weight(p + "mlp.gate_proj.weight"), Gate: src.Linear(p + "mlp.gate_proj.weight"),
		NormDown: weight(p + "mlp.down_proj.norm.weight"), WDown: weight(p + "mlp.down_proj.weight"), Down: src.Linear(p + "mlp.down_proj.weight"),
	}
	buf := buffers(b, m.Name(), func() *layer.MLPBuffers { return m.NewMLPBuffers(b.w.N, b.scratch, b.w.Floats()) })
	return op.ChannelMixer(b.w, m, l, mlp, h, buf, b.out())
}
