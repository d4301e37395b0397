package layer

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// Head is the end of a model, of one of three forms: a BitLinear with a norm of its own behind the final norm (spec §1),
// one that quantises the final norm's output (§11), or a full-precision product of that (§10).
type Head struct {
	Norm BlockNorm
	// Out is the ternary head [V, d]. Its gain is the final norm's where it has none of its own.
	Out    BitLinear
	Single bool      // the final norm is Out's own, and there is no other
	Dense  []float32 // [V, d] of a full-precision head, else nil
	V      int
}

func newHead(p *pack.Model) Head {
	c := &p.Config
	h := Head{Norm: BlockNorm{Gain: p.Dense(spec.FinalNormName), Eps: float32(c.RMSNormEps)}, Out: bitLinear(p, "lm_head"), V: c.VocabSize}
	switch {
	case h.Out.W == nil:
		h.Dense = p.Dense(spec.ShadowName(*c, spec.HeadName))
	case h.Out.Gain == nil:
		h.Single, h.Out.Gain, h.Out.Eps = true, h.Norm.Gain, h.Norm.Eps
	}
	return h
}

// HeadBuffers holds the head's input for N tokens.
type HeadBuffers struct {
	Codes  Codes  // ternary only
	Normed Normed // X is kept for a full-precision head, too

	job headJob
}

// NewHeadBuffers makes buffers for n tokens; with floats, the unfused mode's memory too.
func (m *Head) NewHeadBuffers(n int, floats bool) *HeadBuffers {
	d := len(m.Norm.Gain)
	b := &HeadBuffers{Normed: newNormed(n, d, floats || m.Dense != nil)}
	if m.Dense == nil {
		b.Codes = NewCodes(n, d, floats)
	}
	b.job.run = b.job.block
	return b
}

// Quantize prepares h [N, d] for Logits.
func (m *Head) Quantize(e *Env, h []float32, N int, buf *HeadBuffers) {
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.n = e, m, buf, h, N
	e.Pool.Run(Blocks(N, rowTokens(N)), j.run)
}

// Logits writes the logits of tokens [t0, t0+n) to dst [n, V]. Chunks keep logits of a large vocabulary from ever lying
// in memory whole.
func (m *Head) Logits(e *Env, dst []float32, t0, n int, buf *HeadBuffers) {
	d := len(m.Norm.Gain)
	if m.Dense != nil {
		e.Dense(dst, m.Dense, buf.Normed.X[t0*d:], m.V, d, n)
		return
	}
	part := Codes{Q: buf.Codes.Q[t0*d:], Out: buf.Codes.Out[t0:]}
	if buf.Codes.Float != nil {
		part.Float = buf.Codes.Float[t0*d:]
	}
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
	d := len(m.Norm.Gain)
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		x := j.h[t*d:][:d]
		if !m.Single {
			x = m.Norm.forward(e, worker, &buf.Normed, j.h, t)
		}
		if m.Dense == nil {
			m.Out.Quantize(e, &buf.Codes, t, x)
		}
	}
}
