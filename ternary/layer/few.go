package layer

import (
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
)

const (
	maxTogether = 3 // products of one fewJob
	// Blocks of rows a worker and product: of one token enough that no worker waits long for the last, few enough that each
	// streams; of more, a block reads their tables for as many superblocks as it has.
	oneBlocksPerThread = 8
	fewBlocksPerThread = 2
	// prepareWords is the number of words whose tables one block makes, of one token some 5 µs.
	prepareWords = 256
	// fewMakers is the number of workers times tokens up to which each worker makes all tables: n tokens' take 13·n cycles a word (Zen 4);
	// made together 50·n over the workers, most of them for lines that another reader has, and some 20 to 40 for one more meeting.
	fewMakers = 32
)

// fewJob holds the products in flight of no more tokens than the set's Few. A worker makes the tables of a product that it comes
// to for itself: they stay in its own cache, where another's would first be waited for and then fetched, which costs more than
// to make them. Where many workers would each make those of several tokens, they make them together first. How it is cut
// changes no bit: every element is made by one call.
type fewJob struct {
	make, run func(worker, block int)

	env      *Env
	n        int
	products [maxTogether]Product
	count    int
	words    int // words that a block prepares; 0: each worker makes its own tables
	before   int // products of all jobs before
	cut      cut
	ahead    ahead
}

func (j *fewJob) start(e *Env, n int, products []Product) {
	j.env, j.n, j.words = e, n, 0
	if n*e.Pool.Threads() > fewMakers {
		j.words = max(8, prepareWords/n)
	}
	j.before += j.count
	j.count = copy(j.products[:], products)
	ws := matricesOf(j.products[:j.count])
	work, widest := 0, 0
	for i := range j.count {
		w := j.products[i].W
		work += w.Rows * w.Cols * n
		size := n * kernel.PreparedLen(w.Cols)
		widest = max(widest, size)
		if j.words > 0 {
			e.shared[i] = room(e.shared[i], size)
		}
	}
	if j.words > 0 {
		j.each(work, j.cut.number(ws, func(w *pack.Matrix) int { return Blocks(pack.WordsPerRow(w.Cols), j.words) }), j.make)
	} else if len(e.own[0].prepared) < widest { // all workers' have one size
		for w := range e.own {
			e.own[w] = ownTables{prepared: room(nil, widest)}
		}
	}
	j.ahead.start(j, ws)
	j.each(work, j.cut.number(ws, j.blocks), j.run)
}

// room returns tables of at least that many entries, t where it is large enough.
func room(t []int16, size int) []int16 {
	if len(t) < size {
		t = make([]int16, max(size, 1<<15)) // of whole pages, hence aligned
	}
	return t
}

// each runs the blocks, on all workers where the job's work is worth it.
func (j *fewJob) each(work, blocks int, do func(worker, block int)) {
	if work >= splitWork {
		j.env.Pool.Run(blocks, do)
		return
	}
	for b := range blocks {
		do(0, b)
	}
}

// matrices are those of a job's products; nil where there are fewer.
type matrices [maxTogether]*pack.Matrix

func matricesOf(products []Product) (ws matrices) {
	for i := range products {
		ws[i] = products[i].W
	}
	return ws
}

// cut is how a job's products are cut: the number of each one's first block.
type cut [maxTogether + 1]int

// number numbers the blocks of all products and returns how many there are.
func (c *cut) number(ws matrices, blocks func(w *pack.Matrix) int) int {
	for i, w := range ws {
		c[i+1] = c[i]
		if w != nil {
			c[i+1] += blocks(w)
		}
	}
	return c[maxTogether]
}

// find returns the product of a block, and its number there.
func (c *cut) find(block int) (i, of int) {
	for block >= c[i+1] {
		i++
	}
	return i, block - c[i]
}

// supers returns the number of superblocks of one block.
func (j *fewJob) supers(w *pack.Matrix) int {
	blocks := fewBlocksPerThread
	if j.n == 1 {
		blocks = oneBlocksPerThread
	}
	return max(1, w.Superblocks()/(blocks*j.env.Pool.Threads()))
}

// blocks returns the number of blocks of a product.
func (j *fewJob) blocks(w *pack.Matrix) int { return Blocks(w.Superblocks(), j.supers(w)) }

func (j *fewJob) makeBlock(_, block int) {
	i, of := j.cut.find(block)
	p := &j.products[i]
	j0, j1 := Span(of, j.words, pack.WordsPerRow(p.W.Cols))
	j.env.Set.PrepareFew(j.env.shared[i], p.Codes.Q, p.W.Cols, j.n, j0, j1)
}

func (j *fewJob) runBlock(worker, block int) {
	j.ahead.plan(j, worker)
	i, of := j.cut.find(block)
	p := &j.products[i]
	prepared := j.env.shared[i]
	if j.words == 0 {
		prepared = j.env.own[worker].made(j, i)
	}
	s0, s1 := Span(of, j.supers(p.W), p.W.Superblocks())
	j.env.Set.MatVecFew(p.Dst, p.W.Rows, p.W, s0, s1, prepared, p.Codes.Out, j.n)
}

// ownTables are a worker's, of the product that it is at.
type ownTables struct {
	prepared []int16
	of       int      // the product's number among those of all jobs, from 1
	_        [32]byte // a cache line of its own
}

// made returns the tables of product i.
func (t *ownTables) made(j *fewJob, i int) []int16 {
	if of := j.before + i + 1; t.of != of {
		w := j.products[i].W
		j.env.Set.PrepareFew(t.prepared, j.products[i].Codes.Q, w.Cols, j.n, 0, pack.WordsPerRow(w.Cols))
		t.of = of
	}
	return t.prepared
}
