package op

import (
	G "gorgonia.org/gorgonia"

	"mmfree/ternary/layer"
)

// TimeMixerWeights names the graph inputs of a layer.TimeMixer, and its ternary tensors. Arrays are in the order of its
// inputs: receptance, key, value.
type TimeMixerWeights struct {
	Norm, Decay, Bonus Weight
	Mix, W, NormIn     [3]Weight
	In                 [3]*Linear
	WO, NormO          Weight
	O                  *Linear
}

type timeMixer struct {
	w     *Workspace
	m     *layer.TimeMixer
	l     int
	p     TimeMixerWeights
	buf   *layer.TimeBuffers
	out   []float32
	state carried // [B, 4, d]

	h, dh      []float32    // of the backward pass in flight
	d          [3][]float32 // gradients of receptance, key and value
	dVectors   []float32    // [B, 2, d]: gradients of the rate and of the bonus, by sequences
	leaveBack  func(worker, block int)
	recurBack  func(worker, block int)
	enterBack  func(worker, block int)
	streamBack func(worker, block int)
}

// Scratch memory that all layers' mixers use in turn.
const dTimeVectors = "dTimeVectors"

var dTimeInputs = [3]string{"dReceptance", "dKey", "dValue"}

// timeGains is the number of vectors of width d whose gradients are summed over tokens together: three norms and three mixes
// of the inputs, and the block's norm.
const timeGains = 7

// TimeMixer adds the first half of layer l: h + o_proj(σ(r)∘wkv). buf and out [N, d] are its memory.
func TimeMixer(w *Workspace, m *layer.TimeMixer, l int, p TimeMixerWeights, h *G.Node, buf *layer.TimeBuffers, out []float32) (*G.Node, error) {
	d := w.Config.HiddenSize
	x := &timeMixer{w: w, m: m, l: l, p: p, buf: buf, out: out, state: newCarried(w.B * 4 * d)}
	x.leaveBack, x.recurBack, x.enterBack, x.streamBack = x.leaveBackward, x.recurBackward, x.enterBackward, x.streamBackward
	n := &part{
		name: layer.TapName(m.Name(), l), out: Dense(out, w.N, d), forward: x.forward,
		weights: []Weight{p.Norm, p.Decay, p.Bonus},
	}
	for i := range p.In {
		n.weights = append(n.weights, p.Mix[i], p.W[i], p.NormIn[i])
	}
	n.weights = append(n.weights, p.WO, p.NormO)
	if w.Training {
		n.dh, n.backward = Dense(w.scratch.dh, w.N, d), x.backward
		n.teach = w.teach(n.name, out)
		w.dropOut(&buf.Branch, firstHalf(l))
		w.reserveGains(timeGains * d)
		w.reserve(dTimeVectors, w.B*2*d)
		for _, name := range dTimeInputs {
			w.reserve(name, w.N*d)
		}
	}
	return n.node(h)
}

func (x *timeMixer) forward(in []G.Value) error {
	if err := x.w.Quantiser.Refresh(x.p.In[0], x.p.In[1], x.p.In[2], x.p.O); err != nil {
		return err
	}
	x.state.enter(x.w, x.l)
	x.m.Forward(x.w.Env, x.out, floats(in[0]), x.w.B, x.w.T, x.state.behind, nil, x.w.Starts, x.buf)
	x.state.leave(x.w, x.l)
	x.w.tap(x.m.Name(), x.l, x.out)
	return nil
}

// backward: from the gradient of h' to that of h, in place, since the residual passes it on as it is, and to the weights'
// gradients; steps in reverse.
func (x *timeMixer) backward(in []G.Value) error {
	w, s, buf := x.w, &x.w.scratch, x.buf
	x.h, x.dh = floats(in[0]), floats(in[len(in)-1])
	d := w.Config.HiddenSize
	blocks := layer.Blocks(w.N, layer.TokenBlock)
	x.dVectors = w.shared(dTimeVectors)[:w.B*2*d]
	clear(x.dVectors)
	for i, name := range dTimeInputs {
		x.d[i] = w.shared(name)
	}

	// Output projection, its norm, the receptance: dWide becomes the gradient of wkv.
	x.p.O.backward(w, s.dWide, w.branchGradient(firstHalf(x.l), x.dh, buf.Out), &buf.CodesO, 0, w.N)
	w.Env.Pool.Run(blocks, x.leaveBack)
	w.addGain(x.p.NormO.Grad, timeGains*d, 0)

	// The recurrence. Its rate is −e^decay, whose derivative by the decay is the rate itself.
	w.Env.Pool.Run(w.B*layer.Blocks(d, recurChannels), x.recurBack)
	for b := range w.B {
		for c := range d {
			x.p.Decay.Grad[c] += float32(x.dVectors[2*b*d+c] * x.m.Rate[c])
			x.p.Bonus.Grad[c] += x.dVectors[(2*b+1)*d+c]
		}
	}

	// The three projections, their norms and shifts, the block norm, the residual.
	for i, l := range x.p.In {
		l.backward(w, s.dNorm[i], x.d[i], &buf.Codes[i], 0, w.N)
	}
	w.Env.Pool.Run(blocks, x.enterBack)
	w.Env.Pool.Run(blocks, x.streamBack)
	for i := range x.p.In {
		w.addGain(x.p.NormIn[i].Grad, timeGains*d, i*d)
		w.addGain(x.p.Mix[i].Grad, timeGains*d, (3+i)*d)
	}
	w.addGain(x.p.Norm.Grad, timeGains*d, 6*d)
	return nil
}

