//go:build amd64 && !noasm

package amd64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Few512 is the largest number of tokens that MatVecFew512 takes, and the one up to which it beats a tile. It needs
// AVX512VBMI.
const Few512 = 8

const (
	// Word columns of one pass: 8 tokens' tables, 1.5 KB each, stay in the first-level cache while superblocks pass by. Of
	// 12 to 28 columns and 1 to 8 superblocks these were the fastest from cache and from memory.
	fewWords = 24
	// Superblocks that share the tables of a pass; their sums, 4 KB each, lie in the first-level cache beside them.
	fewSupers = 2
	fewBlocks = pack.SuperblockRows / blockRows
)

type matVecFewScratch512 struct {
	sums [fewSupers * fewBlocks * Few512 * blockRows]int32 // [block][token][32], even rows first
}

var matVecFewShelf512 par.Shelf[matVecFewScratch512]

// PrepareFew512 is kernel.Set.PrepareFew: [word][token][3][32].
func PrepareFew512(prepared []int16, x []int8, K, n, j0, j1 int) {
	for t := range n {
		prepareStep512(prepared[(j0*n+t)*preparedPerWord:], n*preparedPerWord, x[t*K+j0*pack.TritsPerWord:t*K+min(K, j1*pack.TritsPerWord)])
	}
}

// matVecFew512 holds the routines of two blocks of rows, by the number of tokens.
var matVecFew512 = [Few512 + 1]func(sums *int32, words *uint16, stride uintptr, tables *int16, step uintptr, n int, ahead *uint16){
	2: matVecFew512t2x2, 3: matVecFew512t3x2, 4: matVecFew512t4x2, 5: matVecFew512t5x2, 6: matVecFew512t6x2,
	7: matVecFew512t7x2, 8: matVecFew512t8x2,
}

// MatVecFew512 is kernel.Set.MatVecFew.
func MatVecFew512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
	if s0 >= s1 {
		return
	}
	nw := pack.WordsPerRow(w.Cols)
	if n == 1 {
		MatVec512(dst, w, s0, s1, prepared, scale[0])
		return
	}
	_, _, _ = prepared[nw*n*preparedPerWord-1], dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], scale[n-1]
	sc := matVecFewShelf512.Take()
	step := uintptr(n * preparedPerWord * bytesPerEntry)
	for ; s0 < s1; s0 += fewSupers {
		end := min(s0+fewSupers, s1)
		clear(sc.sums[:(end-s0)*fewBlocks*n*blockRows])
		for j := 0; j < nw; j += fewWords {
			nb := min(fewWords, nw-j)
			tables := prepared[j*n*preparedPerWord:]
			for s := s0; s < end; s++ {
				sums := sc.sums[(s-s0)*fewBlocks*n*blockRows:]
				_, sr, words := w.Superblock(s)
				ahead := aheadOf(w, s, s0, end, j, nb)
				stride := uintptr(sr * bytesPerWord)
				b := 0
				for ; b+1 < sr/blockRows; b += 2 {
					matVecFew512[n](&sums[b*n*blockRows], &words[j*sr+b*blockRows], stride, &tables[0], step, nb, &ahead[min(b*blockRows, len(ahead)-1)])
				}
				for ; b < sr/blockRows; b++ {
					for t := range n {
						matVecFew512t1x1(&sums[(b*n+t)*blockRows], &words[j*sr+b*blockRows], stride, &tables[t*preparedPerWord], step, nb, &ahead[0])
					}
				}
			}
		}
		for s := s0; s < end; s++ {
			first := s * pack.SuperblockRows
			for b := 0; b*blockRows < min(pack.SuperblockRows, w.Rows-first); b++ {
				r := first + b*blockRows
				emitFew512(&dst[r], uintptr(ldd)*bytesPerFloat, &sc.sums[((s-s0)*fewBlocks+b)*n*blockRows], &scale[0], n,
					lowBits(min(blockRows, w.Rows-r)))
			}
		}
	}
	matVecFewShelf512.Put(sc)
}

// aheadOf returns the words that are read after columns [j, j+nb) of superblock s, one of [s0, end), for prefetching: the
// same columns of the next superblock, or the next columns of the first.
func aheadOf(w *pack.Matrix, s, s0, end, j, nb int) []uint16 {
	if s+1 < end {
		_, sr, words := w.Superblock(s + 1)
		return words[j*sr:]
	}
	if _, sr, words := w.Superblock(s0); (j+nb)*sr < len(words) {
		return words[(j+nb)*sr:]
	}
	if end < w.Superblocks() {
		_, _, words := w.Superblock(end)
		return words
	}
	_, _, words := w.Superblock(s0)
	return words
}
