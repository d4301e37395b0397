package layer

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/kernel"
)

// Attention is the first half of an attention model's block: h + o_proj(attention(q, k, v)), causal, query heads in groups
// that share keys and values (spec §10). No query's scores exist for more than a block of keys at a time.
//
// A document is its own sequence: its tokens see no key from before its start, positions count from there, and so do the
// blocks of keys. It has the same bits packed behind others and alone.
type Attention struct {
	In              Fan        // q_proj, k_proj, v_proj
	Out             Projection // o_proj
	Heads, KeyHeads int
	Width           int // c, channels of a head
	Positions       int // most tokens of a document
	// Trits makes trits of every query and key, rotated, each times its own mean absolute value. Their gradients pass straight
	// through.
	Trits bool
	// Integer leaves out the softmax behind Trits: a query's output is the mean, over the keys that it sees, of their values
	// times their scores. There queries and keys are bare trits, without their means and without 1/√c, so that a score is a
	// whole number from −c to c, exact in every order. The mean keeps outputs as large at every position; what is constant for a
	// query beside it would not outlive the norm in front of o_proj. The score is linear in both, its gradient passes straight
	// through the rounding of a query times 1/√c and of a key.
	Integer bool

	rope  *rope
	scale float32 // 1/√c
}

// Names of the parts of a block, which taps are called by.
const (
	PartAttention = "attn"
	PartMLP       = "mlp"
)

// AttentionBuffers holds an Attention's intermediate values for N tokens, shared or one a layer as MixerBuffers. By heads
// means [B, Heads, T, c].
type AttentionBuffers struct {
	Fan      FanBuffers
	Q        []float32 // by heads: queries, rotated, times 1/√c
	Top, Sum []float32 // [B, Heads, T]: largest score, and Σ e^(score − top)
	A        []float32 // [N, Heads·c]: the heads' outputs side by side
	CodesOut Codes     // of A; ternary only
	Branch             // the output projection

	acc []float32 // by heads: weighted values
	job attentionJob
}

// NewAttentionBuffers makes buffers for n tokens. scratch is [n, d], for Out. With floats, the unfused mode's memory too.
func (m *Attention) NewAttentionBuffers(n int, scratch []float32, floats bool) *AttentionBuffers {
	wide := n * m.Heads * m.Width
	b := &AttentionBuffers{
		Fan: m.In.newBuffers(n, floats), Q: make([]float32, wide), A: make([]float32, wide), acc: make([]float32, wide),
		Top: make([]float32, n*m.Heads), Sum: make([]float32, n*m.Heads), Branch: Branch{Out: scratch},
	}
	if m.Out.W != nil {
		b.CodesOut = NewCodes(n, m.Out.Cols, floats)
	}
	b.job.enter, b.job.attend, b.job.leave = b.job.enterBlock, b.job.attendHead, b.job.leaveBlock
	return b
}

// Forward writes h + attended to dst [N, d], N = B·T; dst may be h. s holds the tokens before, and the new ones behind the
// call. A token whose mask [N] is 0 is no key, has no position and attends to nothing; nil is all ones. At a token at which
// starts [N] is true a document starts; nil is nowhere.
func (m *Attention) Forward(e *Env, dst, h []float32, B, T int, s *KeyValues, mask []float32, starts []bool, buf *AttentionBuffers) {
	N, d := B*T, m.Out.Rows
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.s, j.mask, j.starts, j.n, j.T = e, m, buf, h, s, mask, starts, N, T
	if s.whole {
		s.Reset()
	}
	if mask != nil {
		clear(buf.A[:N*m.Out.Cols])
	}
	longest := s.Length() + T
	m.rope.grow(longest)
	s.grow(longest)

	m.Project(e, h, N, buf)
	e.Pool.Run(B*m.KeyHeads, j.attend)
	for b := range B {
		s.length[b] = j.documents(b, func(int, int, int, int) {})
	}
	if m.Out.W != nil {
		e.Pool.Run(Blocks(N, rowTokens(N)), j.leave)
	}
	m.Out.apply(e, buf.Out, &buf.CodesOut, buf.A, N)
	buf.add(e, dst[:N*d], h[:N*d])
}

