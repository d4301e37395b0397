package op

import (
	"slices"

	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// HeadWeights names the graph inputs of the head, and its ternary tensor.
type HeadWeights struct {
	Norm, WOut Weight
	NormOut    *Weight // nil where the head has no norm beside the final one
	Out        *Linear // nil for a full-precision head
}

// logitsInMemory bounds the logits that exist at a time, in values: tokens are taken in chunks, and the backward pass
// makes each chunk's logits again, which costs additions only.
const logitsInMemory = 1 << 20

type head struct {
	w     *Workspace
	m     *layer.Head
	p     HeadWeights
	buf   *layer.HeadBuffers
	chunk int

	loss     *G.F32
	logits   []float32   // [chunk, V]
	top, sum []float32   // [N]: maximum and Σ e^(x−max) of each token's logits
	nll      []float64   // [N]
	kl       []float64   // [N], where there is a teacher
	taught   [][]float32 // memory of each worker for it

	// Of the run in flight.
	rows      []float32
	t0, n     int
	scale     float32
	h         []float32
	lossBlock func(worker, block int)
	gradBlock func(worker, block int)
	normBlock func(worker, block int)
}

// Loss adds the head and the summed next-token cross-entropy, multiplied by the workspace's LossScale: a scalar.
func Loss(w *Workspace, m *layer.Head, p HeadWeights, h *G.Node) (*G.Node, error) {
	V := w.Config.VocabSize
	x := &head{
		w: w, m: m, p: p, buf: m.NewHeadBuffers(w.N, w.Floats()), chunk: min(w.N, max(1, logitsInMemory/V)),
		loss: G.NewF32(0), top: make([]float32, w.N), sum: make([]float32, w.N), nll: make([]float64, w.N),
	}
	x.logits = make([]float32, x.chunk*V)
	x.lossBlock, x.gradBlock, x.normBlock = x.lossTokens, x.gradTokens, x.normBackward
	n := &part{name: "loss", out: x.loss, forward: x.forward, weights: []Weight{p.Norm, p.WOut}}
	if p.NormOut != nil {
		n.weights = append(n.weights, *p.NormOut)
	}
	if w.Training {
		n.dh, n.backward = Dense(w.scratch.dh, w.N, w.Config.HiddenSize), x.backward
		w.reserveGains(2 * w.Config.HiddenSize)
	}
	return n.node(h)
}

func (x *head) forward(in []G.Value) error {
	w, V := x.w, x.w.Config.VocabSize
	if err := w.Quantiser.Refresh(x.p.Out); err != nil {
		return err
	}
	x.m.Quantize(w.Env, floats(in[0]), w.N, x.buf)
	for x.t0 = 0; x.t0 < w.N; x.t0 += x.chunk {
		x.n = min(x.chunk, w.N-x.t0)
		x.rows = x.logits
		if w.Logits != nil {
			x.rows = w.Logits[x.t0*V:]
		}
		x.m.Logits(w.Env, x.rows, x.t0, x.n, x.buf)
		w.Env.Pool.Run(layer.Blocks(x.n, layer.TokenBlock), x.lossBlock)
	}
	var total float64
	for _, v := range x.nll {
		total += v
	}
	w.LossSum = total
	*x.loss = G.F32(float32(total * float64(w.LossScale)))
	return nil
}

func (x *head) lossTokens(_, b int) {
	V := x.w.Config.VocabSize
	for i, end := layer.Span(b, layer.TokenBlock, x.n); i < end; i++ {
		t := x.t0 + i
		row := x.rows[i*V:][:V]
		var lse float64
		x.top[t], x.sum[t], lse = x.w.Env.Set.LogSumExp(row)
		x.nll[t] = 0
		if label := x.w.Labels[t]; label >= 0 {
			x.nll[t] = lse - float64(row[label])
		}
	}
}

// backward: dlogits = (softmax − onehot)·LossScale·dloss, chunk by chunk through the head's product, then its norm and
// the final norm (spec §2, §3.2, §5).
func (x *head) backward(in []G.Value) error {
	w, V, d := x.w, x.w.Config.VocabSize, x.w.Config.HiddenSize
	x.h = floats(in[0])
	x.scale = w.LossScale * scalar(in[len(in)-1])
	x.makeRoom()
	for x.t0 = 0; x.t0 < w.N; x.t0 += x.chunk {
		x.n = min(x.chunk, w.N-x.t0)
		if x.chunk < w.N { // a single chunk's are still there
			x.m.Logits(w.Env, x.logits, x.t0, x.n, x.buf)
		}
		w.Env.Pool.Run(layer.Blocks(x.n, layer.TokenBlock), x.gradBlock)
		if x.p.Out != nil {
			x.p.Out.backward(w, w.scratch.dNorm[0][x.t0*d:], x.logits[:x.n*V], &x.buf.Codes, x.t0, x.n)
		} else {
			w.denseBackward(x.p.WOut, x.m.Dense, w.scratch.dNorm[0][x.t0*d:], x.logits, x.buf.Normed.X[x.t0*d:], V, d, x.n)
		}
	}
	if w.Targets != nil {
		w.Targets.KLSum, w.Targets.HiddenSum = 0, 0 // the head is the first of the backward pass
		for _, kl := range x.kl {
			w.Targets.KLSum += kl
		}
	}
	w.Env.Pool.Run(layer.Blocks(w.N, layer.TokenBlock), x.normBlock)
	if x.p.NormOut != nil {
		w.addGain(x.p.NormOut.Grad, 2*d, 0)
	}
	w.addGain(x.p.Norm.Grad, 2*d, d)
	return nil
}

// makeRoom makes the memory that a teacher needs.
func (x *head) makeRoom() {
	if x.w.Targets == nil {
		return
	}
	if x.kl == nil {
		x.kl = make([]float64, x.w.N)
		x.taught = make([][]float32, x.w.Env.Pool.Threads())
	}
	for i := range x.taught {
		x.taught[i] = slices.Grow(x.taught[i][:0], x.w.Config.VocabSize+2*x.w.Targets.K)
	}
}

func (x *head) gradTokens(worker, b int) {
	V := x.w.Config.VocabSize
	for i, end := layer.Span(b, layer.TokenBlock, x.n); i < end; i++ {
		t := x.t0 + i
		row := x.logits[i*V:][:V]
		label := x.w.Labels[t]
		if label < 0 || x.w.Targets != nil && x.w.Targets.HiddenOnly {
			clear(row)
			if x.w.Targets != nil {
				x.kl[t] = 0
			}
			continue
		}
		if x.w.Targets == nil {
			x.w.Env.Set.SoftmaxGradient(row, x.top[t], x.sum[t], int(label), x.scale)
			continue
		}
		K := x.w.Targets.K
		room := x.taught[worker][:V+2*K]
		x.kl[t] = x.w.distil(room[:V], row, room[V:V+K], room[V+K:], t, x.scale)
		x.w.Env.Set.SoftmaxGradient(row, x.top[t], x.sum[t], int(label), x.scale*(1-x.w.Targets.Share))
		x.w.Env.Set.Add(row, row, room[:V])
	}
}

func (x *head) normBackward(worker, b int) {
	w, set := x.w, x.w.Env.Set
	d := w.Config.HiddenSize
	dOut, dNorm := w.partialGain(b, 2*d, 0, d), w.partialGain(b, 2*d, d, d)
	inv := x.buf.Normed.Inv
	if x.m.Single {
		inv = x.buf.Codes.Inv
	}
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		dx := w.scratch.dNorm[0][t*d:][:d]
		if x.p.NormOut != nil {
			n, inner := x.m.Norm.Again(set, w.row(worker, 0, d), &x.buf.Normed, x.h, t), w.row(worker, 1, d)
			set.RMSNormBackward(inner, dOut, dx, n, x.m.Out.Gain, x.buf.Codes.Inv[t], false)
			dx = inner
		}
		set.RMSNormBackward(w.scratch.dh[t*d:][:d], dNorm, dx, x.h[t*d:][:d], x.m.Norm.Gain, inv[t], false)
	}
}

// scalar returns the value of a float32 scalar, however the machine wraps it.
func scalar(v G.Value) float32 {
	if f, ok := v.(*G.F32); ok {
		return float32(*f)
	}
	return floats(v)[0]
}
