package layer

// Products of full-precision matrices, shared out. How they are cut changes no bit: see kernel.Set.

const (
	densePacked = 280 // tokens or rows for which a kernel packs the other factor once
	denseRows   = 14  // of one tile of AVX-512, so that shares end with whole tiles
	denseCols   = 32
	denseWork   = 1 << 16 // multiply-accumulates below which one thread is as fast
)

// Share returns the size of blocks in which n items are dealt among so many threads: a multiple of unit, at most most where that
// allows it and at least half of that. Of these it is the largest with which the busiest thread has the fewest items.
func Share(n, threads, most, unit int) int {
	most = max(unit, min(most/unit, Blocks(Blocks(n, threads), unit))*unit)
	size, least := most, busiest(n, threads, most)
	for s := most - unit; s >= max(unit, most/2) && least > Blocks(n, threads); s -= unit {
		if b := busiest(n, threads, s); b < least {
			size, least = s, b
		}
	}
	return size
}

// busiest returns how many of n items the busiest thread has when blocks of a size are dealt one by one, the smallest last.
func busiest(n, threads, size int) int {
	whole, rest := n/size, n%size
	if whole%threads > 0 {
		rest = size // the smallest block goes to a thread that has one less
	}
	return whole/threads*size + rest
}

// Dense computes dst[t, r] = Σ_k w[r,k]·x[t,k] for n tokens: dst [n, R], w [R, K], x [n, K].
func (e *Env) Dense(dst, w, x []float32, R, K, n int) {
	j := e.startDense(denseForward, dst, w, x, R, K, n)
	j.tokens, j.rows = n, R
	if n >= densePacked/2*e.Pool.Threads() || n > R {
		j.tokens = Share(n, e.Pool.Threads(), densePacked, denseRows)
	} else {
		j.rows = Share(R, e.Pool.Threads(), max(densePacked, R), denseCols)
	}
	j.start(Blocks(n, j.tokens) * Blocks(R, j.rows))
}

// DenseTransposed computes dst[t, k] = Σ_r w[r,k]·y[t,r] for n tokens: dst [n, K], w [R, K], y [n, R].
func (e *Env) DenseTransposed(dst, w, y []float32, R, K, n int) {
	j := e.startDense(denseBack, dst, w, y, R, K, n)
	j.tokens = Share(n, e.Pool.Threads(), densePacked, denseRows)
	j.start(Blocks(n, j.tokens))
}

// DenseOuter adds a weight gradient: grad[r, k] += Σ_t dy[t,r]·x[t,k] for n tokens; grad [R, K], dy [n, R], x [n, K].
func (e *Env) DenseOuter(grad, dy, x []float32, R, K, n int) {
	j := e.startDense(denseOuter, grad, dy, x, R, K, n)
	j.rows = Share(R, e.Pool.Threads(), densePacked, denseRows)
	j.start(Blocks(R, j.rows))
}

type denseKind uint8

const (
	denseForward denseKind = iota
	denseBack
	denseOuter
)

// denseJob holds the arguments of the product in flight, so that no closure is made for it.
type denseJob struct {
	run          func(worker, block int)
	env          *Env
	kind         denseKind
	dst, a, b    []float32
	R, K, n      int
	tokens, rows int // of one block
}

func (e *Env) startDense(kind denseKind, dst, a, b []float32, R, K, n int) *denseJob {
	j := &e.dense
	*j = denseJob{run: j.run, env: e, kind: kind, dst: dst, a: a, b: b, R: R, K: K, n: n}
	return j
}

func (j *denseJob) start(blocks int) {
	if j.R*j.K*j.n >= denseWork {
		j.env.Pool.Run(blocks, j.run)
		return
	}
	for b := range blocks {
		j.block(0, b)
	}
}

func (j *denseJob) block(_, b int) {
	set, R, K := j.env.Set, j.R, j.K
	switch j.kind {
	case denseForward:
		perRows := Blocks(R, j.rows)
		t0, t1 := Span(b/perRows, j.tokens, j.n)
		r0, r1 := Span(b%perRows, j.rows, R)
		set.Dense(j.dst[t0*R:], R, j.a, j.b[t0*K:], K, t1-t0, r0, r1)
	case denseBack:
		t0, t1 := Span(b, j.tokens, j.n)
		set.DenseTransposed(j.dst[t0*K:], j.a, j.b[t0*R:], R, K, t1-t0)
	case denseOuter:
		r0, r1 := Span(b, j.rows, R)
		set.OuterFloat(j.dst, j.a, R, nil, j.b, K, j.n, r0, r1)
	}
}
