//go:build amd64 && !noasm

package amd64

import (
	"unsafe"

	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Tile512 is the number of tokens whose 16-bit sums fill a register.
const Tile512 = 32

const (
	// So many tokens go through MatVec512 or matVecFew512: there every lane is used, and a tile of 32 would do as much for fewer.
	few512      = 20
	codesPerRow = 27 // table entries of a group
	// Words of one pass: their tables, 31 KB for 32 tokens, just fit the first-level cache.
	wordsPerPass  = 6
	groupsPerPass = wordsPerPass * pack.GroupsPerWord
	colsPerPass   = wordsPerPass * pack.TritsPerWord
	// Four passes' sums of 18 entries of at most 3·128 stay inside 16 bits, five would not.
	passesPerWiden = 4
	// Superblocks that share the tables of a pass. With 8 codes took 2 to 5% longer, floats 4 to 6; with 24 floats take 1 to 2% less, but
	// then codes' sums, 576 KB, crowd a second-level cache of a megabyte (a Xeon, family 6, model 207, whose cores have two).
	supersPerPass = 16
	rowsPerPass   = supersPerPass * pack.SuperblockRows
	// Passes whose columns are turned at once: what a pass waits for then is its tables alone. One by one, 512×512 took 4% longer of codes
	// and 2 of floats, 256×256 4 and 5 (a Xeon, family 6, model 207).
	passesTurned = 8
	// Words that a second-level cache holds from one tile to the next, beside the tile's sums, in bytes.
	warmBytes    = 256 << 10
	emitted      = 16 // rows and tokens of one transposition
	bytesPerWord = 2
	bytesPerLine = 64        // of a cache
	all          = 1<<32 - 1 // bits of a mask
)

// firstTable is where the tables of a pass of nb words begin: addWords512 and its kin leave out whole parts of a row's code, of two words, at its
// beginning. For the word that an odd pass lacks they add entries of code 13 of the tables behind, which are 0 in every table that was ever filled, and
// in memory that was not.
func firstTable(nb int) int {
	const part = 2
	return (wordsPerPass - (nb+part-1)/part*part) * pack.GroupsPerWord * codesPerRow
}

type matMulScratch512 struct {
	tables   [groupsPerPass * codesPerRow][Tile512]int16 // first, on a page's start: see addWords512
	codes    passCodes
	columns  [passesTurned][64][Tile512]int8
	sums     [rowsPerPass][Tile512]int16
	wide     [rowsPerPass][Tile512]int32
	offsets  [Tile512]uintptr // of the tokens' codes; absent tokens read the last one's
	prepared []int16          // of few tokens
	last     lastTile
}

// passCodes is where addWords512 and its kin take a pass's codes apart, 32 rows at a time.
type passCodes [groupsPerPass][blockRows]uint16

var matMulShelf512 par.Shelf[matMulScratch512]

// MatMul512 is kernel.Set.MatMul. Few tokens' lookups pick words.
func MatMul512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	matMul512(&fewWords512, dst, ldd, w, s0, s1, x, scale, n)
}

// MatMulBytes512 is MatMul512 where few tokens' lookups pick bytes. It needs AVX512VBMI.
func MatMulBytes512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	matMul512(&fewBytes512, dst, ldd, w, s0, s1, x, scale, n)
}

