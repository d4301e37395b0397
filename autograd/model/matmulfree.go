package model

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"mmfree/autograd/op"
	"mmfree/ternary/layer"
	"mmfree/ternary/spec"
)

// Source gives the graph its weights.
type Source interface {
	// Weight adds a graph input of that name over a tensor, with the gradient's buffer. node differs from tensor where one
	// tensor is read in several places: gorgonia must not add its gradients itself.
	Weight(node, tensor string) op.Weight
	// Linear returns the ternary tensor of that name.
	Linear(tensor string) *op.Linear
}

// MatMulFree adds the whole model and its loss to the source's graph and returns the loss. In training every part keeps
// its buffers for the backward pass; in evaluation all layers share them.
func MatMulFree(w *op.Workspace, m *layer.MatMulFree, src Source) (*G.Node, error) {
	d, N := w.Config.HiddenSize, w.N
	weight := func(name string) op.Weight { return src.Weight(name, name) }

	scratch := w.Spare()
	var outs [2][]float32
	if !w.Training {
		scratch = make([]float32, N*d)
		outs = [2][]float32{make([]float32, N*d), make([]float32, N*d)}
	}
	turn := 0
	out := func() []float32 { // the residual stream behind a part
		if w.Training {
			return make([]float32, N*d)
		}
		turn ^= 1
		return outs[turn]
	}
	var mixerBuf, first *layer.MixerBuffers
	var mlpBuf *layer.MLPBuffers
	floats := w.Training && w.Unfused

	h, err := op.Embed(w, m, weight(spec.EmbeddingsName), out())
	if err != nil {
		return nil, err
	}
	for l := range m.Mixers {
		p := spec.Layer(l)
		if mixerBuf == nil || w.Training {
			mixerBuf = m.Mixers[l].NewMixerBuffers(N, scratch, floats)
			mlpBuf = m.MLPs[l].NewMLPBuffers(N, scratch, floats)
			if first == nil {
				first = mixerBuf
			} else if !floats {
				mixerBuf.ShareCodes(first)
			}
		}
		mixer := op.MixerWeights{
			Norm:  weight(p + "attn_norm.weight"),
			NormI: weight(p + "attn.i_proj.norm.weight"), WI: weight(p + "attn.i_proj.weight"), I: src.Linear(p + "attn.i_proj.weight"),
			NormF: weight(p + "attn.f_proj.norm.weight"), WF: weight(p + "attn.f_proj.weight"), F: src.Linear(p + "attn.f_proj.weight"),
			NormG: weight(p + "attn.g_proj.norm.weight"), WG: weight(p + "attn.g_proj.weight"), G: src.Linear(p + "attn.g_proj.weight"),
			NormO: weight(p + "attn.o_proj.norm.weight"), WO: weight(p + "attn.o_proj.weight"), O: src.Linear(p + "attn.o_proj.weight"),
			GateNorm: weight(p + "attn.g_norm.weight"),
		}
		if m.Mixers[l].Bound != nil {
			bounds := src.Weight(fmt.Sprintf("%s.%d", spec.LowerBoundsName, l), spec.LowerBoundsName)
			mixer.Bounds = &bounds
		}
		if h, err = op.TokenMixer(w, m, l, mixer, h, mixerBuf, out()); err != nil {
			return nil, err
		}
		mlp := op.MLPWeights{
			Norm:     weight(p + "mlp_norm.weight"),
			NormGate: weight(p + "mlp.gate_proj.norm.weight"), WGate: weight(p + "mlp.gate_proj.weight"), Gate: src.Linear(p + "mlp.gate_proj.weight"),
			NormDown: weight(p + "mlp.down_proj.norm.weight"), WDown: weight(p + "mlp.down_proj.weight"), Down: src.Linear(p + "mlp.down_proj.weight"),
		}
		if h, err = op.ChannelMixer(w, &m.MLPs[l], l, mlp, h, mlpBuf, out()); err != nil {
			return nil, err
		}
	}
	head := op.HeadWeights{
		Norm: weight(spec.FinalNormName), NormOut: weight(spec.HeadNormName),
		WOut: src.Weight(spec.HeadName, spec.ShadowName(w.Config, spec.HeadName)), Out: src.Linear(spec.HeadName),
	}
	return op.Loss(w, &m.Head, head, h)
}
