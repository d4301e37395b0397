package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// Shape is a model's sizes under a name.
type Shape struct {
	Name  string
	Model spec.Config
}

const (
	largestRead  = 1 << 30 // bytes that reading goes through, where memory and time allow
	smallestRead = 1 << 27 // still several times any cache
	longEnough   = 5 * time.Second
	hotRows      = 1024     // rows of a product that is hot: eight superblocks, which share tables
	outerTokens  = 1024     // tokens of one gradient
	outerRows    = 140      // its rows, as the backward pass cuts them
	denseRows    = 1024     // rows of a full-precision product
	denseTokens  = 280      // its tokens: a thread's share of a training step
	streamBytes  = 32 << 20 // of one matrix that is read from memory
	streamWidth  = 512      // models below it never leave the caches
	streamSupers = 8        // superblocks of one block of it
	rowTokens    = 16       // tokens of one run of a row kernel: a block of the training step
	adamValues   = 1 << 22  // a thread: from memory
	vocabulary   = 32000    // of one row of logits
)

// Kernels measures every kernel of the set: products at the widths of each shape, hot in cache and, one token at a time,
// from memory; row kernels at the widths of the last, on rows in cache and from memory.
func Kernels(ctx context.Context, s Setting, shapes []Shape) (*Report, error) {
	start := time.Now()
	words := randomWords(&s, readBytes(s.Budget, 0))
	l := newLimits(&s, [][]byte{wordBytes(words)})
	var jobs []job
	for _, shape := range shapes {
		k := newBed(&s, shape.Model)
		k.name = shape.Name
		jobs = append(jobs, k.products()...)
		if shape.Model.HiddenSize >= streamWidth {
			jobs = append(jobs, k.stream(words))
		}
		if shape.Name == shapes[len(shapes)-1].Name {
			k.farBytes = readBytes(s.Budget, 0)
			jobs = append(jobs, k.rows()...)
		}
	}
	results, err := rotate(ctx, l, jobs, start.Add(s.Budget))
	if err != nil {
		return nil, err
	}
	return &Report{Machine: l.machine(&s), Results: results}, nil
}

// readBytes returns how much memory to read through, where so many bytes more are needed for what is measured.
func readBytes(budget time.Duration, needed int64) int64 {
	n := int64(largestRead)
	if budget < longEnough {
		n = smallestRead
	}
	for free := freeMemory(); free > 0 && n > smallestRead && n > (free-needed)/2; {
		n /= 2
	}
	return n
}

// randomWords returns so many bytes, a power of two, of packed random trits.
func randomWords(s *Setting, bytes int64) []uint16 {
	const wordsPerRow = 128
	words := make([]uint16, bytes/2)
	randomize(s, &pack.Matrix{Rows: len(words) / wordsPerRow, Cols: wordsPerRow * pack.TritsPerWord, Words: words}, 1)
	return words
}

// randomize fills a matrix on all threads.
func randomize(s *Setting, m *pack.Matrix, seed uint64) {
	s.Pool.Run(m.Superblocks(), func(_, b int) { m.Randomize(seed, b, b+1) })
}

// bed is where a shape's kernels run: every worker has its own rows, so that all are as busy as they can be.
type bed struct {
	s       *Setting
	name    string
	d, D, I int
	rng     *rand.Rand

	farBytes int64 // of all arrays that rows come from memory in
	fars     [][farIn + farOut][]float32
}

func newBed(s *Setting, c spec.Config) *bed {
	return &bed{s: s, d: c.HiddenSize, D: c.RecurrenceWidth(), I: c.MLPWidth(), rng: rand.New(rand.NewPCG(1, 1))}
}

func (k *bed) floats(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(k.rng.NormFloat64())
	}
	return x
}

func (k *bed) codes(n int) []int8 {
	x := make([]int8, n)
	for i := range x {
		x[i] = int8(k.rng.IntN(255) - 127)
	}
	return x
}

// each makes a job of what every worker does with arguments of its own: make is called for each worker, and what it
// returns runs blocks times a thread and run, with units of work each time.
func (k *bed) each(name, shape, unit, limit string, perLimit, units float64, maker func(worker int) func()) job {
	const blocks = 4 // a worker that comes late leaves its share to the others
	threads := k.s.Pool.Threads()
	var work []func()
	for worker := range threads {
		work = append(work, maker(worker))
	}
	block := func(worker, _ int) { work[worker]() }
	return job{
		Result: k.s.result(name, shape, unit, 0), limit: limit, perLimit: perLimit,
		run: func() float64 {
			k.s.Pool.Run(blocks*threads, block)
			return units * float64(blocks*threads)
		},
	}
}

