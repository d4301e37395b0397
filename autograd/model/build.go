package model

import (
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
	// Linear returns the ternary tensor of that name, or nil when it is not ternary.
	Linear(tensor string) *op.Linear
}

// Build adds the whole model and its loss to the source's graph and returns the loss. In training every part keeps its
// buffers for the backward pass; in evaluation all layers share them.
func Build(w *op.Workspace, m *layer.Model, src Source) (*G.Node, error) {
	b := &builder{w: w, src: src, scratch: w.Spare(), shared: map[string]any{}}
	if b.scratch == nil {
		b.scratch = make([]float32, w.N*w.Config.HiddenSize)
	}
	h, err := op.Embed(w, m, b.weight(spec.EmbeddingName(w.Config)), b.out())
	if err != nil {
		return nil, err
	}
	for i, part := range m.Parts {
		l := layer.Layer(i)
		switch part := part.(type) {
		case *layer.TokenMixer:
			h, err = b.tokenMixer(part, l, h)
		case *layer.TimeMixer:
			h, err = b.timeMixer(part, l, h)
		case *layer.ChannelMixer:
			h, err = b.channelMixer(part, l, h)
		case *layer.Attention:
			h, err = b.attention(part, l, h)
		case *layer.GatedMLP:
			h, err = b.gatedMLP(part, l, h)
		}
		if err != nil {
			return nil, err
		}
	}
	head := op.HeadWeights{Norm: b.weight(spec.FinalNormName), Out: src.Linear(spec.HeadName)}
	head.WOut = src.Weight(spec.HeadName, spec.ShadowName(w.Config, spec.HeadName))
	if head.Out != nil && !m.Head.Single {
		norm := b.weight(spec.HeadNormName)
		head.NormOut = &norm
	}
	return op.Loss(w, &m.Head, head, h)
}

// builder makes the inputs and the memory of parts.
type builder struct {
	w       *op.Workspace
	src     Source
	scratch []float32
	outs    [2][]float32 // the residual stream behind parts, in turn, where nobody keeps it
	turn    int
	shared  map[string]any // buffers by the parts' names, in evaluation
	first   *layer.MixerBuffers
}

func (b *builder) weight(name string) op.Weight { return b.src.Weight(name, name) }

// out returns memory for the residual stream behind a part.
func (b *builder) out() []float32 {
	b.turn ^= 1
	if b.w.Training || b.outs[b.turn] == nil {
		b.outs[b.turn] = make([]float32, b.w.N*b.w.Config.HiddenSize)
	}
	return b.outs[b.turn]
}

// buffers returns a part's memory: its own in training, else that of the parts of its name.
func buffers[T any](b *builder, name string, make func() T) T {
	if b.w.Training {
		return make()
	}
	if b.shared[name] == nil {
		b.shared[name] = make()
	}
	return b.shared[name].(T)
}
