package layer

// TimeMixer is the first half of a block with RWKV-4's token mixer and ternary projections: h + o_proj(σ(r)∘wkv), wkv the
// weighted mean of values that kernel.Set.WKV states. Each of r, k and v reads a mix of the token's row of RMS(h) and the row
// before (token shift).
type TimeMixer struct {
	Norm BlockNorm
	In   [3]BitLinear // receptance, key, value: spec.TimeMixerInputs
	Mix  [3][]float32 // [d], of each: the share of a token's own row
	O    BitLinear
	// Rate [d] is −e^decay, what an exponent falls by from token to token; Bonus [d] what the token's own key gets.
	Rate, Bonus []float32
}

// TimeBuffers holds a TimeMixer's intermediate values for N tokens, shared or one a layer as MixerBuffers.
type TimeBuffers struct {
	Codes  [3]Codes
	In     [3][]float32 // [N, d]: receptance, key and value
	Normed Normed       // with X, which the next token reads too
	Y      []float32    // [N, d]: wkv
	CodesO Codes
	Branch // the output projection
	// States is kept for the backward pass only: [N, 3, d], the recurrence's state before each token.
	States []float32

	none []float32 // [d] of zeros: the row before the first token
	job  timeJob
}

// NewTimeBuffers makes buffers for n tokens. scratch is [n, d], for Out. With floats, the unfused mode's memory too; with
// states, what the backward pass needs.
func (m *TimeMixer) NewTimeBuffers(n int, scratch []float32, floats, states bool) *TimeBuffers {
	d := len(m.Norm.Gain)
	b := &TimeBuffers{
		Normed: newNormed(n, d, true), Y: make([]float32, n*d), CodesO: NewCodes(n, d, floats), Branch: Branch{Out: scratch},
		none: make([]float32, d),
	}
	for i := range b.In {
		b.Codes[i], b.In[i] = NewCodes(n, d, floats), make([]float32, n*d)
	}
	if states {
		b.States = make([]float32, n*3*d)
	}
	j := &b.job
	j.norm, j.enter, j.recur, j.leave = j.normBlock, j.enterBlock, j.recurBlock, j.leaveBlock
	return b
}

// Forward writes h + mixed to dst [N, d], N = B·T; dst may be h. state [B, 4, d] is what each sequence carries: the normalised
// row of the last token, and the three parts of WKV's state, all 0 before the first token. A token whose mask [N] is 0 leaves
// it as it is; nil is all ones. The state is zero again before each token at which starts [N] is true; nil is nowhere.
func (m *TimeMixer) Forward(e *Env, dst, h []float32, B, T int, state, mask []float32, starts []bool, buf *TimeBuffers) {
	N, d := B*T, len(m.Norm.Gain)
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.state, j.mask, j.starts, j.n, j.T = e, m, buf, h, state, mask, starts, N, T

	e.Pool.Run(Blocks(N, rowTokens(N)), j.norm)
	e.Pool.Run(Blocks(N, rowTokens(N)), j.enter)
	for seq := range B {
		copy(state[seq*4*d:][:d], j.before(seq, (seq+1)*T))
	}
	e.MatMuls(N, Product{buf.In[0], m.In[0].W, &buf.Codes[0]}, Product{buf.In[1], m.In[1].W, &buf.Codes[1]}, Product{buf.In[2], m.In[2].W, &buf.Codes[2]})
	e.Pool.Run(B*Blocks(d, channelBlock), j.recur)
	e.Pool.Run(Blocks(N, rowTokens(N)), j.leave)
	e.MatMul(buf.Out, m.O.W, &buf.CodesO, N)
	buf.add(e, dst[:N*d], h[:N*d])
}

// Before returns the row of RMS(h) before token t of sequences of T tokens without a mask, each from its state [B, 4, d]:
// zeros where a document starts.
func (b *TimeBuffers) Before(t, T int, state []float32, starts []bool) []float32 {
	d := len(b.none)
	switch {
	case starts != nil && starts[t]:
		return b.none
	case t%T == 0:
		return state[t/T*4*d:][:d]
	}
	return b.Normed.X[(t-1)*d:][:d]
}

// timeJob holds the arguments of the forward pass in flight, so that no closure is made for it.
type timeJob struct {
	norm, enter, recur, leave func(worker, block int)

	env            *Env
	m              *TimeMixer
	buf            *TimeBuffers
	h, state, mask []float32
	starts         []bool
	n, T           int
}

func (j *timeJob) normBlock(worker, b int) {
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		j.m.Norm.forward(j.env, worker, &j.buf.Normed, j.h, t)
	}
}

// before returns the row that stands before token t of sequence seq, or behind its last one: of the last token that is not
// masked, zeros where a document has started since.
func (j *timeJob) before(seq, t int) []float32 {
	d := len(j.m.Norm.Gain)
	for t--; t >= seq*j.T; t-- {
		if j.mask == nil || j.mask[t] != 0 {
			return j.buf.Normed.X[t*d:][:d]
		}
		if j.starts != nil && j.starts[t] {
			return j.buf.none
		}
	}
	return j.state[seq*4*d:][:d]
}

func (j *timeJob) enterBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	d := len(m.Norm.Gain)
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		before := buf.none
		if j.starts == nil || !j.starts[t] {
			before = j.before(t/j.T, t)
		}
		x := e.Row(worker, d)
		for i := range m.In {
			e.Set.Shift(x, buf.Normed.X[t*d:][:d], before, m.Mix[i])
			m.In[i].Quantize(e, &buf.Codes[i], t, x)
		}
	}
}

func (j *timeJob) recurBlock(_, b int) {
	m, buf, T := j.m, j.buf, j.T
	d := len(m.Norm.Gain)
	perSequence := Blocks(d, channelBlock)
	seq := b / perSequence
	c0, c1 := Span(b%perSequence, channelBlock, d)
	state := j.state[seq*4*d:][d : 4*d]
	// A document is a call of its own: the kernel's bits do not depend on how tokens are split between calls.
	for from, to := seq*T, 0; from < (seq+1)*T; from = to {
		to = DocumentEnd(j.starts, from, (seq+1)*T)
		if j.starts != nil && j.starts[from] {
			for part := range 3 {
				clear(state[part*d+c0 : part*d+c1])
			}
		}
		var mask, states []float32
		if j.mask != nil {
			mask = j.mask[from:to]
		}
		if buf.States != nil {
			states = buf.States[from*3*d:]
		}
		at := from * d
		j.env.Set.WKV(buf.Y[at:], states, state, buf.In[1][at:], buf.In[2][at:], m.Rate, m.Bonus, mask, to-from, d, c0, c1)
	}
}

func (j *timeJob) leaveBlock(worker, b int) {
	e, m, buf := j.env, j.m, j.buf
	d := len(m.Norm.Gain)
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		a := e.Row(worker, d)
		e.Set.Receptance(a, buf.In[0][t*d:][:d], buf.Y[t*d:][:d])
		m.O.Quantize(e, &buf.CodesO, t, a)
	}
}
