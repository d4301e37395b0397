package bench

import (
	"sync/atomic"
	"time"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

// stopwatch sums up where a Set's time goes, over all threads.
type stopwatch struct {
	clocks [kernels]clock
	// overhead is what reading the clock adds to each call's time, cost what timing adds to whoever calls, both at least.
	overhead, cost time.Duration
}

// clock is one kernel's time, calls and work, on cache lines of its own.
type clock struct {
	ns, calls, work atomic.Int64
	_               [104]byte
}

// The kernels of a Set that do work worth timing, in its order.
const (
	matMul = iota
	matVec
	prepare
	matMulFloat
	outerCodes
	outerFloat
	outerInts
	dense
	denseTransposed
	rmsNorm
	normQuantize
	rmsNormBackward
	recurrence
	recurrenceBackward
	outputGate
	outputGateBackward
	swiGLU
	swiGLUBackward
	shift
	wkv
	wkvBackward
	receptance
	receptanceBackward
	add
	exponentials
	logSumExp
	softmaxGradient
	trits
	encode
	encodeTransposed
	absSum
	squareSum
	adamW
	kernels
)

// kernelRow says how a kernel's work is counted.
type kernelRow struct {
	name  string
	limit string
	// bytes of rows read and written, a value; gains stay in the first-level cache. Where memory is the limit of reading,
	// bytes read alone. 0: work is not in values.
	bytes int
}

// kernelTable is in the constants' order. Work is in multiply-accumulates where the limit is limitFused, else in bytes.
var kernelTable = [kernels]kernelRow{
	matMul:             {"MatMul", limitFused, 0},
	matVec:             {"MatVec", limitWeights, 0},
	prepare:            {"Prepare", limitCache, 0},
	matMulFloat:        {"MatMulFloat", limitFused, 0},
	outerCodes:         {"OuterCodes", limitFused, 0},
	outerFloat:         {"OuterFloat", limitFused, 0},
	outerInts:          {"OuterInts", limitFused, 0},
	dense:              {"Dense", limitFused, 0},
	denseTransposed:    {"DenseTransposed", limitFused, 0},
	rmsNorm:            {"RMSNorm", limitCache, 8},
	normQuantize:       {"NormQuantize", limitCache, 5},
	rmsNormBackward:    {"RMSNormBackward", limitCache, 12},
	recurrence:         {"Recurrence", limitCache, 12},
	recurrenceBackward: {"RecurrenceBackward", limitCache, 24},
	outputGate:         {"OutputGate", limitCache, 12},
	outputGateBackward: {"OutputGateBackward", limitCache, 20},
	swiGLU:             {"SwiGLU", limitCache, 12},
	swiGLUBackward:     {"SwiGLUBackward", limitCache, 20},
	shift:              {"Shift", limitCache, 12},
	wkv:                {"WKV", limitCache, 24}, // three values of state a token and channel
	wkvBackward:        {"WKVBackward", limitCache, 36},
	receptance:         {"Receptance", limitCache, 12},
	receptanceBackward: {"ReceptanceBackward", limitCache, 20},
	add:                {"Add", limitCache, 12},
	exponentials:       {"Exponentials", limitCache, 8},
	logSumExp:          {"LogSumExp", limitCache, 4},
	softmaxGradient:    {"SoftmaxGradient", limitCache, 8},
	trits:              {"Trits", limitCache, 5},
	encode:             {"Encode", limitCache, 1},
	encodeTransposed:   {"EncodeTransposed", limitCache, 1},
	absSum:             {"AbsSum", limitCache, 4},
	squareSum:          {"SquareSum", limitCache, 4},
	adamW:              {"AdamW", limitMemory, 16},
}

// ended adds a call that began at start and did so much work.
func (c *clock) ended(start time.Time, work int) {
	c.ns.Add(int64(time.Since(start)))
	c.calls.Add(1)
	c.work.Add(int64(work))
}

// values is ended for kernel k and its work in values.
func (w *stopwatch) values(k int, start time.Time, n int) {
	w.clocks[k].ended(start, n*kernelTable[k].bytes)
}

// reset forgets what was measured and learns the overhead: the least of all rounds so far, since another program may have the core, or half of it, for as
// long as some of them last. What is too little stays in the kernels' times, where too much would make the whole less than its parts.
func (w *stopwatch) reset() {
	const rounds, calls = 20, 1000
	c := &w.clocks[0]
	for range rounds {
		c.ns.Store(0)
		start := time.Now()
		for range calls {
			c.ended(time.Now(), 0)
		}
		cost, overhead := time.Since(start)/calls, time.Duration(c.ns.Load()/calls)
		if w.cost == 0 || cost < w.cost {
			w.cost, w.overhead = cost, overhead
		}
	}
	for i := range w.clocks {
		c := &w.clocks[i]
		c.ns.Store(0)
		c.calls.Store(0)
		c.work.Store(0)
	}
}

// time returns what kernel k took on all threads, without the clock's own time.
func (w *stopwatch) time(k int) time.Duration {
	c := &w.clocks[k]
	return max(0, time.Duration(c.ns.Load())-time.Duration(c.calls.Load())*w.overhead)
}

// rowsOf returns the number of rows of superblocks [s0, s1).
func rowsOf(m *pack.Matrix, s0, s1 int) int {
	return min(s1*pack.SuperblockRows, m.Rows) - s0*pack.SuperblockRows
}

// wrap returns a set that does what set does and is timed.
func (w *stopwatch) wrap(set *kernel.Set) *kernel.Set {
	s := *set
	s.MatMul = func(dst []float32, ldd int, m *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
		start := time.Now()
		set.MatMul(dst, ldd, m, s0, s1, x, scale, n)
		w.clocks[matMul].ended(start, rowsOf(m, s0, s1)*m.Cols*n)
	}
	s.Prepare = func(prepared []int16, x []int8) {
		start := time.Now()
		set.Prepare(prepared, x)
		w.clocks[prepare].ended(start, len(x)+2*kernel.PreparedLen(len(x)))
	}
	s.MatVec = func(dst []float32, m *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
		start := time.Now()
		set.MatVec(dst, m, s0, s1, prepared, scale)
		w.clocks[matVec].ended(start, 2*pack.WordsPerRow(m.Cols)*pack.PaddedRows(rowsOf(m, s0, s1)))
	}
	s.PrepareFew = func(prepared []int16, x []int8, K, n, j0, j1 int) {
		start := time.Now()
		set.PrepareFew(prepared, x, K, n, j0, j1)
		w.clocks[prepare].ended(start, n*(j1-j0)*(pack.TritsPerWord+2*kernel.PreparedLen(1)))
	}
	s.MatVecFew = func(dst []float32, ldd int, m *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
		start := time.Now()
		set.MatVecFew(dst, ldd, m, s0, s1, prepared, scale, n)
		w.clocks[matVec].ended(start, 2*pack.WordsPerRow(m.Cols)*pack.PaddedRows(rowsOf(m, s0, s1)))
	}
	s.MatMulFloat = func(dst []float32, ldd int, m *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
		start := time.Now()
		set.MatMulFloat(dst, ldd, m, s0, s1, y, n, scale)
		w.clocks[matMulFloat].ended(start, rowsOf(m, s0, s1)*m.Cols*n)
	}
	s.OuterCodes = func(dst, a []float32, lda int, sc []float32, q []int8, K, n, o0, o1 int) {
		start := time.Now()
		set.OuterCodes(dst, a, lda, sc, q, K, n, o0, o1)
		w.clocks[outerCodes].ended(start, K*n*(o1-o0))
	}
	s.OuterFloat = func(dst, a []float32, lda int, sc, x []float32, K, n, o0, o1 int) {
		start := time.Now()
		set.OuterFloat(dst, a, lda, sc, x, K, n, o0, o1)
		w.clocks[outerFloat].ended(start, K*n*(o1-o0))
	}
	s.OuterInts = func(dst, a []float32, lda int, sc []float32, q []int8, K, n, o0, o1 int) {
		start := time.Now()
		set.OuterInts(dst, a, lda, sc, q, K, n, o0, o1)
		w.clocks[outerInts].ended(start, K*n*(o1-o0))
	}
	s.Dense = func(dst []float32, ldd int, m, x []float32, K, n, r0, r1 int) {
		start := time.Now()
		set.Dense(dst, ldd, m, x, K, n, r0, r1)
		w.clocks[dense].ended(start, K*n*(r1-r0))
	}
	s.DenseTransposed = func(dst, m, y []float32, R, K, n int) {
		start := time.Now()
		set.DenseTransposed(dst, m, y, R, K, n)
		w.clocks[denseTransposed].ended(start, R*K*n)
	}
	w.wrapRows(&s, set)
	return &s
}

// wrapRows wraps what works on rows.
func (w *stopwatch) wrapRows(s, set *kernel.Set) {
	s.RMSNorm = func(dst, x, gain []float32, eps float32) float32 {
		start := time.Now()
		r := set.RMSNorm(dst, x, gain, eps)
		w.values(rmsNorm, start, len(x))
		return r
	}
	s.NormQuantize = func(codes []int8, x, gain []float32, eps float32, away bool) (r, scale float32) {
		start := time.Now()
		r, scale = set.NormQuantize(codes, x, gain, eps, away)
		w.values(normQuantize, start, len(x))
		return r, scale
	}
	s.RMSNormBackward = func(dx, dgain, dy, x, gain []float32, r float32, sum bool) {
		start := time.Now()
		set.RMSNormBackward(dx, dgain, dy, x, gain, r, sum)
		w.values(rmsNormBackward, start, len(x))
	}
	s.Recurrence = func(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
		start := time.Now()
		set.Recurrence(states, state, i, z, bound, mask, T, D, c0, c1)
		w.values(recurrence, start, T*(c1-c0))
	}
	s.RecurrenceBackward = func(di, dz, dbound, ds, states, before, i, z, bound, mask []float32, T, D, c0, c1 int) {
		start := time.Now()
		set.RecurrenceBackward(di, dz, dbound, ds, states, before, i, z, bound, mask, T, D, c0, c1)
		w.values(recurrenceBackward, start, T*(c1-c0))
	}
	s.OutputGate = func(dst, g, st, gain []float32, eps float32) float32 {
		start := time.Now()
		r := set.OutputGate(dst, g, st, gain, eps)
		w.values(outputGate, start, len(g))
		return r
	}
	s.OutputGateBackward = func(dg, ds, dgain, da, g, st, gain []float32, r float32) {
		start := time.Now()
		set.OutputGateBackward(dg, ds, dgain, da, g, st, gain, r)
		w.values(outputGateBackward, start, len(g))
	}
	s.SwiGLU = func(dst, p, q []float32) {
		start := time.Now()
		set.SwiGLU(dst, p, q)
		w.values(swiGLU, start, len(p))
	}
	s.SwiGLUBackward = func(dp, dq, dz, p, q []float32) {
		start := time.Now()
		set.SwiGLUBackward(dp, dq, dz, p, q)
		w.values(swiGLUBackward, start, len(p))
	}
	s.Shift = func(dst, x, before, mix []float32) {
		start := time.Now()
		set.Shift(dst, x, before, mix)
		w.values(shift, start, len(x))
	}
	s.WKV = func(y, states, state, k, v, rate, bonus, mask []float32, T, D, c0, c1 int) {
		start := time.Now()
		set.WKV(y, states, state, k, v, rate, bonus, mask, T, D, c0, c1)
		w.values(wkv, start, T*(c1-c0))
	}
	s.WKVBackward = func(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus []float32, T, D, c0, c1 int) {
		start := time.Now()
		set.WKVBackward(dk, dv, drate, dbonus, dy, y, states, k, v, rate, bonus, T, D, c0, c1)
		w.values(wkvBackward, start, T*(c1-c0))
	}
	s.Receptance = func(dst, r, y []float32) {
		start := time.Now()
		set.Receptance(dst, r, y)
		w.values(receptance, start, len(r))
	}
	s.ReceptanceBackward = func(dr, dy, da, r, y []float32) {
		start := time.Now()
		set.ReceptanceBackward(dr, dy, da, r, y)
		w.values(receptanceBackward, start, len(r))
	}
	s.Add = func(dst, a, b []float32) {
		start := time.Now()
		set.Add(dst, a, b)
		w.values(add, start, len(dst))
	}
	s.Exponentials = func(x []float32) (top, sum float32) {
		start := time.Now()
		top, sum = set.Exponentials(x)
		w.values(exponentials, start, len(x))
		return top, sum
	}
	s.LogSumExp = func(x []float32) (top, sum float32, lse float64) {
		start := time.Now()
		top, sum, lse = set.LogSumExp(x)
		w.values(logSumExp, start, len(x))
		return top, sum, lse
	}
	s.SoftmaxGradient = func(x []float32, top, sum float32, label int, scale float32) {
		start := time.Now()
		set.SoftmaxGradient(x, top, sum, label, scale)
		w.values(softmaxGradient, start, len(x))
	}
	s.Trits = func(dst []int8, v []float32, m float32) {
		start := time.Now()
		set.Trits(dst, v, m)
		w.values(trits, start, len(v))
	}
	s.Encode = func(m *pack.Matrix, trits []int8, s0, s1 int) {
		start := time.Now()
		set.Encode(m, trits, s0, s1)
		w.values(encode, start, rowsOf(m, s0, s1)*m.Cols)
	}
	s.EncodeTransposed = func(m *pack.Matrix, trits []int8, s0, s1 int) {
		start := time.Now()
		set.EncodeTransposed(m, trits, s0, s1)
		w.values(encodeTransposed, start, rowsOf(m, s0, s1)*m.Cols)
	}
	s.AbsSum = func(v []float32) float64 {
		start := time.Now()
		sum := set.AbsSum(v)
		w.values(absSum, start, len(v))
		return sum
	}
	s.SquareSum = func(g []float32) float64 {
		start := time.Now()
		sum := set.SquareSum(g)
		w.values(squareSum, start, len(g))
		return sum
	}
	s.AdamW = func(theta, m, v, g []float32, a kernel.AdamStep) {
		start := time.Now()
		set.AdamW(theta, m, v, g, a)
		w.values(adamW, start, len(theta))
	}
}

// profile returns the shares of times whole that the kernels took, each with its rate as a share of its limit a thread.
// took is the time, by the wall, of what was timed, peak the multiply-adds' beside it, in GFLOP/s; whole is that time without the timing.
// Time in no kernel is not among the rows: rest is its share.
func (w *stopwatch) profile(s *Setting, l *limits, peak float64, shape string, took time.Duration) (rows []Result, whole time.Duration, rest float64) {
	threads := s.Pool.Threads()
	calls := int64(0)
	for k := range w.clocks {
		calls += w.clocks[k].calls.Load()
	}
	whole = max(took/2, took-time.Duration(calls)*w.cost/time.Duration(threads))
	rest = 1
	for k := range w.clocks {
		spent := w.time(k)
		if w.clocks[k].calls.Load() == 0 {
			continue
		}
		share := float64(spent) / float64(threads) / float64(whole)
		rest -= share
		row := kernelTable[k]
		if row.limit == limitWeights && l.weights == l.memory {
			row.limit = limitMemory
		}
		limit := l.value(row.limit)
		if row.limit == limitFused {
			limit = peak / 2
		}
		rate := float64(w.clocks[k].work.Load()) / float64(max(1, spent)) // 10⁹ a second
		rows = append(rows, s.result("time/"+row.name, shape, "share", share).of(row.limit, rate/(limit/float64(threads))))
	}
	return rows, whole, rest
}
