//go:build amd64 && !noasm

package amd64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

const floatTile512 = 16 // tokens

type floatScratch512 struct {
	tables  [groupsPerPass * codesPerRow][floatTile512]float32 // first, on a page's start: see addFloats512
	codes   passCodes
	columns [passesTurned][64][floatTile512]float32
	total   [rowsPerPass][floatTile512]float32
	scale   [floatTile512]float32
	offsets [floatTile512]uintptr // of the tokens' values; absent tokens read the last one's
	last    lastTile
}

var floatShelf512 par.Shelf[floatScratch512]

// MatMulFloat512 is kernel.Set.MatMulFloat. A pass of words is its block of 54 columns.
func MatMulFloat512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], y[n*w.Cols-1]
	sc := floatShelf512.Take()
	for t := range sc.scale {
		sc.scale[t] = scale
	}
	for t := 0; t < n; t += floatTile512 {
		sc.multiply(dst[t*ldd:], ldd, w, s0, s1, y[t*w.Cols:], min(floatTile512, n-t))
	}
	floatShelf512.Put(sc)
}

func (sc *floatScratch512) multiply(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int) {
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1) * w.Cols)
	}
	nw := pack.WordsPerRow(w.Cols)
	warm := sc.last.again(w, s0, s1)
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		for j := 0; j < nw; j += wordsPerPass {
			nb := min(wordsPerPass, nw-j)
			k := j * pack.TritsPerWord
			turned := j / wordsPerPass % passesTurned
			for i := 0; turned == 0 && i < passesTurned && k < w.Cols; i++ {
				transposeFloats512(&sc.columns[i][0][0], &y[k], &sc.offsets[0], lowBits64(min(colsPerPass, w.Cols-k)))
				k += colsPerPass
			}
			fillFloats512(&sc.tables[firstTable(nb)][0], &sc.columns[turned][0][0], nb*pack.GroupsPerWord)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				if !warm {
					prefetchNext(w, s, s0, end, j, nb)
				}
				addFloats512(&sc.total[at-first][0], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb, &sc.codes[0][0], keepIf(j > 0))
			}
		}
		emitFloats512(&dst[first], uintptr(ldd)*bytesPerFloat, &sc.total[0][0], floatTile512*bytesPerFloat, &sc.scale[0], n, rows)
	}
}