func matMul512(few *fewForm512, dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], x[n*w.Cols-1], scale[n-1]
	sc := matMulShelf512.Take()
	for t := 0; t < n; t += Tile512 {
		if m := min(Tile512, n-t); m <= few512 {
			sc.multiplyFew(few, dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
		} else {
			sc.multiply(dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
		}
	}
	matMulShelf512.Put(sc)
}

// multiplyFew is kernel.Set.MatVecFew for each few tokens.
func (sc *matMulScratch512) multiplyFew(few *fewForm512, dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	nw := pack.WordsPerRow(w.Cols)
	sc.prepared = grown(sc.prepared, min(n, Few512)*nw*preparedPerWord)
	for parts := (n + Few512 - 1) / Few512; parts > 0; parts-- {
		m := (n + parts - 1) / parts // evenly: one token alone would read all weights again
		prepareFew512(few.byBytes, sc.prepared, x, w.Cols, m, 0, nw)
		matVecFew512(few, dst, ldd, w, s0, s1, sc.prepared, scale, m)
		if n -= m; n > 0 {
			dst, x, scale = dst[m*ldd:], x[m*w.Cols:], scale[m:]
		}
	}
}

func (sc *matMulScratch512) multiply(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1) * w.Cols)
	}
	nw := pack.WordsPerRow(w.Cols)
	warm := sc.last.again(w, s0, s1)
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		for j := 0; j < nw; j += wordsPerPass {
			widen, keep, keepWide := passOf(j, nw)
			nb := min(wordsPerPass, nw-j)
			k := j * pack.TritsPerWord
			turned := j / wordsPerPass % passesTurned
			for i := 0; turned == 0 && i < passesTurned && k < w.Cols; i++ {
				transposeCodes512(&sc.columns[i][0][0], &x[k], &sc.offsets[0], lowBits64(min(colsPerPass, w.Cols-k)))
				k += colsPerPass
			}
			fillWords512(&sc.tables[firstTable(nb)][0], &sc.columns[turned][0][0], nb*pack.GroupsPerWord)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				if !warm {
					prefetchNext(w, s, s0, end, j, nb)
				}
				if widen {
					addWide512(&sc.wide[at-first][0], &sc.sums[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb, &sc.codes[0][0], keep, keepWide)
				} else {
					addWords512(&sc.sums[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb, &sc.codes[0][0], keep)
				}
			}
		}
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		// All rows of few tokens, then of the next: each token's are on a page of their own, and a processor remembers few pages that it
		// writes to. Few rows of all tokens took 1 to 3% longer where rows are many, with AVX2 3 to 7.
		for t := 0; t < n; t += emitted {
			emitInts512(&dst[t*ldd+first], uintptr(ldd)*bytesPerFloat, &sc.wide[0][t], Tile512*bytesPerFloat, &scale[t], min(emitted, n-t), rows)
		}
	}
}

// passOf says of the pass from word j of nw whether it ends in 32-bit sums, and whether 16-bit and 32-bit sums go on, all bits, or begin, 0.
func passOf(j, nw int) (widen bool, keep, keepWide uint32) {
	pass := j / wordsPerPass
	widen = j+wordsPerPass >= nw || pass%passesPerWiden == passesPerWiden-1
	return widen, keepIf(pass%passesPerWiden > 0), keepIf(pass >= passesPerWiden)
}

// keepIf is all bits where sums go on, or 0 where they begin.
func keepIf(goOn bool) uint32 {
	if goOn {
		return all
	}
	return 0
}

// lastTile is what the tile before read.
type lastTile struct {
	words  uintptr // the first one's address: no reason to keep them
	s0, s1 int
}

// again tells whether a tile reads what the one before has left in the second-level cache: there to ask for words ahead costs 2 to 4% of the
// time of codes, 1 to 2 of floats'.
func (l *lastTile) again(w *pack.Matrix, s0, s1 int) bool {
	before := *l
	*l = lastTile{uintptr(unsafe.Pointer(&w.Words[0])), s0, s1}
	return *l == before && (s1-s0)*pack.Words(pack.SuperblockRows, w.Cols)*bytesPerWord <= warmBytes
}

// prefetchNext asks for the words that are read after columns [j, j+nb) of superblock s (see aheadOf), which the processor does not
// foresee: a strip a superblock, far apart. Tiles whose words come from memory or a third-level cache take up to 13% less time so.
func prefetchNext(w *pack.Matrix, s, s0, end, j, nb int) {
	next := aheadOf(w, s, s0, end, j, nb)
	Fetch(next[:min(nb*pack.SuperblockRows, len(next))])
}

// Fetch is kernel.Set.Fetch, into the second-level cache.
func Fetch(words []uint16) {
	if len(words) > 0 {
		prefetchWords(&words[0], (len(words)*bytesPerWord+bytesPerLine-1)/bytesPerLine)
	}
}

// lowBits64 returns a mask of the lowest n ≤ 64 bits.
func lowBits64(n int) uint64 { return 1<<n - 1 }

// grown returns prepared, or a longer one of whole pages, hence aligned, when it has fewer than n entries.
func grown(prepared []int16, n int) []int16 {
	if len(prepared) >= n {
		return prepared
	}
	return make([]int16, max(n, 1<<15))
}
