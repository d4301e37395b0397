package layer

// Head is the end of a model: logits = BitLinear(RMS(h)) (spec §1).
type Head struct {
	Norm BlockNorm
	Out  BitLinear // [V, d]
}

// HeadBuffers holds the head's quantised input for N tokens.
type HeadBuffers struct {
	Codes  Codes
	Normed Normed

	job headJob
}

// NewHeadBuffers makes buffers for n tokens; with floats, the unfused mode's memory too.
func (m *Head) NewHeadBuffers(n int, floats bool) *HeadBuffers {
	d := len(m.Norm.Gain)
	b := &HeadBuffers{Codes: NewCodes(n, d, floats), Normed: newNormed(n, d, floats)}
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
	d := len(m.Norm.Gain)
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
	for t, end := Span(b, TokenBlock, j.n); t < end; t++ {
		m.Out.Quantize(e, &buf.Codes, t, m.Norm.forward(e, worker, &buf.Normed, j.h, t))
	}
}
