package layer

// GatedMLP is the second half of an attention model's block: h + down_proj(act(gate)∘up), gate and up two projections of
// the residual stream (spec §10, §11).
type GatedMLP struct {
	In    Fan        // gate_proj, up_proj
	Down  Projection // down_proj
	ReLU2 bool       // act is max(z, 0)² in place of silu
}

// GatedBuffers holds a GatedMLP's intermediate values for N tokens, shared or one a layer as MixerBuffers.
type GatedBuffers struct {
	Fan       FanBuffers
	CodesDown Codes // ternary only
	Branch          // the down projection
	// A is kept in the unfused mode and for full-precision projections: act(gate)∘up [N, I].
	A []float32

	job gatedJob
}

// NewGatedBuffers makes buffers for n tokens. scratch is [n, d], for Out. With floats, the unfused mode's memory too.
func (m *GatedMLP) NewGatedBuffers(n int, scratch []float32, floats bool) *GatedBuffers {
	b := &GatedBuffers{Fan: m.In.newBuffers(n, floats), Branch: Branch{Out: scratch}}
	if m.Down.W != nil {
		b.CodesDown = NewCodes(n, m.Down.Cols, floats)
	}
	if floats || m.Down.W == nil {
		b.A = make([]float32, n*m.Down.Cols)
	}
	b.job.enter, b.job.activate = b.job.enterBlock, b.job.activateBlock
	return b
}

// Forward writes h + MLP(h) to dst [N, d]; dst may be h.
func (m *GatedMLP) Forward(e *Env, dst, h []float32, N int, buf *GatedBuffers) {
	d := m.Down.Rows
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.n = e, m, buf, h, N
	e.Pool.Run(Blocks(N, rowTokens(N)), j.enter)
	m.In.apply(e, &buf.Fan, N)
	e.Pool.Run(Blocks(N, rowTokens(N)), j.activate)
	m.Down.apply(e, buf.Out, &buf.CodesDown, buf.A, N)
	buf.add(e, dst[:N*d], h[:N*d])
}

// Activate writes act(gate)∘up of token t to dst [I].
func (m *GatedMLP) Activate(e *Env, dst []float32, buf *GatedBuffers, t int) {
	I := m.Down.Cols
	gate, up := buf.Fan.Out[0][t*I:][:I], buf.Fan.Out[1][t*I:][:I]
	if m.ReLU2 {
		e.Set.ReLU2(dst, gate, up)
	} else {
		e.Set.SwiGLU(dst, gate, up)
	}
}

type gatedJob struct {
	enter, activate func(worker, block int)

	env *Env
	m   *GatedMLP
	buf *GatedBuffers
	h   []float32
	n   int
}

func (j *gatedJob) enterBlock(_, b int) {
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		j.m.In.token(j.env, &j.buf.Fan, j.h, t)
	}
}

func (j *gatedJob) activateBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	I := m.Down.Cols
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		a := e.Row(worker, I)
		if buf.A != nil {
			a = buf.A[t*I:][:I]
		}
		m.Activate(e, a, buf, t)
		if m.Down.W != nil {
			m.Down.Quantize(e, &buf.CodesDown, t, a)
		}
	}
}
