//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/pack"

// Tile512 is the number of tokens whose 16-bit sums fill a register.
const Tile512 = 32

const (
	halfTile512 = Tile512 / 2
	codesPerRow = 27 // table entries of a group
	// Words of one pass: their tables, 31 KB for 32 tokens, just fit the first-level cache.
	wordsPerPass  = 6
	groupsPerPass = wordsPerPass * pack.GroupsPerWord
	colsPerPass   = wordsPerPass * pack.TritsPerWord
	// Four passes' sums of 18 entries of at most 3·128 stay inside 16 bits, five would not.
	passesPerWiden = 4
	// Superblocks that share the tables of a pass.
	supersPerPass = 8
	rowsPerPass   = supersPerPass * pack.SuperblockRows
	emitted       = 16 // rows and tokens of one transposition
	bytesPerWord  = 2
)

// matMulScratch512 serves whole and half tiles; a half tile's entries and sums take half the room.
type matMulScratch512 struct {
	tables  [groupsPerPass * codesPerRow][Tile512]int16
	columns [64][Tile512]int8
	sums    [rowsPerPass * Tile512]int16
	wide    [rowsPerPass * Tile512]int32
	offsets [Tile512]uintptr // of the tokens' codes; absent tokens read the last one's
}

var matMulShelf512 shelf[matMulScratch512]

// tile512 is what differs between whole and half tiles.
type tile512 struct {
	tokens  int
	fill    func(tables *int16, columns *int8, groups int)
	addRows func(sums *int16, words *uint16, stride uintptr, tables *int16, rows, n int)
	widen   func(wide *int32, sums *int16, rows int)
}

// MatMul512 is kernel.Set.MatMul.
func MatMul512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	if n < 1 || s0 >= s1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], x[n*w.Cols-1], scale[n-1]
	sc := matMulShelf512.take()
	for t := 0; t < n; t += Tile512 {
		m := min(Tile512, n-t)
		tile := tile512{Tile512, fillWords512, addWords512, widen512}
		if m <= halfTile512 {
			tile = tile512{halfTile512, fillWords256, addWords256, widenHalf512}
		}
		tile.multiply(sc, dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], m)
	}
	matMulShelf512.put(sc)
}

func (l tile512) multiply(sc *matMulScratch512, dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(min(t, n-1) * w.Cols)
	}
	nw := pack.WordsPerRow(w.Cols)
	for ; s0 < s1; s0 += supersPerPass {
		end := min(s0+supersPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, pack.PaddedRows(w.Rows)) - first
		clear(sc.sums[:rows*l.tokens])
		clear(sc.wide[:rows*l.tokens])
		for j := 0; j < nw; j += wordsPerPass {
			nb := min(wordsPerPass, nw-j)
			k := j * pack.TritsPerWord
			transposeCodes512(&sc.columns[0][0], &x[k], &sc.offsets[0], lowBits64(min(colsPerPass, w.Cols-k)))
			l.fill(&sc.tables[0][0], &sc.columns[0][0], nb*pack.GroupsPerWord)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				l.addRows(&sc.sums[(at-first)*l.tokens], &words[j*sr], uintptr(sr*bytesPerWord), &sc.tables[0][0], sr, nb)
			}
			if j+nb == nw || j/wordsPerPass%passesPerWiden == passesPerWiden-1 {
				l.widen(&sc.wide[0], &sc.sums[0], rows)
			}
		}
		rows = min(rows, w.Rows-first)
		for r := 0; r < rows; r += emitted {
			mask := lowBits(min(emitted, rows-r))
			for t := 0; t < n; t += emitted {
				emitInts512(&dst[t*ldd+first+r], uintptr(ldd)*bytesPerFloat, &sc.wide[r*l.tokens+t], uintptr(l.tokens)*bytesPerFloat,
					&scale[t], min(emitted, n-t), mask)
			}
		}
	}
}

// lowBits64 returns a mask of the lowest n ≤ 64 bits.
func lowBits64(n int) uint64 { return 1<<n - 1 }
