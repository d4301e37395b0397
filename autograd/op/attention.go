package op

import (
	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// AttentionWeights names the graph inputs of a layer.Attention.
type AttentionWeights struct {
	In  FanWeights // q, k, v
	Out ProjectionWeights
}

type attention struct {
	w                  *Workspace
	m                  *layer.Attention
	l                  int
	p                  AttentionWeights
	buf                *layer.AttentionBuffers
	out                []float32
	s                  *layer.KeyValues // of the pass in flight
	d                  [3][]float32     // gradients of q, k and v
	fan                *fan
	scratch            [][]float32 // of each worker
	exitBack, headBack func(worker, block int)
}

// Attention adds the first half of layer l: h + o_proj(attention(q, k, v)). buf and out [N, d] are its memory; s keeps the
// keys and values.
func Attention(w *Workspace, m *layer.Attention, l int, p AttentionWeights, h *G.Node, s *layer.KeyValues, buf *layer.AttentionBuffers, out []float32) (*G.Node, error) {
	x := &attention{w: w, m: m, l: l, p: p, buf: buf, out: out, s: s}
	n := &part{
		name: layer.TapName(m.Name(), l), out: Dense(out, w.N, w.Config.HiddenSize), forward: x.forward,
		weights: append(p.In.inputs(), p.Out.inputs()...),
	}
	if w.Training {
		n.dh, n.backward = Dense(w.scratch.dh, w.N, w.Config.HiddenSize), x.backward
		n.teach = w.teach(n.name, out)
		w.dropOut(&buf.Branch, firstHalf(l))
		x.fan = newFan(w, &m.In, p.In, &buf.Fan)
		x.exitBack, x.headBack = x.exitBackward, x.headBackward
		w.reserveGains(m.Out.Cols)
		for i, name := range dHeads {
			w.reserve(name, w.N*m.In.Projections[i].Rows)
		}
		for range w.Env.Pool.Threads() {
			x.scratch = append(x.scratch, w.each("attention", len(x.scratch), m.Scratch(w.T)))
		}
	}
	return n.node(h)
}

// dHeads names the shared memory of the gradients of q, k and v.
var dHeads = [3]string{"dQ", "dK", "dV"}

func (x *attention) forward(in []G.Value) error {
	if err := x.p.In.refresh(x.w); err != nil {
		return err
	}
	if err := x.w.Quantiser.Refresh(x.p.Out.Lin); err != nil {
		return err
	}
	x.m.Forward(x.w.Env, x.out, floats(in[0]), x.w.B, x.w.T, x.s, nil, x.w.Starts, x.buf)
	x.w.tap(x.m.Name(), x.l, x.out)
	return nil
}

// backward: from the gradient of h' to that of h, in place, since the residual passes it on as it is, and to the weights'
// gradients; steps in reverse (spec §2, §3.2, §10).
func (x *attention) backward(in []G.Value) error {
	w, buf := x.w, x.buf
	h, dh := floats(in[0]), floats(in[len(in)-1])
	x.p.Out.backward(w, &x.m.Out, w.scratch.dWide, w.branchGradient(firstHalf(x.l), dh, buf.Out), &buf.CodesOut, buf.A, w.N)
	if x.p.Out.Norm != nil {
		w.Env.Pool.Run(layer.Blocks(w.N, layer.TokenBlock), x.exitBack)
		w.addGain(x.p.Out.Norm.Grad, x.m.Out.Cols, 0)
	}
	for i, name := range dHeads {
		x.d[i] = w.shared(name)
	}
	w.Env.Pool.Run(w.B*x.m.KeyHeads, x.headBack)
	x.relate()
	x.fan.backward(h, dh, x.d[0], x.d[1], x.d[2])
	return nil
}

// exitBackward is the norm in front of o_proj.
func (x *attention) exitBackward(worker, b int) {
	w, n := x.w, x.m.Out.Cols
	dGain := w.partialGain(b, n, 0, n)
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		da := w.scratch.dWide[t*n:][:n]
		w.outBackward(worker, &x.m.Out.BitLinear, da, dGain, x.buf.A[t*n:][:n], x.buf.CodesOut.Inv[t])
	}
}

func (x *attention) headBackward(worker, b int) {
	w := x.w
	seq, head := b/x.m.KeyHeads, b%x.m.KeyHeads
	x.m.Backward(w.Env.Set, x.d[0], x.d[1], x.d[2], w.scratch.dWide, w.T, x.s, w.Starts, x.buf, seq, head, x.scratch[worker])
}
