package op

import (
	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// GatedWeights names the graph inputs of a layer.GatedMLP.
type GatedWeights struct {
	In   FanWeights // gate, up
	Down ProjectionWeights
}

type gated struct {
	w   *Workspace
	m   *layer.GatedMLP
	l   int
	p   GatedWeights
	buf *layer.GatedBuffers
	out []float32

	fan          *fan
	dGate, dUp   []float32
	activateBack func(worker, block int)
}

// dGates names the shared memory of the gradients of gate and up.
var dGates = [2]string{"dGate", "dUp"}

// GatedMLP adds the second half of layer l: h + down(act(gate)∘up). buf and out [N, d] are its memory.
func GatedMLP(w *Workspace, m *layer.GatedMLP, l int, p GatedWeights, h *G.Node, buf *layer.GatedBuffers, out []float32) (*G.Node, error) {
	x := &gated{w: w, m: m, l: l, p: p, buf: buf, out: out}
	n := &part{
		name: layer.TapName(m.Name(), l), out: Dense(out, w.N, w.Config.HiddenSize), forward: x.forward,
		weights: append(p.In.inputs(), p.Down.inputs()...),
	}
	if w.Training {
		n.dh, n.backward = Dense(w.scratch.dh, w.N, w.Config.HiddenSize), x.backward
		n.teach = w.teach(n.name, out)
		w.dropOut(&buf.Branch, secondHalf(l))
		x.fan = newFan(w, &m.In, p.In, &buf.Fan)
		x.activateBack = x.activateBackward
		w.reserveGains(m.Down.Cols)
		for _, name := range dGates {
			w.reserve(name, w.N*m.Down.Cols)
		}
	}
	return n.node(h)
}

func (x *gated) forward(in []G.Value) error {
	if err := x.p.In.refresh(x.w); err != nil {
		return err
	}
	if err := x.w.Quantiser.Refresh(x.p.Down.Lin); err != nil {
		return err
	}
	x.m.Forward(x.w.Env, x.out, floats(in[0]), x.w.N, x.buf)
	x.w.tap(x.m.Name(), x.l, x.out)
	return nil
}

// backward: from the gradient of h' to that of h, in place, since the residual passes it on as it is, and to the weights'
// gradients; steps in reverse (spec §2, §3.2, §4).
func (x *gated) backward(in []G.Value) error {
	w := x.w
	h, dh := floats(in[0]), floats(in[len(in)-1])
	x.p.Down.backward(w, &x.m.Down, w.scratch.dWide, w.branchGradient(secondHalf(x.l), dh, x.buf.Out), &x.buf.CodesDown, x.buf.A, w.N)
	x.dGate, x.dUp = w.shared(dGates[0]), w.shared(dGates[1])
	w.Env.Pool.Run(layer.Blocks(w.N, layer.TokenBlock), x.activateBack)
	if x.p.Down.Norm != nil {
		w.addGain(x.p.Down.Norm.Grad, x.m.Down.Cols, 0)
	}
	x.fan.backward(h, dh, x.dGate, x.dUp)
	return nil
}

func (x *gated) activateBackward(worker, b int) {
	w, set, I := x.w, x.w.Env.Set, x.m.Down.Cols
	dGate, dUp := x.dGate, x.dUp
	var dGain []float32
	if x.p.Down.Norm != nil {
		dGain = w.partialGain(b, I, 0, I)
	}
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		da := w.scratch.dWide[t*I:][:I]
		if dGain != nil {
			a := w.row(worker, 0, I)
			if x.buf.A != nil {
				a = x.buf.A[t*I:][:I]
			} else {
				x.m.Activate(w.Env, a, x.buf, t) // cheaper to make again than to keep
			}
			w.outBackward(worker, &x.m.Down.BitLinear, da, dGain, a, x.buf.CodesDown.Inv[t])
		}
		gate, up := x.buf.Fan.Out[0][t*I:][:I], x.buf.Fan.Out[1][t*I:][:I]
		if x.m.ReLU2 {
			set.ReLU2Backward(dGate[t*I:][:I], dUp[t*I:][:I], da, gate, up)
		} else {
			set.SwiGLUBackward(dGate[t*I:][:I], dUp[t*I:][:I], da, gate, up)
		}
	}
}
