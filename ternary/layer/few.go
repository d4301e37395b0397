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
)

// fewJob holds the products in flight of no more tokens than the set's Few: first the tables of all of them are made,
// then their rows, each time by all workers. How it is cut changes no bit: every element is made by one call.
type fewJob struct {
	make, run func(worker, block int)

	env      *Env
	n        int
	products [maxTogether]Product
	count    int
	words    int // words that a block prepares
	first    [maxTogether + 1]int
}

func (j *fewJob) start(e *Env, n int, products []Product) {
	j.env, j.n = e, n
	j.count = copy(j.products[:], products)
	work := 0
	for i := range j.count {
		w := j.products[i].W
		work += w.Rows * w.Cols * n
		if size := n * kernel.PreparedLen(w.Cols); len(e.prepared[i]) < size {
			e.prepared[i] = make([]int16, max(size, 1<<15)) // of whole pages, hence aligned
		}
	}
	if e.Pool.Threads() == 1 || work < splitWork {
		for i := range j.count {
			p := &j.products[i]
			e.Set.PrepareFew(e.prepared[i], p.Codes.Q, p.W.Cols, n, 0, pack.WordsPerRow(p.W.Cols))
			e.Set.MatVecFew(p.Dst, p.W.Rows, p.W, 0, p.W.Superblocks(), e.prepared[i], p.Codes.Out, n)
		}
		return
	}
	j.words = max(8, prepareWords/n)
	e.Pool.Run(j.cut(func(w *pack.Matrix) int { return Blocks(pack.WordsPerRow(w.Cols), j.words) }), j.make)
	e.Pool.Run(j.cut(func(w *pack.Matrix) int { return Blocks(w.Superblocks(), j.supers(w)) }), j.run)
}

// cut numbers the blocks of all products and returns how many there are.
func (j *fewJob) cut(blocks func(w *pack.Matrix) int) int {
	for i := range j.count {
		j.first[i+1] = j.first[i] + blocks(j.products[i].W)
	}
	return j.first[j.count]
}

// find returns the product of a block, and its number there.
func (j *fewJob) find(block int) (i, of int) {
	for block >= j.first[i+1] {
		i++
	}
	return i, block - j.first[i]
}

// supers returns the number of superblocks of one block.
func (j *fewJob) supers(w *pack.Matrix) int {
	blocks := fewBlocksPerThread
	if j.n == 1 {
		blocks = oneBlocksPerThread
	}
	return max(1, w.Superblocks()/(blocks*j.env.Pool.Threads()))
}

func (j *fewJob) makeBlock(_, block int) {
	i, of := j.find(block)
	p := &j.products[i]
	j0, j1 := Span(of, j.words, pack.WordsPerRow(p.W.Cols))
	j.env.Set.PrepareFew(j.env.prepared[i], p.Codes.Q, p.W.Cols, j.n, j0, j1)
}

func (j *fewJob) runBlock(_, block int) {
	i, of := j.find(block)
	p := &j.products[i]
	s0, s1 := Span(of, j.supers(p.W), p.W.Superblocks())
	j.env.Set.MatVecFew(p.Dst, p.W.Rows, p.W, s0, s1, j.env.prepared[i], p.Codes.Out, j.n)
}
