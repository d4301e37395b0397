package op

import (
	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// MixerWeights names the graph inputs of a TokenMixer, and its ternary tensors.
type MixerWeights struct {
	Norm, NormI, NormF, NormG, NormO, GateNorm Weight
	WI, WF, WG, WO                             Weight
	Bounds                                     *Weight // Λ [L, d], an input node of this layer's own; nil where no bound acts
	I, F, G, O                                 *Linear
}

type mixer struct {
	w     *Workspace
	m     *layer.TokenMixer
	l     int
	p     MixerWeights
	buf   *layer.MixerBuffers
	out   []float32
	state carried // [B, D]

	h, dh   []float32 // of the backward pass in flight
	dBranch []float32 // the gradient of what the half adds to the residual stream

	gateBack, recurBack, normBack, gateChain, normChain func(worker, block int)
}

// TokenMixer adds the first half of layer l: h + o_proj(RMS(g)∘silu(s)). buf and out [N, d] are its memory.
func TokenMixer(w *Workspace, m *layer.TokenMixer, l int, p MixerWeights, h *G.Node, buf *layer.MixerBuffers, out []float32) (*G.Node, error) {
	x := &mixer{
		w: w, m: m, l: l, p: p, buf: buf, out: out,
		state: newCarried(w.B * w.Config.RecurrenceWidth()),
	}
	x.gateBack, x.recurBack, x.normBack = x.gateBackward, x.recurBackward, x.normBackward
	x.gateChain, x.normChain = x.chainGate, x.chainNorm
	n := &part{
		name: layer.TapName(m.Name(), l), out: Dense(out, w.N, w.Config.HiddenSize), forward: x.forward,
		weights: []Weight{p.Norm, p.WI, p.NormI, p.WF, p.NormF, p.WG, p.NormG, p.GateNorm, p.WO, p.NormO},
	}
	if p.Bounds != nil {
		n.weights = append(n.weights, *p.Bounds)
	}
	if w.Training {
		n.dh, n.backward = Dense(w.scratch.dh, w.N, w.Config.HiddenSize), x.backward
		n.teach = w.teach(n.name, out)
		w.mixerScratch()
		w.dropOut(&buf.Branch, firstHalf(l))
	}
	return n.node(h)
}

// mixerScratch makes the backward pass's memory of this kind of part.
func (w *Workspace) mixerScratch() {
	s, d, D := &w.scratch, w.Config.HiddenSize, w.Config.RecurrenceWidth()
	w.reserveGains(max(4*d, 2*D))
	if s.dG != nil {
		return
	}
	floats := func(n int) []float32 { return make([]float32, n) }
	if D > d {
		s.dS = floats(w.N * D)
		s.dNorm[1] = s.dS
	}
	s.dG, s.dBound, s.zero = floats(w.N*D), floats(w.B*D), floats(D)
	if w.Unfused {
		s.dI, s.dZ = floats(w.N*D), floats(w.N*D)
	}
}

func (x *mixer) forward(in []G.Value) error {
	if err := x.w.Quantiser.Refresh(x.p.I, x.p.F, x.p.G, x.p.O); err != nil {
		return err
	}
	x.state.enter(x.w, x.l)
	x.m.Forward(x.w.Env, x.out, floats(in[0]), x.w.B, x.w.T, x.state.behind, nil, x.w.Starts, x.buf)
	x.state.leave(x.w, x.l)
	x.w.tap(x.m.Name(), x.l, x.out)
	return nil
}

// backward: from the gradient of h' to that of h, in place, since the residual passes it on as it is, and to the weights'
// gradients; steps in reverse (spec §2, §3.2, §4).
func (x *mixer) backward(in []G.Value) error {
	w, s, buf := x.w, &x.w.scratch, x.buf
	x.h, x.dh = floats(in[0]), floats(in[len(in)-1])
	d, D := w.Config.HiddenSize, w.Config.RecurrenceWidth()
	blocks := layer.Blocks(w.N, layer.TokenBlock)

	// Output projection, its norm, the output gate.
	x.dBranch = w.branchGradient(firstHalf(x.l), x.dh, buf.Out)
	chains := layer.Blocks(w.N, layer.ChainTokens)
	x.p.O.outer(w, x.dBranch, &buf.CodesO, 0, w.N)
	if w.chained() {
		w.Env.Pool.Run(chains, x.gateChain)
	} else {
		x.p.O.transposed(w, s.dWide, x.dBranch, w.N)
		w.Env.Pool.Run(blocks, x.gateBack)
	}
	w.addGain(x.p.NormO.Grad, 2*D, 0)
	w.addGain(x.p.GateNorm.Grad, 2*D, D)

	// The recurrence and its gates.
	clear(s.dBound)
	w.Env.Pool.Run(w.B*layer.Blocks(D, recurChannels), x.recurBack)
	if x.p.Bounds != nil {
		x.boundsBackward()
	}

	// The three projections, their norms, the block norm, the residual.
	if buf.Shared {
		x.m.Requantize(w.Env, x.h, w.N, buf)
	}
	for i, l := range x.projections() {
		l.linear.outer(w, l.dy, l.codes, 0, w.N)
		if !w.chained() {
			l.linear.transposed(w, s.dNorm[i], l.dy, w.N)
		}
	}
	if w.chained() {
		w.Env.Pool.Run(chains, x.normChain)
	} else {
		w.Env.Pool.Run(blocks, x.normBack)
	}
	for i, g := range []Weight{x.p.NormI, x.p.NormF, x.p.NormG, x.p.Norm} {
		w.addGain(g.Grad, 4*d, i*d)
	}
	return nil
}

// projection is one of the three linears of the block's input, with the gradient of its output.
type projection struct {
	linear *Linear
	dy     []float32
	codes  *layer.Codes
}

func (x *mixer) projections() [3]projection {
	s, buf := &x.w.scratch, x.buf
	return [3]projection{
		{x.p.I, inPlace(s.dI, buf.I), &buf.CodesI}, {x.p.F, inPlace(s.dZ, buf.Z), &buf.CodesF}, {x.p.G, s.dG, &buf.CodesG},
	}
}

// chainGate leads from dh to dG and dS for some tokens, chainNorm from the projections' gradients to dh.
func (x *mixer) chainGate(worker, b int) {
	t0, t1 := layer.Span(b, layer.ChainTokens, x.w.N)
	x.p.O.input(x.w, x.w.scratch.dWide, x.dBranch, t0, t1)
	layer.EachTokenBlock(worker, t0, t1, x.gateBack)
}

func (x *mixer) chainNorm(worker, b int) {
	t0, t1 := layer.Span(b, layer.ChainTokens, x.w.N)
	for i, l := range x.projections() {
		l.linear.input(x.w, x.w.scratch.dNorm[i], l.dy, t0, t1)
	}
	layer.EachTokenBlock(worker, t0, t1, x.normBack)
}

func (x *mixer) gateBackward(worker, b int) {
	w, s, set, buf := x.w, &x.w.scratch, x.w.Env.Set, x.buf
	D := w.Config.RecurrenceWidth()
	dNormO, dGate := w.partialGain(b, 2*D, 0, D), w.partialGain(b, 2*D, D, D)
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		g, st := buf.G[t*D:][:D], buf.S[t*D:][:D]
		a, da := w.row(worker, 0, D), w.row(worker, 1, D)
		if buf.A != nil {
			a = buf.A[t*D:][:D]
		} else {
			set.OutputGate(a, g, st, x.m.GateNorm, x.m.Norm.Eps) // cheaper to make again than to keep
		}
		set.RMSNormBackward(da, dNormO, s.dWide[t*D:][:D], a, x.m.O.Gain, buf.CodesO.Inv[t], false)
		set.OutputGateBackward(s.dG[t*D:][:D], s.dS[t*D:][:D], dGate, da, g, st, x.m.GateNorm, buf.GateInv[t])
	}
}

