//go:build arm64 && !noasm

package arm64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

const (
	floatTile  = 8  // tokens: the chains of four rows fill 24 registers
	floatsRead = 56 // columns of a pass that transposeFloats reads: whole blocks of 4
	floatBlock = 4
)

type floatScratch struct {
	tables  [groupsPerPass * codesPerRow][floatTile]float32
	columns [floatsRead][floatTile]float32
	total   [rowsPerPass][floatTile]float32
	rest    [floatTile][floatsRead]float32 // the last columns, where reading past them would leave y
	offsets [floatTile]uintptr             // of the tokens' values; absent tokens read the last one's
	inRest  [floatTile]uintptr             // of the tokens' values in rest
}

var floatShelf par.Shelf[floatScratch]

// MatMulFloat is kernel.Set.MatMulFloat. A pass of words is its block of 54 columns.
func MatMulFloat(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], y[n*w.Cols-1]
	sc := floatShelf.Take()
	for t := 0; t < n; t += floatTile {
		sc.multiply(dst[t*ldd:], ldd, w, s0, s1, y[t*w.Cols:], min(floatTile, n-t), scale)
	}
	floatShelf.Put(sc)
}

func (sc *floatScratch) multiply(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1)*w.Cols) * bytesPerFloat
		sc.inRest[t] = uintptr(t*floatsRead) * bytesPerFloat
	}
	nw := pack.WordsPerRow(w.Cols)
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		clear(sc.total[:pack.PaddedRows(rows)])
		for j := 0; j < nw; j += wordsPerPass {
			nb := min(wordsPerPass, nw-j)
			sc.transpose(y, w.Cols, j*pack.TritsPerWord, n)
			fillFloats(&sc.tables[0][0], &sc.columns[0][0], nb*pack.GroupsPerWord)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				addFloats(&sc.total[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb)
			}
		}
		sc.emit(dst[first:], ldd, rows, n, scale)
	}
}

// transpose fills columns with those from k on. What lies behind the last one does not matter: no entry of a zero trit
// holds its column.
func (sc *floatScratch) transpose(y []float32, K, k, n int) {
	if (n-1)*K+k+floatsRead <= len(y) {
		transposeFloats(&sc.columns[0][0], &y[k], &sc.offsets[0], floatsRead/floatBlock)
		return
	}
	for t := range n {
		copy(sc.rest[t][:], y[t*K+k:][:min(floatsRead, K-k)])
	}
	transposeFloats(&sc.columns[0][0], &sc.rest[0][0], &sc.inRest[0], floatsRead/floatBlock)
}

func (sc *floatScratch) emit(dst []float32, ldd, rows, n int, scale float32) {
	whole := rows / emitted * emitted
	for t := 0; t < n; t += emitted {
		if whole > 0 {
			emitFloats(&dst[t*ldd], uintptr(ldd)*bytesPerFloat, &sc.total[0][t], scale, min(emitted, n-t), whole)
		}
	}
	for r := whole; r < rows; r++ {
		for t := range n {
			dst[t*ldd+r] = sc.total[r][t] * scale
		}
	}
}
