package op

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"

	"github.com/chewxy/hm"
	_ "go4.org/unsafe/assume-no-moving-gc" // pinned in go.mod: the version gorgonia asks for panics at start on new Go
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// fused is the one gorgonia op of this project: a function over persistent memory. Its name is its identity: gorgonia
// merges nodes by hash alone, so every op of a graph has a name of its own.
type fused struct {
	name string
	in   []tensor.Shape
	out  G.Value // a persistent *tensor.Dense or *G.F32, returned by every run
	do   func(in []G.Value) error
	wrt  []bool // which inputs the op is differentiable in; nil: none
	grad func(in G.Nodes, y, dy *G.Node) (G.Nodes, error)
}

var _ G.SDOp = (*fused)(nil)

// Arity, and the methods below, are gorgonia's Op interface.
func (o *fused) Arity() int { return len(o.in) }

// Type is made anew for each call: gorgonia recycles it.
func (o *fused) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, s := range o.in {
		types = append(types, typeOf(s))
	}
	return hm.NewFnType(append(types, typeOf(o.out.Shape()))...)
}

func typeOf(s tensor.Shape) hm.Type {
	if s.Dims() == 0 {
		return tensor.Float32
	}
	return G.TensorType{Dims: s.Dims(), Of: tensor.Float32}
}

// InferShape is the only place where gorgonia lets shapes be checked.
func (o *fused) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	if len(in) != len(o.in) {
		return nil, fmt.Errorf("%s: %d inputs, wants %d", o.name, len(in), len(o.in))
	}
	for i, d := range in {
		if s, ok := d.(tensor.Shape); !ok || !s.Eq(o.in[i]) {
			return nil, fmt.Errorf("%s: input %d has shape %v, wants %v", o.name, i, d, o.in[i])
		}
	}
	return o.out.Shape().Clone(), nil
}

// Do runs on a goroutine of the machine's own, where a panic would kill the process: it becomes an error here. Every
// error is an *Error.
func (o *fused) Do(in ...G.Value) (v G.Value, err error) {
	debug.SetPanicOnFault(true) // codes may lie in a file that is cut short under us
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			v, err = nil, &Error{Op: o.name, Err: fmt.Errorf("panic: %w", r)}
		default:
			v, err = nil, &Error{Op: o.name, Err: fmt.Errorf("panic: %v", r)}
		}
	}()
	if o.do != nil {
		if err := o.do(in); err != nil {
			return nil, &Error{Op: o.name, Err: err}
		}
	}
	return o.out, nil
}

// Error is what went wrong in which op.
type Error struct {
	Op  string
	Err error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the op's own error.
func (e *Error) Unwrap() error { return e.Err }

// Failure returns the op's error from what a machine's RunAll returned. The machine wraps it in a type without Unwrap,
// behind which errors.Is sees nothing, and in a list of its registers.
func Failure(err error) error {
	var contextual interface{ Err() error }
	if errors.As(err, &contextual) {
		err = contextual.Err()
	}
	var failed *Error
	if errors.As(err, &failed) {
		return failed
	}
	return err
}

// ReturnsPtr, and the four below, tell the compiler that results are our own memory and nothing is overwritten.
func (o *fused) ReturnsPtr() bool     { return true }
func (o *fused) CallsExtern() bool    { return false }
func (o *fused) OverwritesInput() int { return -1 }
func (o *fused) String() string       { return o.name }
func (o *fused) WriteHash(h hash.Hash) {
	h.Write([]byte(o.name)) // hash.Hash never fails to write
}

// Hashcode hashes the name.
func (o *fused) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// DiffWRT says which inputs get a gradient.
func (o *fused) DiffWRT(n int) []bool {
	if o.wrt == nil {
		return make([]bool, n)
	}
	return o.wrt
}

// SymDiff adds the backward nodes.
func (o *fused) SymDiff(in G.Nodes, y, dy *G.Node) (G.Nodes, error) { return o.grad(in, y, dy) }

// apply adds the op to the graph of its inputs.
func apply(o *fused, in ...*G.Node) (*G.Node, error) {
	for _, n := range in {
		o.in = append(o.in, n.Shape())
	}
	n, err := G.ApplyOpWithName(o, o.name, in...)
	if err == nil && n.Op() != G.Op(o) {
		return nil, fmt.Errorf("two ops are called %s: the second would never run", o.name)
	}
	return n, err
}

// part is one part of a model as an op: a forward function, a backward function, and for each weight it reads the buffer
// of its gradient.
type part struct {
	name     string
	out      G.Value
	forward  func(in []G.Value) error
	backward func(in []G.Value) error // nil for evaluation graphs; in is forward's inputs, the output, its gradient
	dh       *tensor.Dense            // gradient of input 0, the same memory in all parts; nil when input 0 is a weight
	weights  []Weight                 // the other inputs
	teach    func(dh []float32)       // adds a teacher's gradient of the output to dh before backward runs; nil: none
}

// node adds the part to the graph behind input h (nil: the part has only weights). An op returns one value, so the
// backward pass is one node that returns dh, and "take" nodes behind it hand out the weights' gradients.
func (p *part) node(h *G.Node) (*G.Node, error) {
	var in G.Nodes
	if h != nil {
		in = append(in, h)
	}
	for _, w := range p.weights {
		in = append(in, w.Node)
	}
	o := &fused{name: p.name, out: p.out, do: p.forward, grad: p.gradient}
	if p.backward != nil {
		o.wrt = make([]bool, len(in))
		for i := range o.wrt {
			o.wrt[i] = true
		}
	}
	return apply(o, in...)
}

func (p *part) gradient(in G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	// y is a child too: the backward pass reads what the forward pass left in its buffers.
	children := append(append(G.Nodes{}, in...), y, dy)
	takes := p.weights
	var grads G.Nodes
	back := &fused{name: p.name + ".backward", do: p.backward}
	if p.teach != nil {
		back.do = func(in []G.Value) error {
			p.teach(floats(in[len(in)-1]))
			return p.backward(in)
		}
	}
	if p.dh != nil {
		back.out = p.dh
	} else {
		back.out, takes = Dense(takes[0].Grad, takes[0].Shape...), takes[1:]
	}
	first, err := apply(back, children...)
	if err != nil {
		return nil, err
	}
	grads = append(grads, first)
	for _, w := range takes {
		take, err := apply(&fused{name: p.name + ".backward." + w.Node.Name(), out: Dense(w.Grad, w.Shape...)}, first)
		if err != nil {
			return nil, err
		}
		grads = append(grads, take)
	}
	return grads, nil
}

// Weight is a graph input over a tensor of the model, with the buffer that its gradient is added to.
type Weight struct {
	Node   *G.Node
	Grad   []float32 // nil in evaluation graphs, as Frozen
	Frozen *bool     // the session's: nobody needs the gradient, and a matrix's or a table's is left as it is
	Shape  []int
}

// Dense wraps a slice as a tensor without copying it.
func Dense(s []float32, dims ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(dims...), tensor.WithBacking(s))
}

// floats returns a value's own memory; Data would allocate.
func floats(v G.Value) []float32 { return v.(*tensor.Dense).Float32s() }
