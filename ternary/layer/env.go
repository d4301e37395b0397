package layer

import (
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TokenBlock is the number of tokens that one block of work holds in row operations. It depends on nothing but the
// data, so that sums over tokens which the backward pass keeps per block do not depend on the thread count.
const TokenBlock = 16

// ChainTokens is the number of tokens that one block takes through several operations, products included, so that what
// lies between them stays in the worker's second-level cache: of a GLU of 2 × 4096 floats, a megabyte. It is a multiple of
// TokenBlock and of every set's tile.
const ChainTokens = 2 * TokenBlock

const (
	channelBlock = 64      // channels of one block of the recurrence: four cache lines
	addBlock     = 1 << 14 // values of one block of an element-wise addition
	// Below this many weights times tokens a product is faster on one thread than split: vector kernels do it in about a
	// microsecond, which is what a second thread costs. Decoding the model of the recipe tiny on two threads, in turn: 14.5k, 14.6k,
	// 12.9k tokens/s with 1 << 15, and 43.9k, 34.0k, 45.2k with this.
	splitWork = 1 << 18
)

// Env is what layers run with: kernels, workers, and scratch memory for one row per worker. It serves one caller at a
// time. It allocates when made, and when first it meets a number of tokens or a width.
type Env struct {
	Set  *kernel.Set
	Pool *par.Pool
	// Blend is that of a model in conversion, whose buffers are those of the unfused mode; else nil.
	Blend *Blend
	Meter *Meter // counts the activations' codes; nil: nobody asks

	rows     [][]float32          // one row of the widest layer per worker
	shared   [maxTogether][]int16 // MatVecFew's form of few tokens, of each product that runs together
	own      []ownTables          // the same of the product that each worker is at
	few      fewJob
	products productJob
	addition additionJob
	dense    denseJob
}

// NewEnv makes an Env for models of a configuration.
func NewEnv(set *kernel.Set, pool *par.Pool, c spec.Config) *Env {
	width := Widest(c)
	e := &Env{Set: set, Pool: pool, own: make([]ownTables, pool.Threads())}
	for range pool.Threads() {
		e.rows = append(e.rows, make([]float32, width))
	}
	e.few.make, e.few.run, e.few.ahead = e.few.makeBlock, e.few.runBlock, newAhead(e)
	e.products.run = e.products.block
	e.addition.run = e.addition.block
	e.dense.run = e.dense.block
	return e
}

// Widest returns the length of the longest row that a layer reads.
func Widest(c spec.Config) (n int) {
	for _, t := range spec.Tensors(c) {
		if len(t.Shape) == 2 { // matrices [out, in]; a table's rows are as wide as the residual stream
			n = max(n, t.Shape[1])
		}
	}
	return n
}

// Row returns the worker's scratch row of n values, n at most the width of the widest layer.
func (e *Env) Row(worker, n int) []float32 { return e.rows[worker][:n] }

// Blocks returns how many blocks of the given size n items make.
func Blocks(n, size int) int { return (n + size - 1) / size }

// Span returns the items [from, to) of block b.
func Span(b, size, n int) (from, to int) { return b * size, min((b+1)*size, n) }

// rowTokens is the number of tokens of one block of row operations in a forward pass: of so few that they would be one
// block, each is one, so that all workers have some.
func rowTokens(n int) int {
	if n <= TokenBlock {
		return 1
	}
	return TokenBlock
}

// Chained reports whether n tokens make enough blocks of ChainTokens for all workers.
func (e *Env) Chained(n int) bool { return Blocks(n, ChainTokens) >= 4*e.Pool.Threads() }

// EachTokenBlock calls work for the blocks of TokenBlock that tokens [t0, t1) are.
func EachTokenBlock(worker, t0, t1 int, work func(worker, block int)) {
	for b := t0 / TokenBlock; b < Blocks(t1, TokenBlock); b++ {
		work(worker, b)
	}
}

// product is MatMul of tokens [t0, t1) by the worker that calls it.
func (e *Env) product(dst []float32, w *pack.Matrix, c *Codes, t0, t1 int) {
	e.Set.MatMul(dst[t0*w.Rows:], w.Rows, w, 0, w.Superblocks(), c.Q[t0*w.Cols:], c.Out[t0:], t1-t0)
}

// ProductFloat is MatMulFloat of tokens [t0, t1) by the worker that calls it.
func (e *Env) ProductFloat(dst []float32, w *pack.Matrix, y []float32, scale float32, t0, t1 int) {
	e.Set.MatMulFloat(dst[t0*w.Rows:], w.Rows, w, 0, w.Superblocks(), y[t0*w.Cols:], t1-t0, scale)
}

// Product is one product of a MatMul: Dst[t, r] = (Σ_k W[r,k]·Codes.Q[t,k])·Codes.Out[t]; Dst is [n, Rows].
type Product struct {
	Dst   []float32
	W     *pack.Matrix
	Codes *Codes
}

// MatMul computes one product of n tokens.
func (e *Env) MatMul(dst []float32, w *pack.Matrix, c *Codes, n int) {
	e.MatMuls(n, Product{dst, w, c})
}

// MatMuls computes up to three products of n tokens, those of few tokens together, so that workers meet once for all.
func (e *Env) MatMuls(n int, products ...Product) {
	if e.Blend.On() {
		for _, p := range products {
			e.Dense(p.Dst, e.Blend.Mixed(p.W), p.Codes.Float, p.W.Rows, p.W.Cols, n)
		}
		return
	}
	if n <= e.Set.Few {
		e.few.start(e, n, products)
		return
	}
	for _, p := range products {
		j := &e.products
		*j = productJob{run: j.run, env: e, dst: p.Dst, w: p.W, codes: p.Codes, n: n}
		e.runProduct(j)
	}
}

// MatMulFloat computes dst[t, r] = (Σ_k w[r,k]·y[t,k])·scale for n tokens of float32, by additions alone.
func (e *Env) MatMulFloat(dst []float32, w *pack.Matrix, y []float32, scale float32, n int) {
	j := &e.products
	*j = productJob{run: j.run, env: e, dst: dst, w: w, floats: y, scale: scale, n: n}
	e.runProduct(j)
}

// runProduct cuts the product into token tiles, and into superblocks of rows where the tiles alone are too few for the
// workers. How it is cut changes no bit: every element is made by one call.
func (e *Env) runProduct(j *productJob) {
	threads := e.Pool.Threads()
	j.tile = e.Set.Tile
	tiles := Blocks(j.n, j.tile)
	supers := j.w.Superblocks()
	j.supers = supers
	if threads > 1 && tiles < 2*threads {
		j.supers = max(1, supers*tiles/(2*threads))
	}
	j.rowBlocks = Blocks(supers, j.supers)
	if threads == 1 || j.w.Rows*j.w.Cols*j.n < splitWork {
		for b := range tiles * j.rowBlocks {
			j.block(0, b)
		}
		return
	}
	e.Pool.Run(tiles*j.rowBlocks, j.run)
}

// productJob holds the arguments of the product in flight, so that no closure is made for it.
type productJob struct {
	run       func(worker, block int)
	env       *Env
	dst       []float32
	w         *pack.Matrix
	codes     *Codes
	floats    []float32
	scale     float32
	n         int
	tile      int
	supers    int // superblocks of one block
	rowBlocks int
}

func (j *productJob) block(_, b int) {
	t0, t1 := Span(b/j.rowBlocks, j.tile, j.n)
	s0, s1 := Span(b%j.rowBlocks, j.supers, j.w.Superblocks())
	R, K, n := j.w.Rows, j.w.Cols, t1-t0
	switch {
	case j.codes == nil:
		j.env.Set.MatMulFloat(j.dst[t0*R:], R, j.w, s0, s1, j.floats[t0*K:], n, j.scale)
	default:
		j.env.Set.MatMul(j.dst[t0*R:], R, j.w, s0, s1, j.codes.Q[t0*K:], j.codes.Out[t0:], n)
	}
}

// Add computes dst = a + b; dst may be either.
func (e *Env) Add(dst, a, b []float32) {
	j := &e.addition
	*j = additionJob{run: j.run, env: e, dst: dst, a: a, b: b}
	e.Pool.Run(Blocks(len(dst), addBlock), j.run)
}

type additionJob struct {
	run       func(worker, block int)
	env       *Env
	dst, a, b []float32
}

func (j *additionJob) block(_, b int) {
	from, to := Span(b, addBlock, len(j.dst))
	j.env.Set.Add(j.dst[from:to], j.a[from:to], j.b[from:to])
}
