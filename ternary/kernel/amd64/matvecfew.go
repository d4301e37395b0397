//go:build amd64 && !noasm

package amd64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Few512 is the largest number of tokens that a MatVecFew takes, and the one up to which it beats a tile.
const Few512 = 8

const (
	fewSupers = 8 // at most, of one pass
	fewBlocks = pack.SuperblockRows / blockRows
)

type matVecFewScratch512 struct {
	sums [fewSupers * fewBlocks * Few512 * blockRows]int32 // [block][token][32], even rows first
}

var matVecFewShelf512 par.Shelf[matVecFewScratch512]

// PrepareFewWords512 is kernel.Set.PrepareFew: [word][token][3][32].
func PrepareFewWords512(prepared []int16, x []int8, K, n, j0, j1 int) {
	prepareFew512(false, prepared, x, K, n, j0, j1)
}

// PrepareFewBytes512 is PrepareFewWords512 where codes are picked byte by byte. It needs AVX512VBMI.
func PrepareFewBytes512(prepared []int16, x []int8, K, n, j0, j1 int) {
	prepareFew512(true, prepared, x, K, n, j0, j1)
}

func prepareFew512(byBytes bool, prepared []int16, x []int8, K, n, j0, j1 int) {
	for t := range n {
		prepareStep512(byBytes, prepared[(j0*n+t)*preparedPerWord:], n*preparedPerWord, x[t*K+j0*pack.TritsPerWord:t*K+min(K, j1*pack.TritsPerWord)])
	}
}

// fewForm512 is what the two forms of lookups differ in.
type fewForm512 struct {
	byBytes bool
	// Word columns of one pass: 8 tokens' tables, 1.5 KB each, stay in the first-level cache while superblocks pass by.
	words int
	// Superblocks that share the tables of a pass; their sums, 4 KB each, lie beside them or in the second level.
	supers int
	// One block's and one token's routine, and those of two blocks, by the number of tokens.
	routines [Few512 + 1]func(sums *int32, words *uint16, stride uintptr, tables *int16, step uintptr, n int, ahead *uint16)
}

// Of 8 to 28 columns and 1 to 8 superblocks these were the fastest from cache and from memory: words on a Zen 4, whose
// first-level cache has 32 KB, bytes on a Xeon, whose has 48.
var (
	fewWords512 = fewForm512{false, 12, 8, [...]func(*int32, *uint16, uintptr, *int16, uintptr, int, *uint16){
		1: matVecFewWords512t1x1, 2: matVecFewWords512t2x2, 3: matVecFewWords512t3x2, 4: matVecFewWords512t4x2,
		5: matVecFewWords512t5x2, 6: matVecFewWords512t6x2, 7: matVecFewWords512t7x2, 8: matVecFewWords512t8x2,
	}}
	fewBytes512 = fewForm512{true, 24, 2, [...]func(*int32, *uint16, uintptr, *int16, uintptr, int, *uint16){
		1: matVecFewBytes512t1x1, 2: matVecFewBytes512t2x2, 3: matVecFewBytes512t3x2, 4: matVecFewBytes512t4x2,
		5: matVecFewBytes512t5x2, 6: matVecFewBytes512t6x2, 7: matVecFewBytes512t7x2, 8: matVecFewBytes512t8x2,
	}}
)

// PicksWords tells whether MatVecFewWords512 is faster than MatVecFewBytes512: on AMD's processors.
func PicksWords() bool {
	const auth = 'A' | 'u'<<8 | 't'<<16 | 'h'<<24 // AuthenticAMD
	return vendor() == auth
}

// MatVecFewWords512 is kernel.Set.MatVecFew where a lookup picks words.
func MatVecFewWords512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
	matVecFew512(&fewWords512, dst, ldd, w, s0, s1, prepared, scale, n)
}

// MatVecFewBytes512 is kernel.Set.MatVecFew where a lookup picks bytes. It needs AVX512VBMI.
func MatVecFewBytes512(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
	matVecFew512(&fewBytes512, dst, ldd, w, s0, s1, prepared, scale, n)
}

func matVecFew512(f *fewForm512, dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
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
	for ; s0 < s1; s0 += f.supers {
		end := min(s0+f.supers, s1)
		clear(sc.sums[:(end-s0)*fewBlocks*n*blockRows])
		for j := 0; j < nw; j += f.words {
			nb := min(f.words, nw-j)
			tables := prepared[j*n*preparedPerWord:]
			for s := s0; s < end; s++ {
				sums := sc.sums[(s-s0)*fewBlocks*n*blockRows:]
				_, sr, words := w.Superblock(s)
				ahead := aheadOf(w, s, s0, end, j, nb)
				stride := uintptr(sr * bytesPerWord)
				b := 0
				for ; b+1 < sr/blockRows; b += 2 {
					f.routines[n](&sums[b*n*blockRows], &words[j*sr+b*blockRows], stride, &tables[0], step, nb, &ahead[min(b*blockRows, len(ahead)-1)])
				}
				for ; b < sr/blockRows; b++ {
					for t := range n {
						f.routines[1](&sums[(b*n+t)*blockRows], &words[j*sr+b*blockRows], stride, &tables[t*preparedPerWord], step, nb, &ahead[0])
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
