package layer

// TokenMixer is the first half of a block: h + o_proj(RMS(g)∘silu(s)), s the gated linear recurrence over the
// projections of RMS(h) (spec §1, §4).
type TokenMixer struct {
	Norm       BlockNorm
	I, F, G, O BitLinear
	GateNorm   []float32 // [D], gain of the gate norm, whose epsilon is the block norm's
	Bound      []float32 // [D], lower bound of the forget gate; nil: none
	// Probabilities [L, d] is the softmax behind all layers' bounds, which their gradient needs; nil without a bound.
	Probabilities []float32
}

// MixerBuffers holds a TokenMixer's intermediate values for N tokens. For inference one is shared by all layers; for
// training each layer has its own, because the backward pass reads it.
type MixerBuffers struct {
	CodesI, CodesF, CodesG, CodesO Codes
	I, Z, G, S                     []float32 // [N, D]: projections and states
	Normed                         Normed
	GateInv                        []float32 // [N]: r of the gate norm
	Branch                                   // the output projection
	// A is kept in the unfused mode only: the gated state [N, D].
	A []float32
	// Shared says that other layers' buffers have the memory of CodesI, CodesF and CodesG too: Requantize makes them again.
	Shared bool

	job mixerJob
}

// ShareCodes lets b use the memory of other's codes of the block's input, which are cheaper to make again than to keep.
func (b *MixerBuffers) ShareCodes(other *MixerBuffers) {
	b.CodesI, b.CodesF, b.CodesG = other.CodesI, other.CodesF, other.CodesG
	b.Shared, other.Shared = true, true
}

// NewMixerBuffers makes buffers for n tokens. scratch is [n, d], for Out. With floats, the unfused mode's memory too.
func (m *TokenMixer) NewMixerBuffers(n int, scratch []float32, floats bool) *MixerBuffers {
	d, D := len(m.Norm.Gain), len(m.GateNorm)
	row := func() []float32 { return make([]float32, n*D) }
	b := &MixerBuffers{
		CodesI: NewCodes(n, d, floats), CodesF: NewCodes(n, d, floats), CodesG: NewCodes(n, d, floats),
		CodesO: NewCodes(n, D, floats), I: row(), Z: row(), G: row(), S: row(),
		Normed: newNormed(n, d, floats), GateInv: make([]float32, n), Branch: Branch{Out: scratch},
	}
	if floats {
		b.A = make([]float32, n*D)
	}
	j := &b.job
	j.quantize, j.recur, j.gate, j.project, j.emit = j.quantizeBlock, j.recurBlock, j.gateBlock, j.projectBlock, j.emitBlock
	return b
}

// Forward writes h + mixed to dst [N, d], N = B·T; dst may be h. state [B, D] is the recurrent state before the first
// token and becomes the one behind the last. mask [N] multiplies what enters the recurrence; nil is all ones. The state
// is zero again before each token at which starts [N] is true, where a document starts; nil is nowhere.
func (m *TokenMixer) Forward(e *Env, dst, h []float32, B, T int, state, mask []float32, starts []bool, buf *MixerBuffers) {
	N, d, D := B*T, len(m.Norm.Gain), len(m.GateNorm)
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.state, j.mask, j.starts, j.n, j.T = e, m, buf, h, state, mask, starts, N, T

	if buf.A == nil && e.Chained(N) {
		j.dst = dst
		e.Pool.Run(Blocks(N, ChainTokens), j.project)
		e.Pool.Run(B*Blocks(D, channelBlock), j.recur)
		e.Pool.Run(Blocks(N, ChainTokens), j.emit)
		return
	}
	e.Pool.Run(Blocks(N, rowTokens(N)), j.quantize)
	e.MatMuls(N, Product{buf.I, m.I.W, &buf.CodesI}, Product{buf.Z, m.F.W, &buf.CodesF}, Product{buf.G, m.G.W, &buf.CodesG})
	e.Pool.Run(B*Blocks(D, channelBlock), j.recur)
	e.Pool.Run(Blocks(N, rowTokens(N)), j.gate)
	e.MatMul(buf.Out, m.O.W, &buf.CodesO, N)
	buf.add(e, dst[:N*d], h[:N*d])
}

// Requantize makes the codes of h [N, d] again, where other layers have overwritten them since Forward.
func (m *TokenMixer) Requantize(e *Env, h []float32, N int, buf *MixerBuffers) {
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.n = e, m, buf, h, N
	e.Pool.Run(Blocks(N, rowTokens(N)), j.quantize)
}

// mixerJob holds the arguments of the forward pass in flight, so that no closure is made for it.
type mixerJob struct {
	quantize, recur, gate, project, emit func(worker, block int)

	env                 *Env
	m                   *TokenMixer
	buf                 *MixerBuffers
	dst, h, state, mask []float32
	starts              []bool
	n, T                int
}

// projectBlock is what comes before the recurrence, for some tokens; emitBlock what comes after it.
func (j *mixerJob) projectBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	t0, t1 := Span(b, ChainTokens, j.n)
	EachTokenBlock(worker, t0, t1, j.quantize)
	e.product(buf.I, m.I.W, &buf.CodesI, t0, t1)
	e.product(buf.Z, m.F.W, &buf.CodesF, t0, t1)
	e.product(buf.G, m.G.W, &buf.CodesG, t0, t1)
}

func (j *mixerJob) emitBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	d := len(m.Norm.Gain)
	t0, t1 := Span(b, ChainTokens, j.n)
	EachTokenBlock(worker, t0, t1, j.gate)
	e.product(buf.Out, m.O.W, &buf.CodesO, t0, t1)
	e.Set.Add(j.dst[t0*d:t1*d], j.h[t0*d:t1*d], buf.Out[t0*d:t1*d])
}

func (j *mixerJob) quantizeBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		x := m.Norm.forward(e, worker, &buf.Normed, j.h, t)
		m.I.Quantize(e, &buf.CodesI, t, x)
		m.F.Quantize(e, &buf.CodesF, t, x)
		m.G.Quantize(e, &buf.CodesG, t, x)
	}
}

func (j *mixerJob) recurBlock(_, b int) {
	D, T := len(j.m.GateNorm), j.T
	perSequence := Blocks(D, channelBlock)
	seq := b / perSequence
	c0, c1 := Span(b%perSequence, channelBlock, D)
	state := j.state[seq*D:][:D]
	// A document is a call of its own: the kernel's bits do not depend on how tokens are split between calls.
	for from, to := seq*T, 0; from < (seq+1)*T; from = to {
		to = DocumentEnd(j.starts, from, (seq+1)*T)
		if j.starts != nil && j.starts[from] {
			clear(state[c0:c1])
		}
		var mask []float32
		if j.mask != nil {
			mask = j.mask[from:to]
		}
		at := from * D
		j.env.Set.Recurrence(j.buf.S[at:], state, j.buf.I[at:], j.buf.Z[at:], j.m.Bound, mask, to-from, D, c0, c1)
	}
}

func (j *mixerJob) gateBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	D := len(m.GateNorm)
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		a := e.Row(worker, D)
		if buf.A != nil {
			a = buf.A[t*D:][:D]
		}
		buf.GateInv[t] = e.Set.OutputGate(a, buf.G[t*D:][:D], buf.S[t*D:][:D], m.GateNorm, m.Norm.Eps)
		m.O.Quantize(e, &buf.CodesO, t, a)
	}
}
