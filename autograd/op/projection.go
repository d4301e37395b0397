package op

import (
	"mmfree/ternary/layer"
)

// ProjectionWeights names the graph inputs of a layer.Projection, and its ternary tensor.
type ProjectionWeights struct {
	W    Weight
	Norm *Weight // nil where the projection has no norm, or shares another's
	Lin  *Linear // nil for a full-precision tensor
}

// inputs lists the weights in the order of the graph's inputs.
func (p *ProjectionWeights) inputs() []Weight {
	if p.Norm == nil {
		return []Weight{p.W}
	}
	return []Weight{p.W, *p.Norm}
}

// backward adds the gradient of m's weight and writes that of its normalised input [n, Cols] to dx. codes are those of the
// input, or x is the input itself where the weight is full precision.
func (p *ProjectionWeights) backward(w *Workspace, m *layer.Projection, dx, dy []float32, codes *layer.Codes, x []float32, n int) {
	if p.Lin != nil {
		p.Lin.backward(w, dx, dy, codes, 0, n)
		return
	}
	w.denseBackward(p.W, m.Dense, dx, dy, x, m.Rows, m.Cols, n)
}

// denseBackward is the gradient of a full-precision product Y = X·Wᵀ of n tokens, x [n, K] and W [R, K], from dy [n, R]: the weight's
// is added, dX [n, K] is written to dx.
func (w *Workspace) denseBackward(p Weight, dense, dx, dy, x []float32, R, K, n int) {
	if !*p.Frozen {
		w.Env.DenseOuter(p.Grad, dy, x, R, K, n)
	}
	w.Env.DenseTransposed(dx, dense, dy, R, K, n)
}

// outBackward is the norm on the input a of a projection out of a part, for one token: from da [n], the gradient of what the
// projection reads, to that of a, in place, and to the gain's. Of a norm that comes in by degrees it is
// da ← (1−λ)·da + λ·norm'(da).
func (w *Workspace) outBackward(worker int, l *layer.BitLinear, da, dGain, a []float32, inv float32) {
	lambda := w.Env.Blend.Norm(l)
	if lambda == 1 {
		w.Env.Set.RMSNormBackward(da, dGain, da, a, l.Gain, inv, false)
		return
	}
	past := w.row(worker, 1, len(da))
	for j, v := range da {
		past[j], da[j] = float32((1-lambda)*v), float32(lambda*v)
	}
	w.Env.Set.RMSNormBackward(da, dGain, da, a, l.Gain, inv, false)
	w.Env.Set.Add(da, da, past)
}

// FanWeights names the graph inputs of a layer.Fan; of a shared norm the first projection's.
type FanWeights []ProjectionWeights

func (p FanWeights) inputs() (list []Weight) {
	for i := range p {
		list = append(list, p[i].inputs()...)
	}
	return list
}

func (p FanWeights) refresh(w *Workspace) error {
	for i := range p {
		if err := w.Quantiser.Refresh(p[i].Lin); err != nil {
			return err
		}
	}
	return nil
}

// fan is the backward pass of a layer.Fan.
type fan struct {
	w   *Workspace
	m   *layer.Fan
	p   FanWeights
	buf *layer.FanBuffers

	h, dh []float32 // of the pass in flight
	norm  func(worker, block int)
}

func newFan(w *Workspace, m *layer.Fan, p FanWeights, buf *layer.FanBuffers) *fan {
	f := &fan{w: w, m: m, p: p, buf: buf}
	f.norm = f.normBlock
	w.reserveGains(f.norms() * w.Config.HiddenSize)
	return f
}

func (f *fan) norms() int {
	if f.m.Shared {
		return 1
	}
	return len(f.m.Projections)
}

// backward: from the projections' gradients dy, each [N, Rows], to that of the residual stream h, which is added to dh, and
// to the weights' gradients.
func (f *fan) backward(h, dh []float32, dy ...[]float32) {
	w := f.w
	f.h, f.dh = h, dh
	for i := range f.p {
		var codes *layer.Codes
		if f.buf.Codes != nil {
			codes = &f.buf.Codes[i]
		}
		f.p[i].backward(w, &f.m.Projections[i], w.scratch.dNorm[i], dy[i], codes, f.buf.X, w.N)
	}
	w.Env.Pool.Run(layer.Blocks(w.N, layer.TokenBlock), f.norm)
	d := w.Config.HiddenSize
	for i := range f.norms() {
		w.addGain(f.p[i].Norm.Grad, f.norms()*d, i*d)
	}
}

func (f *fan) normBlock(worker, b int) {
	w, set := f.w, f.w.Env.Set
	d, count := w.Config.HiddenSize, f.norms()
	var dGain [len(w.scratch.dNorm)][]float32
	for i := range count {
		dGain[i] = w.partialGain(b, count*d, i*d, d)
	}
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		h, dh := f.h[t*d:][:d], f.dh[t*d:][:d]
		if !f.m.Shared {
			for i := range count {
				set.RMSNormBackward(dh, dGain[i], w.scratch.dNorm[i][t*d:][:d], h, f.m.Projections[i].Gain, f.buf.Codes[i].Inv[t], true)
			}
			continue
		}
		inv := f.buf.Inv
		if inv == nil {
			inv = f.buf.Codes[0].Inv
		}
		sum := w.scratch.dNorm[0][t*d:][:d]
		for i := 1; i < len(f.p); i++ {
			set.Add(sum, sum, w.scratch.dNorm[i][t*d:][:d])
		}
		set.RMSNormBackward(dh, dGain[0], sum, h, f.m.Projections[0].Gain, inv[t], true)
	}
}
