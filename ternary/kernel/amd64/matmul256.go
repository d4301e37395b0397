//go:build amd64 && !noasm

package amd64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Tile256 is the number of tokens whose 16-bit sums fill two registers: one index looks up both.
const Tile256 = 32

const (
	lanes256      = 16 // tokens of a register's 16-bit sums
	floatTile256  = 16 // tokens, of two registers too
	floatLanes256 = 8
	emitted256    = 8 // rows and tokens of one transposition
	// Columns that a transposition reads, in whole blocks: of rows that end before, a filled-up copy is read.
	codeBlock256  = 16
	codeCols256   = (colsPerPass + codeBlock256 - 1) / codeBlock256 * codeBlock256
	floatBlock256 = 8
	floatCols256  = (colsPerPass + floatBlock256 - 1) / floatBlock256 * floatBlock256
)

type matMulScratch256 struct {
	tables   [groupsPerPass * codesPerRow][Tile256]int16 // first, on a page's start: see addWords256
	codes    passCodes
	columns  [Tile256 / lanes256][codeCols256][lanes256]int8
	sums     [rowsPerPass][Tile256]int16
	wide     [rowsPerPass][Tile256]int32
	offsets  [Tile256]uintptr // of the tokens' codes; absent tokens read the last one's
	last     [Tile256][codeCols256]int8
	prepared []int16 // of few tokens
}

var matMulShelf256 par.Shelf[matMulScratch256]

// MatMul256 is kernel.Set.MatMul.
func MatMul256(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], x[n*w.Cols-1], scale[n-1]
	sc := matMulShelf256.Take()
	for t := 0; t < n; t += Tile256 {
		if m := min(Tile256, n-t); m <= Few256 {
			sc.multiplyFew(dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
		} else {
			sc.multiply(dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
		}
	}
	matMulShelf256.Put(sc)
}

// multiplyFew is MatVecFew256.
func (sc *matMulScratch256) multiplyFew(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	nw := pack.WordsPerRow(w.Cols)
	sc.prepared = grown(sc.prepared, n*nw*preparedPerWord256)
	PrepareFew256(sc.prepared, x, w.Cols, n, 0, nw)
	MatVecFew256(dst, ldd, w, s0, s1, sc.prepared, scale, n)
}

func (sc *matMulScratch256) multiply(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	nw := pack.WordsPerRow(w.Cols)
	addWords, addWide := addWords256, addWide256
	if n <= lanes256 {
		addWords, addWide = addWordsHalf256, addWideHalf256
	}
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		for j := 0; j < nw; j += wordsPerPass {
			widen, keep, keepWide := passOf(j, nw)
			nb := min(wordsPerPass, nw-j)
			for h := range sc.transpose(x, w.Cols, j*pack.TritsPerWord, n) {
				fillWords256(&sc.tables[firstTable(nb)][h*lanes256], &sc.columns[h][0][0], nb*pack.GroupsPerWord)
			}
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				prefetchNext(w, s, s0, end, j, nb)
				if widen {
					addWide(&sc.wide[at-first][0], &sc.sums[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb, &sc.codes[0][0], keep, keepWide)
				} else {
					addWords(&sc.sums[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb, &sc.codes[0][0], keep)
				}
			}
		}
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		for t := 0; t < n; t += emitted256 { // the rows of these few tokens, see AVX-512's tile
			emitInts256(&dst[t*ldd+first], uintptr(ldd)*bytesPerFloat, &sc.wide[0][t], Tile256*bytesPerFloat, &scale[t], min(emitted256, n-t), rows)
		}
	}
}

// transpose fills columns with those of n tokens' codes from k, and returns how many registers of tokens these are.
func (sc *matMulScratch256) transpose(x []int8, K, k, n int) (registers int) {
	from, stride := &x[k], K
	if k+codeCols256 > K {
		cols := min(colsPerPass, K-k)
		for t := range n {
			copy(sc.last[t][:cols], x[t*K+k:])
		}
		from, stride = &sc.last[0][0], codeCols256
	}
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1) * stride)
	}
	registers = (n + lanes256 - 1) / lanes256
	for h := range registers {
		transposeCodes256(&sc.columns[h][0][0], from, &sc.offsets[h*lanes256], codeCols256/codeBlock256)
	}
	return registers
}

type floatScratch256 struct {
	tables  [groupsPerPass * codesPerRow][floatTile256]float32 // first, on a page's start: see addFloats256
	codes   passCodes
	columns [floatTile256 / floatLanes256][floatCols256][floatLanes256]float32
	total   [rowsPerPass][floatTile256]float32
	scale   [floatTile256]float32
	offsets [floatTile256]uintptr // of the tokens' values; absent tokens read the last one's
	last    [floatTile256][floatCols256]float32
}

var floatShelf256 par.Shelf[floatScratch256]

// MatMulFloat256 is kernel.Set.MatMulFloat. A pass of words is its block of 54 columns.
func MatMulFloat256(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], y[n*w.Cols-1]
	sc := floatShelf256.Take()
	for t := range sc.scale {
		sc.scale[t] = scale
	}
	for t := 0; t < n; t += floatTile256 {
		sc.multiply(dst[t*ldd:], ldd, w, s0, s1, y[t*w.Cols:], min(floatTile256, n-t))
	}
	floatShelf256.Put(sc)
}

func (sc *floatScratch256) multiply(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int) {
	nw := pack.WordsPerRow(w.Cols)
	addFloats := addFloats256
	if n <= floatLanes256 {
		addFloats = addFloatsHalf256
	}
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		for j := 0; j < nw; j += wordsPerPass {
			nb := min(wordsPerPass, nw-j)
			for h := range sc.transpose(y, w.Cols, j*pack.TritsPerWord, n) {
				fillFloats256(&sc.tables[firstTable(nb)][h*floatLanes256], &sc.columns[h][0][0], nb*pack.GroupsPerWord)
			}
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				prefetchNext(w, s, s0, end, j, nb)
				addFloats(&sc.total[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb, &sc.codes[0][0], keepIf(j > 0))
			}
		}
		for t := 0; t < n; t += emitted256 { // the rows of these few tokens, see AVX-512's tile
			emitFloats256(&dst[t*ldd+first], uintptr(ldd)*bytesPerFloat, &sc.total[0][t], floatTile256*bytesPerFloat, &sc.scale[0], min(emitted256, n-t), rows)
		}
	}
}

// transpose fills columns with those of n tokens' values from k, and returns how many registers of tokens these are.
func (sc *floatScratch256) transpose(y []float32, K, k, n int) (registers int) {
	from, stride := &y[k], K
	if k+floatCols256 > K {
		cols := min(colsPerPass, K-k)
		for t := range n {
			copy(sc.last[t][:cols], y[t*K+k:])
		}
		from, stride = &sc.last[0][0], floatCols256
	}
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1) * stride)
	}
	registers = (n + floatLanes256 - 1) / floatLanes256
	for h := range registers {
		transposeFloats256(&sc.columns[h][0][0], from, &sc.offsets[h*floatLanes256], floatCols256/floatBlock256)
	}
	return registers
}