// Project makes queries, keys and values of h [N, d] alone, not rotated: buf.Fan.Out.
func (m *Attention) Project(e *Env, h []float32, N int, buf *AttentionBuffers) {
	j := &buf.job
	j.env, j.m, j.buf, j.h, j.n = e, m, buf, h, N
	e.Pool.Run(Blocks(N, rowTokens(N)), j.enter)
	m.In.apply(e, &buf.Fan, N)
}

// attentionJob holds the arguments of the forward pass in flight, so that no closure is made for it.
type attentionJob struct {
	enter, attend, leave func(worker, block int)

	env     *Env
	m       *Attention
	buf     *AttentionBuffers
	h, mask []float32
	starts  []bool
	s       *KeyValues
	n, T    int
}

func (j *attentionJob) enterBlock(_, b int) {
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		j.m.In.token(j.env, &j.buf.Fan, j.h, t)
	}
}

func (j *attentionJob) leaveBlock(_, b int) {
	for t, end := Span(b, rowTokens(j.n), j.n); t < end; t++ {
		j.m.Out.Quantize(j.env, &j.buf.CodesOut, t, j.buf.A[t*j.m.Out.Cols:][:j.m.Out.Cols])
	}
}

// attendHead runs one sequence and one head of keys, with the query heads that share it.
func (j *attentionJob) attendHead(_, block int) {
	seq, head := block/j.m.KeyHeads, block%j.m.KeyHeads
	j.documents(seq, func(t0, t1, position, slot int) { j.run(seq, head, t0, t1, position, slot) })
}

// documents calls do for each run of tokens [t0, t1) of a sequence that are one document's and not masked, with the
// position of the first one in its document and its slot in the cache. It returns the length of the last document.
func (j *attentionJob) documents(seq int, do func(t0, t1, position, slot int)) int {
	position, base, at := j.s.length[seq], 0, seq*j.T
	masked := func(t int) bool { return j.mask != nil && j.mask[at+t] == 0 }
	for t := 0; t < j.T; {
		if j.starts != nil && j.starts[at+t] {
			position = 0
			if j.s.whole {
				base = t
			}
		}
		for end := DocumentEnd(j.starts, at+t, at+j.T) - at; t < end; {
			if masked(t) {
				t++
				continue
			}
			to := t + 1
			for to < end && !masked(to) {
				to++
			}
			do(t, to, position, base+position)
			position += to - t
			t = to
		}
	}
	return position
}

// run takes tokens [t0, t1) of one document: their keys and values into the cache, then each query over all keys so far.
func (j *attentionJob) run(seq, head, t0, t1, position, slot int) {
	m, buf, set := j.m, j.buf, j.env.Set
	c, n := m.Width, t1-t0
	first := slot - position // slot of the document's start
	for i := range n {
		from := ((seq*j.T+t0+i)*m.KeyHeads + head) * c
		key, value := j.s.Block(seq, head, slot+i, 1)
		m.rope.turn(key, buf.Fan.Out[1][from:][:c], position+i, 1)
		m.round(key)
		copy(value, buf.Fan.Out[2][from:][:c])
	}
	group := m.Heads / m.KeyHeads
	for h := head * group; h < (head+1)*group; h++ {
		at := (seq*m.Heads+h)*j.T + t0
		q, acc := buf.Q[at*c:][:n*c], buf.acc[at*c:][:n*c]
		var top, sum []float32
		if !m.Integer {
			top, sum = buf.Top[at:][:n], buf.Sum[at:][:n]
		}
		clear(acc)
		for i := range n {
			m.rope.turn(q[i*c:][:c], buf.Fan.Out[0][((seq*j.T+t0+i)*m.Heads+h)*c:][:c], position+i, m.scale)
			m.round(q[i*c:][:c])
		}
		for i := range top {
			top[i], sum[i] = kernel.NoKey(), 0
		}
		for k0 := 0; k0 < position+n; k0 += kernel.KeyBlock {
			keys := min(kernel.KeyBlock, position+n-k0)
			k, v := j.s.Block(seq, head, first+k0, keys)
			i := max(0, k0-position) // queries before see nothing of the block
			if m.Integer {
				set.Attend(acc[i*c:], nil, nil, q[i*c:], k, v, c, keys, n-i, position+i-k0+1)
				continue
			}
			set.Attend(acc[i*c:], top[i:], sum[i:], q[i*c:], k, v, c, keys, n-i, position+i-k0+1)
		}
		for i := range n {
			inv := 1 / float32(position+i+1)
			if !m.Integer {
				inv = 1 / sum[i]
			}
			out := buf.A[((seq*j.T+t0+i)*m.Heads+h)*c:][:c]
			for x, v := range acc[i*c:][:c] {
				out[x] = v * inv
			}
		}
	}
}