// recurChannels is the number of channels of one block of the recurrence's backward pass.
const recurChannels = 64

func (x *mixer) recurBackward(_, b int) {
	w, s, buf := x.w, &x.w.scratch, x.buf
	D, T := w.Config.RecurrenceWidth(), w.T
	dI, dZ := inPlace(s.dI, buf.I), inPlace(s.dZ, buf.Z)
	perSequence := layer.Blocks(D, recurChannels)
	seq := b / perSequence
	c0, c1 := layer.Span(b%perSequence, recurChannels, D)
	// From the last document to the first, as the kernel goes from the last token; no gradient crosses a start.
	for from, to := 0, (seq+1)*T; to > seq*T; to = from {
		from = layer.DocumentStart(w.Starts, seq*T, to)
		at, before := from*D, s.zero
		if from == seq*T && (w.Starts == nil || !w.Starts[from]) {
			before = x.state.before[seq*D:][:D]
		}
		w.Env.Set.RecurrenceBackward(dI[at:], dZ[at:], s.dBound[seq*D:][:D], s.dS[at:], buf.S[at:], before,
			buf.I[at:], buf.Z[at:], x.m.Bound, nil, to-from, D, c0, c1)
	}
}

// boundsBackward adds this layer's share of dΛ. The share of one layer's dlb alone is, with p the softmax and lb this
// layer's bound: dΛ_j += p_j·(c_j − dlb·lb), c_j = dlb for 1 ≤ j ≤ ℓ and 0 elsewhere; the sum over layers is spec §4's.
func (x *mixer) boundsBackward() {
	d := x.w.Config.HiddenSize
	for c := range d {
		var dlb float32
		for b := range x.w.B {
			dlb += x.w.scratch.dBound[b*d+c]
		}
		lb := x.m.Bound[c]
		for j := range x.w.Config.NumHiddenLayers {
			share := float32(-dlb * lb)
			if j >= 1 && j <= x.l {
				share = float32(dlb * (1 - lb))
			}
			x.p.Bounds.Grad[j*d+c] += float32(x.m.Probabilities[j*d+c] * share)
		}
	}
}

func (x *mixer) normBackward(worker, b int) {
	w, s, set, buf := x.w, &x.w.scratch, x.w.Env.Set, x.buf
	d := w.Config.HiddenSize
	var dGain [4][]float32 // i, f, g, block norm
	for i := range dGain {
		dGain[i] = w.partialGain(b, 4*d, i*d, d)
	}
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		n, dx := x.m.Norm.Again(set, w.row(worker, 0, d), &buf.Normed, x.h, t), w.row(worker, 1, d)
		set.RMSNormBackward(dx, dGain[0], s.dNorm[0][t*d:][:d], n, x.m.I.Gain, buf.CodesI.Inv[t], false)
		set.RMSNormBackward(dx, dGain[1], s.dNorm[1][t*d:][:d], n, x.m.F.Gain, buf.CodesF.Inv[t], true)
		set.RMSNormBackward(dx, dGain[2], s.dNorm[2][t*d:][:d], n, x.m.G.Gain, buf.CodesG.Inv[t], true)
		set.RMSNormBackward(x.dh[t*d:][:d], dGain[3], dx, x.h[t*d:][:d], x.m.Norm.Gain, buf.Normed.Inv[t], true)
	}
}
