package autograd

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"mmfree/autograd/op"
)

// binder makes graph inputs over a session's weights, without copies.
type binder struct {
	session  *Session
	graph    *G.ExprGraph
	training bool
	nodes    G.Nodes
}

// Weight implements model.Source.
func (b *binder) Weight(node, name string) op.Weight {
	values, shape := b.session.values(name)
	w := op.Weight{
		Shape: shape,
		Node: G.NewTensor(b.graph, tensor.Float32, len(shape), G.WithName(node), G.WithShape(shape...),
			G.WithValue(op.Dense(values, shape...))),
	}
	if b.training {
		w.Grad, w.Frozen = b.session.grads.Get(name), b.session.frozen[name]
	}
	b.nodes = append(b.nodes, w.Node)
	return w
}

// Linear implements model.Source; it returns nil for a tensor that is not ternary.
func (b *binder) Linear(name string) *op.Linear { return b.session.linears[name] }

// values returns the memory behind a tensor's graph input. A ternary tensor of a model without shadow weights has none:
// its codes are all there is, and its input is an empty stand-in that no op reads.
func (s *Session) values(name string) (values []float32, shape []int) {
	if s.weights != nil {
		i, _ := s.weights.Index(name)
		return s.weights.At(i), s.weights.Tensors[i].Shape
	}
	if v := s.packed.Dense(name); v != nil {
		for _, t := range s.packed.Tensors {
			if t.Name == name {
				return v, t.Shape
			}
		}
	}
	return []float32{0}, []int{1}
}
