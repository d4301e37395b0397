//go:build arm64 && !noasm

package arm64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Few is the number of tokens up to which MatVecFew beats a tile. By instructions alone: for a word of a row addWords needs 15 for a
// tile, addCodes2 1.2 for a token, and their tables cost about the same for seven.
const Few = 8

// Tile is the number of tokens whose 16-bit sums fill two registers. One register's would need as many instructions to
// find an entry as two do.
const Tile = 16

const (
	codesPerRow = 27 // table entries of a group
	// Words of one pass: their tables have 15 KB, half of the smallest first-level cache in use.
	wordsPerPass  = 6
	groupsPerPass = wordsPerPass * pack.GroupsPerWord
	colsPerPass   = wordsPerPass * pack.TritsPerWord
	// Four passes' sums of 18 entries of at most 3·128 stay inside 16 bits, five would not.
	passesPerWiden = 4
	// Superblocks that share the tables of a pass.
	supersPerPass = 8
	rowsPerPass   = supersPerPass * pack.SuperblockRows
	codesRead     = 64 // columns of a pass that transposeCodes reads: whole blocks of 16
	emitted       = 4  // rows and tokens of one transposition
)

type matMulScratch struct {
	tables   [groupsPerPass * codesPerRow][Tile]int16
	columns  [codesRead][Tile]int8
	sums     [rowsPerPass][Tile]int16
	wide     [rowsPerPass][Tile]int32
	rest     [Tile][codesRead]int8 // the last columns, where reading past them would leave x
	offsets  [Tile]uintptr         // of the tokens' codes; absent tokens read the last one's
	inRest   [Tile]uintptr         // of the tokens' codes in rest
	scale    [Tile]float32
	prepared []int16 // of few tokens
}

var matMulShelf par.Shelf[matMulScratch]

// MatMul is kernel.Set.MatMul.
func MatMul(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], x[n*w.Cols-1], scale[n-1]
	sc := matMulShelf.Take()
	for t := 0; t < n; t += Tile {
		if m := min(Tile, n-t); m <= Few {
			sc.multiplyFew(dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
		} else {
			sc.multiply(dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
		}
	}
	matMulShelf.Put(sc)
}

// multiplyFew is MatVecFew.
func (sc *matMulScratch) multiplyFew(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	nw := pack.WordsPerRow(w.Cols)
	if size := n * nw * preparedPerWord; len(sc.prepared) < size {
		sc.prepared = make([]int16, size)
	}
	PrepareFew(sc.prepared, x, w.Cols, n, 0, nw)
	MatVecFew(dst, ldd, w, s0, s1, sc.prepared, scale, n)
}

// place says where the codes of n tokens, K each, begin.
func (sc *matMulScratch) place(n, K int) {
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1) * K)
		sc.inRest[t] = uintptr(t * codesRead)
	}
}

func (sc *matMulScratch) multiply(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	sc.place(n, w.Cols)
	copy(sc.scale[:], scale[:n])
	nw := pack.WordsPerRow(w.Cols)
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, pack.PaddedRows(w.Rows)) - first
		clear(sc.sums[:rows])
		clear(sc.wide[:rows])
		for j := 0; j < nw; j += wordsPerPass {
			nb := min(wordsPerPass, nw-j)
			sc.transpose(x, w.Cols, j*pack.TritsPerWord, n)
			fillWords(&sc.tables[0][0], &sc.columns[0][0], nb*pack.GroupsPerWord)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				addWords(&sc.sums[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb)
			}
			if j+nb == nw || j/wordsPerPass%passesPerWiden == passesPerWiden-1 {
				widen(&sc.wide[0][0], &sc.sums[0][0], rows)
			}
		}
		sc.emit(dst[first:], ldd, min(rows, w.Rows-first), n)
	}
}

// transpose fills columns with those from k on. What lies behind the last one, or in rest from an earlier call, does not
// matter: absent columns have zero trits, whose entries take the column out exactly.
func (sc *matMulScratch) transpose(x []int8, K, k, n int) {
	if (n-1)*K+k+codesRead <= len(x) {
		transposeCodes(&sc.columns[0][0], &x[k], &sc.offsets[0], codesRead/Tile)
		return
	}
	for t := range n {
		copy(sc.rest[t][:], x[t*K+k:][:min(codesRead, K-k)])
	}
	transposeCodes(&sc.columns[0][0], &sc.rest[0][0], &sc.inRest[0], codesRead/Tile)
}

func (sc *matMulScratch) emit(dst []float32, ldd, rows, n int) {
	whole := rows / emitted * emitted
	for t := 0; t < n; t += emitted {
		if whole > 0 {
			emitInts(&dst[t*ldd], uintptr(ldd)*bytesPerFloat, &sc.wide[0][t], &sc.scale[t], min(emitted, n-t), whole)
		}
	}
	for r := whole; r < rows; r++ {
		for t := range n {
			dst[t*ldd+r] = float32(sc.wide[r][t]) * sc.scale[t]
		}
	}
}
