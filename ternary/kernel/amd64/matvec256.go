//go:build amd64 && !noasm

package amd64

import (
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Few256 is the largest number of tokens that MatVecFew256 takes, and the one up to which it beats a tile.
const Few256 = 8

const (
	preparedPerWord256 = pack.GroupsPerWord * 16 // 32 bytes a group
	// Word columns that all blocks of a superblock go through before the next ones: of one token 8 KB, which lie side by side, of
	// more 4 KB beside 12 KB of 8 tokens' tables. Even: see biasPerPair256.
	vecWords256    = 32
	vecFewWords256 = 16
	// Words whose bytes, at most 224 for two of them, stay inside 16 bits. A multiple of the above.
	vecWordsPerWiden256 = 512
	// What the bytes of two words, or of a last one, begin at: low ones, and high ones, which count 32.
	biasPerPair256 = 128 * (1 + 32)
)

// vecScratch256 holds a superblock's sums, which are zero between superblocks.
type vecScratch256 struct {
	sums [pack.SuperblockRows / blockRows][Few256][4 * 16]uint16 // see matVec256t1
	wide [Few256][pack.SuperblockRows]int32                      // of all but the last words, where these are many
}

var vecShelf256 par.Shelf[vecScratch256]

// vecTokens256 is the largest number of tokens that share a word's codes.
const vecTokens256 = 4

// matVec256 holds the inner loops, by the number of tokens.
var matVec256 = [vecTokens256 + 1]func(sums *uint16, words *uint16, stride uintptr, tables *int16, step uintptr, n int){
	1: matVec256t1, 2: matVec256t2, 3: matVec256t3, 4: matVec256t4,
}

// Prepare256 is kernel.Set.Prepare: 32 bytes for each group of three columns, see prepare256.
func Prepare256(prepared []int16, x []int8) {
	_ = prepared[pack.WordsPerRow(len(x))*preparedPerWord256-1]
	whole, rest := wholeWords(x)
	if whole > 0 {
		prepare256(&prepared[0], &x[0], whole)
	}
	if len(x) > whole*pack.TritsPerWord {
		prepare256(&prepared[whole*preparedPerWord256], &rest[0], 1)
	}
}

// PrepareFew256 is kernel.Set.PrepareFew: Prepare256's, token by token.
func PrepareFew256(prepared []int16, x []int8, K, n, j0, j1 int) {
	step := pack.WordsPerRow(K) * preparedPerWord256
	for t := range n {
		Prepare256(prepared[t*step+j0*preparedPerWord256:], x[t*K+j0*pack.TritsPerWord:t*K+min(K, j1*pack.TritsPerWord)])
	}
}

// MatVec256 is kernel.Set.MatVec.
func MatVec256(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
	MatVecFew256(dst, 0, w, s0, s1, prepared, []float32{scale}, 1)
}

// MatVecFew256 is kernel.Set.MatVecFew.
func MatVecFew256(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
	if s0 >= s1 {
		return
	}
	nw := pack.WordsPerRow(w.Cols)
	step, chunk := nw*preparedPerWord256, vecFewWords256
	if n == 1 {
		chunk = vecWords256
	}
	_, _, _ = prepared[n*step-1], dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], scale[n-1]
	sc := vecShelf256.Take()
	for s := s0; s < s1; s++ {
		for j := 0; j < nw; j += chunk {
			sc.add(w, s, j, min(chunk, nw-j), prepared, step, n)
			if last := j+chunk >= nw; last || (j+chunk)%vecWordsPerWiden256 == 0 {
				sc.take(dst, ldd, w, s, scale[:n], last)
			}
		}
	}
	vecShelf256.Put(sc)
}

// add adds what words [j, j+nb) of superblock s name, for n tokens.
func (sc *vecScratch256) add(w *pack.Matrix, s, j, nb int, prepared []int16, step, n int) {
	_, sr, words := w.Superblock(s)
	for r := 0; r < sr; r += blockRows {
		for t := 0; t < n; t += vecTokens256 {
			matVec256[min(n-t, vecTokens256)](&sc.sums[r/blockRows][t][0], &words[j*sr+r], uintptr(sr*bytesPerWord),
				&prepared[t*step+j*preparedPerWord256], uintptr(step*bytesPerEntry), nb)
		}
	}
}

// take moves the sums of superblock s to the 32-bit ones, or, the last time, all of them to dst.
func (sc *vecScratch256) take(dst []float32, ldd int, w *pack.Matrix, s int, scale []float32, last bool) {
	first, sr, _ := w.Superblock(s)
	nw := pack.WordsPerRow(w.Cols)
	start := int32(-biasPerPair256 * ((nw + 1) / 2))
	for r := 0; r < sr; r += blockRows {
		for t, f := range scale {
			sums, wide := &sc.sums[r/blockRows][t][0], &sc.wide[t][r]
			if last {
				emitVec256(&dst[t*ldd+first+r], wide, sums, min(blockRows, w.Rows-first-r), f, start)
			} else {
				widenVec256(wide, sums)
			}
		}
	}
	if last && nw > vecWordsPerWiden256 {
		clear(sc.wide[:len(scale)])
	}
}
