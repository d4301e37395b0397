package layer

// Head is the end of a model: logits = BitLinear(RMS(h)) (spec §1).
type Head struct {
	Norm []float32 // [d], final norm
	Eps  float32
	Out  BitLinear // [V, d]
}

// HeadBuffers holds the head's quantised input for N tokens.
type HeadBuffers struct {
	Codes   Codes
	NormInv []float32 // [N]: r of the final norm
	// X is kept in the unfused mode only: the normalised input [N, d].
	X []float32

	job headJob
}

// NewHeadBuffers makes buffers for n tokens; with floats, the unfused mode's memory too.
func (m *Head) NewHeadBuffers(n int, floats bool) *HeadBuffers {
	d := len(m.Norm)
	b := &HeadBuffers{Codes: NewCodes(n, d, floats), NormInv: make([]float32, n)}
	if floats {
		b.X = make([]float32, n*d)
	}
	b.job.run = b.job.block
	return b
}

// Quantize prepares h [N, d] for Logits.
func (m *Head) Quantize(e *Env, h []float32, N int, buf *HeadBuffers) {
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.n = e, m, buf, h, N
	e.Pool.Run(Blocks(N, TokenBlock), j.run)
}

// Logits writes the logits of tokens [t0, t0+n) to dst [n, V]. Chunks keep logits of a large vocabulary from ever lying
// in memory whole.
func (m *Head) Logits(e *Env, dst []float32, t0, n int, buf *HeadBuffers) {
	d := len(m.Norm)
	part := Codes{Q: buf.Codes.Q[t0*d:], Out: buf.Codes.Out[t0:]}
	buf.job.part = part
	e.MatMul(dst, m.Out.W, &buf.job.part, n)
}

type headJob struct {
	run  func(worker, block int)
	env  *Env
	m    *Head
	buf  *HeadBuffers
	h    []float32
	n    int
	part Codes
}

func (j *headJob) block(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	d := len(m.Norm)
	for t, end := Span(b, TokenBlock, j.n); t < end; t++ {
		x := e.Row(worker, d)
		if buf.X != nil {
			x = buf.X[t*d:][:d]
		}
		buf.NormInv[t] = e.Set.RMSNorm(x, j.h[t*d:][:d], m.Norm, m.Eps)
		m.Out.Quantize(e, &buf.Codes, t, x)
	}
}