func (x *timeMixer) leaveBackward(worker, b int) {
	w, set, buf := x.w, x.w.Env.Set, x.buf
	d := w.Config.HiddenSize
	dNormO := w.partialGain(b, timeGains*d, 0, d)
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		r, y, dy := buf.In[0][t*d:][:d], buf.Y[t*d:][:d], w.scratch.dWide[t*d:][:d]
		a := w.row(worker, 0, d)
		set.Receptance(a, r, y) // cheaper to make again than to keep
		set.RMSNormBackward(dy, dNormO, dy, a, x.m.O.Gain, buf.CodesO.Inv[t], false)
		set.ReceptanceBackward(x.d[0][t*d:][:d], dy, dy, r, y)
	}
}

func (x *timeMixer) recurBackward(_, b int) {
	w, buf := x.w, x.buf
	d, T := w.Config.HiddenSize, w.T
	perSequence := layer.Blocks(d, recurChannels)
	seq := b / perSequence
	c0, c1 := layer.Span(b%perSequence, recurChannels, d)
	vectors := x.dVectors[seq*2*d:]
	// From the last document to the first, as the kernel goes from the last token; no gradient crosses a start.
	for from, to := 0, (seq+1)*T; to > seq*T; to = from {
		from = layer.DocumentStart(w.Starts, seq*T, to)
		at := from * d
		w.Env.Set.WKVBackward(x.d[1][at:], x.d[2][at:], vectors[:d], vectors[d:], w.scratch.dWide[at:], buf.Y[at:], buf.States[3*at:],
			buf.In[1][at:], buf.In[2][at:], x.m.Rate, x.m.Bonus, to-from, d, c0, c1)
	}
}

// enterBackward makes dX̃ of each projection the gradient of what its norm reads, a mix of two rows, and adds to the mixes'.
func (x *timeMixer) enterBackward(worker, b int) {
	w, set, buf := x.w, x.w.Env.Set, x.buf
	d := w.Config.HiddenSize
	var dGain, dMix [3][]float32
	for i := range dGain {
		dGain[i], dMix[i] = w.partialGain(b, timeGains*d, i*d, d), w.partialGain(b, timeGains*d, (3+i)*d, d)
	}
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		own, before := buf.Normed.X[t*d:][:d], buf.Before(t, w.T, x.state.before, w.Starts)
		mixed := w.row(worker, 0, d)
		for i := range dGain {
			set.Shift(mixed, own, before, x.m.Mix[i])
			dx := w.scratch.dNorm[i][t*d:][:d]
			set.RMSNormBackward(dx, dGain[i], dx, mixed, x.m.In[i].Gain, buf.Codes[i].Inv[t], false)
			for j, g := range dx {
				dMix[i][j] += float32(g * (own[j] - before[j]))
			}
		}
	}
}

// streamBackward collects for each row of RMS(h) what the mixes of its own token and of the next one took of it.
func (x *timeMixer) streamBackward(worker, b int) {
	w, s := x.w, &x.w.scratch
	d := w.Config.HiddenSize
	dGain := w.partialGain(b, timeGains*d, 6*d, d)
	for t, end := layer.Span(b, layer.TokenBlock, w.N); t < end; t++ {
		dx, next := w.row(worker, 0, d), t+1
		read := next%w.T != 0 && (w.Starts == nil || !w.Starts[next]) // by the next token
		clear(dx)
		for i, mix := range x.m.Mix {
			for j, g := range s.dNorm[i][t*d:][:d] {
				dx[j] += float32(g * mix[j])
			}
			if !read {
				continue
			}
			for j, g := range s.dNorm[i][next*d:][:d] {
				dx[j] += float32(g * (1 - mix[j]))
			}
		}
		w.Env.Set.RMSNormBackward(x.dh[t*d:][:d], dGain, dx, x.h[t*d:][:d], x.m.Norm.Gain, x.buf.Normed.Inv[t], true)
	}
}
