package layer

// ChannelMixer is the second half of a block: h + down(silu(p)∘q), [p, q] the halves of gate_proj(RMS(h)) (spec §1).
type ChannelMixer struct {
	Norm  BlockNorm
	Gate  BitLinear // [2I, d]: gate and up share one tensor and one scale
	Down  BitLinear // [d, I]; its W is nil when DownDense is set
	Dense []float32 // [d, I]: a full-precision down projection without norm (spec.DownDenseUnnormed), else nil
}

// Width returns I.
func (m *ChannelMixer) Width() int { return m.Gate.W.Rows / 2 }

// MLPBuffers holds a ChannelMixer's intermediate values for N tokens, shared or one a layer as MixerBuffers.
type MLPBuffers struct {
	CodesGate, CodesDown Codes
	PQ                   []float32 // [N, 2I]: gate and up halves of each token
	Normed               Normed
	Branch               // the down projection
	// A is kept in the unfused mode and for a dense down projection: silu(p)∘q [N, I].
	A []float32

	job mlpJob
}

// NewMLPBuffers makes buffers for n tokens. scratch is [n, d], for Out. With floats, the unfused mode's memory too.
func (m *ChannelMixer) NewMLPBuffers(n int, scratch []float32, floats bool) *MLPBuffers {
	d, I := len(m.Norm.Gain), m.Width()
	b := &MLPBuffers{
		CodesGate: NewCodes(n, d, floats), PQ: make([]float32, n*2*I), Normed: newNormed(n, d, floats), Branch: Branch{Out: scratch},
	}
	if m.Dense == nil {
		b.CodesDown = NewCodes(n, I, floats)
	}
	if floats || m.Dense != nil {
		b.A = make([]float32, n*I)
	}
	b.job.quantize, b.job.activate, b.job.chain = b.job.quantizeBlock, b.job.activateBlock, b.job.chainBlock
	return b
}

// Forward writes h + MLP(h) to dst [N, d]; dst may be h.
func (m *ChannelMixer) Forward(e *Env, dst, h []float32, N int, buf *MLPBuffers) {
	d := len(m.Norm.Gain)
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.n = e, m, buf, h, N

	if buf.A == nil && e.Chained(N) {
		j.dst = dst
		e.Pool.Run(Blocks(N, ChainTokens), j.chain)
		return
	}
	e.Pool.Run(Blocks(N, rowTokens(N)), j.quantize)
	e.MatMul(buf.PQ, m.Gate.W, &buf.CodesGate, N)
	e.Pool.Run(Blocks(N, rowTokens(N)), j.activate)
	if m.Dense != nil {
		e.Dense(buf.Out, m.Dense, buf.A, d, m.Width(), N)
	} else {
		e.MatMul(buf.Out, m.Down.W, &buf.CodesDown, N)
	}
	buf.add(e, dst[:N*d], h[:N*d])
}

type mlpJob struct {
	quantize, activate, chain func(worker, block int)

	env    *Env
	m      *ChannelMixer
	buf    *MLPBuffers
	dst, h []float32
	n      int
}

// chainBlock is all of Forward for some tokens.
func (j *mlpJob) chainBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	d := len(m.Norm.Gain)
	t0, t1 := Span(b, ChainTokens, j.n)
	EachTokenBlock(worker, t0, t1, j.quantize)
	e.product(buf.PQ, m.Gate.W, &buf.CodesGate, t0, t1)
	EachTokenBlock(worker, t0, t1, j.activate)
	e.product(buf.Out, m.Down.W, &buf.CodesDown, t0, t1)
	e.Set.Add(j.dst[t0*d:t1*d], j.h[t0*d:t1*d], buf.Out[t0*d:t1*d])
}

func (j *mlpJob) quantizeBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		m.Gate.Quantize(e, &buf.CodesGate, t, m.Norm.forward(e, worker, &buf.Normed, j.h, t))
	}
}

func (j *mlpJob) activateBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	I := m.Width()
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		a := e.Row(worker, I)
		if buf.A != nil {
			a = buf.A[t*I:][:I]
		}
		e.Set.SwiGLU(a, buf.PQ[t*2*I:][:I], buf.PQ[t*2*I+I:][:I])
		if m.Dense == nil {
			m.Down.Quantize(e, &buf.CodesDown, t, a)
		}
	}
}
