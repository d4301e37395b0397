package model

import (
	G "gorgonia.org/gorgonia"

	"mmfree/autograd/op"
	"mmfree/ternary/layer"
)

func (b *builder) attention(m *layer.Attention, l int, h *G.Node) (*G.Node, error) {
	p := op.AttentionWeights{In: b.fan(&m.In), Out: b.projection(&m.Out, true)}
	buf := buffers(b, m.Name(), func() *layer.AttentionBuffers { return m.NewAttentionBuffers(b.w.N, b.scratch, b.w.Floats()) })
	// Each part's keys and values are its own in training: the backward pass reads them.
	s := buffers(b, m.Name()+".keys", func() *layer.KeyValues { return m.NewPass(b.w.B, b.w.T) })
	return op.Attention(b.w, m, l, p, h, s, buf, b.out())
}

func (b *builder) gatedMLP(m *layer.GatedMLP, l int, h *G.Node) (*G.Node, error) {
	p := op.GatedWeights{In: b.fan(&m.In), Down: b.projection(&m.Down, true)}
	buf := buffers(b, m.Name(), func() *layer.GatedBuffers { return m.NewGatedBuffers(b.w.N, b.scratch, b.w.Floats()) })
	return op.GatedMLP(b.w, m, l, p, h, buf, b.out())
}

// fan makes the inputs of projections; a norm that all share is the first one's.
func (b *builder) fan(m *layer.Fan) (list op.FanWeights) {
	for i := range m.Projections {
		list = append(list, b.projection(&m.Projections[i], i == 0 || !m.Shared))
	}
	return list
}

func (b *builder) projection(m *layer.Projection, norm bool) op.ProjectionWeights {
	p := op.ProjectionWeights{W: b.weight(m.Name + ".weight"), Lin: b.src.Linear(m.Name + ".weight")}
	if norm && m.NormName != "" {
		n := b.weight(m.NormName)
		p.Norm = &n
	}
	return p
}