// round makes trits of a query or a key [c], where they are wanted: round(x/m) within ±1, times m, the mean of |x|; times 1
// where scores are whole numbers.
func (m *Attention) round(x []float32) {
	if !m.Trits {
		return
	}
	var sum float32
	for _, v := range x {
		sum += f32.Abs(v)
	}
	mean := sum / float32(len(x))
	half, size := mean/2, mean
	if m.Integer {
		size = 1
	}
	for i, v := range x {
		switch {
		case v > half:
			x[i] = size
		case v < -half:
			x[i] = -size
		default:
			x[i] = 0
		}
	}
}

// Backward is the gradient of Forward between its projections, for one sequence and one head of keys: from da [N, Heads·c]
// to dq [N, Heads·c], dk and dv [N, KeyHeads·c]. s and buf are as Forward left them. scratch has Scratch floats.
func (m *Attention) Backward(set *kernel.Set, dq, dk, dv, da []float32, T int, s *KeyValues, starts []bool, buf *AttentionBuffers, seq, head int, scratch []float32) {
	c, group := m.Width, m.Heads/m.KeyHeads
	take := func(n int) []float32 {
		part := scratch[:n]
		scratch = scratch[n:]
		return part
	}
	doRows, dqRows, delta := take(T*c), take(T*c), take(T)
	dkRows, dvRows := take(T*c), take(T*c)
	clear(dkRows)
	clear(dvRows)
	for h := head * group; h < (head+1)*group; h++ {
		at := (seq*m.Heads + h) * T
		clear(dqRows)
		for t := range T {
			row := ((seq*T+t)*m.Heads + h) * c
			copy(doRows[t*c:][:c], da[row:])
			delta[t] = f32.Dot(doRows[t*c:][:c], buf.A[row:][:c])
		}
		for from, to := 0, 0; from < T; from = to {
			to = DocumentEnd(starts, seq*T+from, (seq+1)*T) - seq*T
			for t := from; m.Integer && t < to; t++ {
				inv := 1 / float32(t-from+1)
				for x := t * c; x < (t+1)*c; x++ {
					doRows[x] *= inv
				}
			}
			for k0 := from; k0 < to; k0 += kernel.KeyBlock {
				keys := min(kernel.KeyBlock, to-k0)
				k, v := s.Block(seq, head, k0, keys)
				var less, top, sum []float32
				if !m.Integer {
					less, top, sum = delta[k0:], buf.Top[at+k0:], buf.Sum[at+k0:]
				}
				set.AttendBackward(dqRows[k0*c:], dkRows[k0*c:], dvRows[k0*c:], doRows[k0*c:], less, top, sum, buf.Q[(at+k0)*c:], k, v, c, keys, to-k0, 1)
			}
			for t := from; t < to; t++ {
				m.rope.turnBack(dq[((seq*T+t)*m.Heads+h)*c:][:c], dqRows[t*c:][:c], t-from, m.scale)
			}
		}
	}
	for from, to := 0, 0; from < T; from = to {
		to = DocumentEnd(starts, seq*T+from, (seq+1)*T) - seq*T
		for t := from; t < to; t++ {
			row := ((seq*T+t)*m.KeyHeads + head) * c
			m.rope.turnBack(dk[row:][:c], dkRows[t*c:][:c], t-from, 1)
			copy(dv[row:][:c], dvRows[t*c:][:c])
		}
	}
}

// Scratch returns the floats that Backward needs for sequences of T tokens.
func (m *Attention) Scratch(T int) int { return (4*m.Width + 1) * T }