// products returns the jobs of the products of a shape, with weights that stay in the second-level cache.
func (k *bed) products() []job {
	set := k.s.Set
	R, K, n := min(2*k.I, hotRows), k.d, set.Tile
	shape := func(rows int) string { return fmt.Sprintf("%s %dx%d", k.name, rows, K) }
	w := pack.New(R, K)
	w.Scale = 0.02
	randomize(k.s, w, 1)
	all := w.Superblocks()
	work := float64(R) * float64(K)
	mac := func(name string, rows int, units float64, maker func(int) func()) job {
		return k.each(name, shape(rows), "Gmac/s", limitFused, 0.5, units, maker)
	}
	type gradient func(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int)
	outer := func(f gradient, rows int) func(int) func() {
		return func(int) func() {
			dst, a, q := make([]float32, rows*K), k.floats(outerTokens*rows), k.codes(outerTokens*K)
			scale := k.floats(outerTokens)
			return func() { f(dst, a, rows, scale, q, K, outerTokens, 0, rows) }
		}
	}
	return []job{
		mac("MatMul", R, work*float64(n), func(int) func() {
			x, scale, dst := k.codes(n*K), k.floats(n), make([]float32, n*R)
			return func() { set.MatMul(dst, R, w, 0, all, x, scale, n) }
		}),
		mac("MatVec/cache", R, work, func(int) func() {
			prepared, dst := make([]int16, kernel.PreparedLen(K)), make([]float32, R)
			set.Prepare(prepared, k.codes(K))
			return func() { set.MatVec(dst, w, 0, all, prepared, 1) }
		}),
		mac("MatMulFloat", R, work*float64(n), func(int) func() {
			y, dst := k.floats(n*K), make([]float32, n*R)
			return func() { set.MatMulFloat(dst, R, w, 0, all, y, n, 1) }
		}),
		mac("OuterCodes", outerRows, float64(outerRows*outerTokens)*float64(K), outer(set.OuterCodes, outerRows)),
		mac("OuterInts", set.IntStrip, float64(set.IntStrip*outerTokens)*float64(K), outer(set.OuterInts, set.IntStrip)),
		mac("Dense", denseRows, float64(denseRows*denseTokens)*float64(K), func(int) func() {
			m, x, dst := k.floats(denseRows*K), k.floats(denseTokens*K), make([]float32, denseTokens*denseRows)
			return func() { set.Dense(dst, denseRows, m, x, K, denseTokens, 0, denseRows) }
		}),
		mac("DenseTransposed", denseRows, float64(denseRows*denseTokens)*float64(K), func(int) func() {
			m, y, dst := k.floats(denseRows*K), k.floats(denseTokens*denseRows), make([]float32, denseTokens*K)
			return func() { set.DenseTransposed(dst, m, y, denseRows, K, denseTokens) }
		}),
	}
}

// stream returns the job of MatVec with weights from memory: a matrix as large as a model's layer, another part of words
// each time, its superblocks shared out as a model's are.
func (k *bed) stream(words []uint16) job {
	set, K := k.s.Set, k.d
	perSuper := pack.Words(pack.SuperblockRows, K)
	supers := streamBytes / 2 / perSuper
	size := supers * perSuper
	dst, prepared := make([]float32, supers*pack.SuperblockRows), make([]int16, kernel.PreparedLen(K))
	set.Prepare(prepared, k.codes(K))
	m := &pack.Matrix{Rows: len(dst), Cols: K, Scale: 1}
	at := len(words) / 2 // the limit's reading begins at the start, so that neither finds what the other has read
	block := func(_, b int) {
		s0, s1 := layer.Span(b, streamSupers, supers)
		set.MatVec(dst, m, s0, s1, prepared, 1)
	}
	return job{
		Result: k.s.result("MatVec/memory", fmt.Sprintf("%s %dx%d", k.name, m.Rows, K), "GB/s", 0), limit: limitMemory, perLimit: 1,
		run: func() float64 {
			if at+size > len(words) {
				at = 0
			}
			m.Words = words[at : at+size]
			at += size
			k.s.Pool.Run(layer.Blocks(supers, streamSupers), block)
			return float64(2 * size)
		},
	}
}
