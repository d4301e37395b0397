package op

import (
	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// MLPWeights names the graph inputs of a ChannelMixer, and its ternary tensors.
type MLPWeights struct {
	Norm, NormGate, NormDown Weight
	WGate, WDown             Weight
	Gate                     *Linear
	Down                     *Linear // nil for a dense down projection
}

type mlp struct {
	w   *Workspace
	m   *layer.ChannelMixer
	l   int
	p   MLPWeights
	buf *layer.MLPBuffers
	out []float32

	h, dh   []float32 // of the backward pass in flight
	dBranch []float32 // the gradient of what the half adds to the residual stream

	activateBack, normBack, chain func(worker, block int)
}

// ChannelMixer adds the second half of layer l: h + down(silu(p)∘q). buf and out [N, d] are its memory.
func ChannelMixer(w *Workspace, m *layer.ChannelMixer, l int, p MLPWeights, h *G.Node, buf *layer.MLPBuffers, out []float32) (*G.Node, error) {
	x := &mlp{w: w, m: m, l: l, p: p, buf: buf, out: out}
	x.activateBack, x.normBack, x.chain = x.activateBackward, x.normBackward, x.chainBackward
	n := &part{
		name: layer.TapName(m.Name(), l), out: Dense(out, w.N, w.Config.HiddenSize), forward: x.forward,
		weights: []Weight{p.Norm, p.WGate, p.NormGate, p.WDown, p.NormDown},
	}
	if w.Training {
		n.dh, n.backward = Dense(w.scratch.dh, w.N, w.Config.HiddenSize), x.backward
		n.teach = w.teach(n.name, out)
		w.reserveGains(w.Config.MLPWidth() + 2*w.Config.HiddenSize)
		if w.Unfused && w.scratch.dPQ == nil {
			w.scratch.dPQ = make([]float32, w.N*2*w.Config.MLPWidth())
		}
		w.dropOut(&buf.Branch, secondHalf(l))
	}
	return n.node(h)
}

func (x *mlp) forward(in []G.Value) error {
	if err := x.w.Quantiser.Refresh(x.p.Gate, x.p.Down); err != nil {
		return err
	}
	x.m.Forward(x.w.Env, x.out, floats(in[0]), x.w.N, x.buf)
	x.w.tap(x.m.Name(), x.l, x.out)
	return nil
}

// backward: from the gradient of h' to that of h, in place, since the residual passes it on as it is, and to the weights'
// gradients; steps in reverse (spec §2, §3.2, §4).
func (x *mlp) backward(in []G.Value) error {
	w, s, buf := x.w, &x.w.scratch, x.buf
	x.h, x.dh = floats(in[0]), floats(in[len(in)-1])
	d, I := w.Config.HiddenSize, w.Config.MLPWidth()
	blocks := layer.Blocks(w.N, layer.TokenBlock)

	x.dBranch = w.branchGradient(secondHalf(x.l), x.dh, buf.Out)
	dPQ := inPlace(s.dPQ, buf.PQ)
	if x.p.Down != nil && w.chained() {
		x.p.Down.outer(w, x.dBranch, &buf.CodesDown, 0, w.N)
		w.Env.Pool.Run(layer.Blocks(w.N, layer.ChainTokens), x.chain)
		x.p.Gate.outer(w, dPQ, &buf.CodesGate, 0, w.N)
	} else {
		if x.p.Down != nil {
			x.p.Down.backward(w, s.dWide, x.dBranch, &buf.CodesDown, 0, w.N)
		} else {
			w.denseBackward(x.p.WDown, x.m.Dense, s.dWide, x.dBranch, buf.A, d, I, w.N)
		}
		w.Env.Pool.Run(blocks, x.activateBack)
		x.p.Gate.backward(w, s.dNorm[2], dPQ, &buf.CodesGate, 0, w.N)
		w.Env.Pool.Run(blocks, x.normBack)
	}
	if x.p.Down != nil {
		w.addGain(x.p.NormDown.Grad, I+2*d, 0)
	}
	w.addGain(x.p.NormGate.Grad, I+2*d, I)
	w.addGain(x.p.Norm.Grad, I+2*d, I+d)
	return nil
}

// chainBackward is what leads from dh to dh for some tokens; dPQ is complete behind it. dX̃ of the gate is not in dWide,
// where it would overwrite what other workers have for other tokens.
func (x *mlp) chainBackward(worker, b int) {
	w, s := x.w, &x.w.scratch
	t0, t1 := layer.Span(b, layer.ChainTokens, w.N)
	x.p.Down.input(w, s.dWide, x.dBranch, t0, t1)
	layer.EachTokenBlock(worker, t0, t1, x.activateBack)
	x.p.Gate.input(w, s.dNorm[2], inPlace(s.dPQ, x.buf.PQ), t0, t1)
	layer.EachTokenBlock(worker, t0, t1, x.normBack)
}

func (x *mlp) activateBackward(worker, b int) {
	w, s, set, buf := x.w, &x.w.scratch, x.w.Env.Set, x.buf
	I := w.Config.MLPWidth()
	dNormDown, dPQ := w.partialGain(b, I+2*x.w.Config.HiddenSize, 0, I), inPlace(s.dPQ, buf.PQ)
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		p, q := buf.PQ[t*2*I:][:I], buf.PQ[t*2*I+I:][:I]
		da := s.dWide[t*I:][:I]
		if x.p.Down != nil {
			a := w.row(worker, 0, I)
			if buf.A != nil {
				a = buf.A[t*I:][:I]
			} else {
				set.SwiGLU(a, p, q)
			}
			set.RMSNormBackward(da, dNormDown, da, a, x.m.Down.Gain, buf.CodesDown.Inv[t], false)
		}
		set.SwiGLUBackward(dPQ[t*2*I:][:I], dPQ[t*2*I+I:][:I], da, p, q)
	}
}

func (x *mlp) normBackward(worker, b int) {
	w, s, set, buf := x.w, &x.w.scratch, x.w.Env.Set, x.buf
	d, I := w.Config.HiddenSize, w.Config.MLPWidth()
	dGate, dNorm := w.partialGain(b, I+2*d, I, d), w.partialGain(b, I+2*d, I+d, d)
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		n, dx := x.m.Norm.Again(set, w.row(worker, 0, d), &buf.Normed, x.h, t), w.row(worker, 1, d)
		set.RMSNormBackward(dx, dGate, s.dNorm[2][t*d:][:d], n, x.m.Gate.Gain, buf.CodesGate.Inv[t], false)
		set.RMSNormBackward(x.dh[t*d:][:d], dNorm, dx, x.h[t*d:][:d], x.m.Norm.Gain, buf.Normed.Inv[t], true)
	}
}
