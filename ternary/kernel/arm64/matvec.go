//go:build arm64 && !noasm

package arm64

import "mmfree/ternary/pack"

const (
	bytesPerWord     = 2
	bytesPerFloat    = 4
	preparedPerGroup = 32 // int16
	preparedPerWord  = pack.GroupsPerWord * preparedPerGroup
	// An entry of a prepared table is a sum of three codes, at least −384, plus this.
	bias = 3 * 128
	// prepare reads eight bytes at each group's first column.
	prepareReads = 8
)

// Prepare is kernel.Set.Prepare. A group's table has 32 bytes of low parts, then 32 of high parts: v+384 = low + 64·high
// for the signed sum v. Seven words' high parts and one word's low parts then add up inside a byte, where a low part of
// eight bits could not be added even once: 20 instead of 22 vector instructions for 16 rows of a word.
func Prepare(prepared []int16, x []int8) {
	groups := pack.WordsPerRow(len(x)) * pack.GroupsPerWord
	_ = prepared[groups*preparedPerGroup-1]
	whole := 0 // groups that may be read in place
	if len(x) >= prepareReads {
		whole = (len(x)-prepareReads)/pack.TritsPerGroup + 1
		prepare(&prepared[0], &x[0], whole)
	}
	// At most five groups are left: one behind the last whole one if three bytes of it are missing, and those of a word.
	var rest [5*pack.TritsPerGroup + prepareReads]int8
	if left := groups - whole; left > 0 {
		copy(rest[:], x[whole*pack.TritsPerGroup:])
		prepare(&prepared[whole*preparedPerGroup], &rest[0], left)
	}
}

// PrepareFew is kernel.Set.PrepareFew: Prepare's, token by token.
func PrepareFew(prepared []int16, x []int8, K, n, j0, j1 int) {
	step := pack.WordsPerRow(K) * preparedPerWord
	for t := range n {
		Prepare(prepared[t*step+j0*preparedPerWord:], x[t*K+j0*pack.TritsPerWord:t*K+min(K, j1*pack.TritsPerWord)])
	}
}

// MatVec is kernel.Set.MatVec.
func MatVec(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
	MatVecFew(dst, 0, w, s0, s1, prepared, []float32{scale}, 1)
}

// MatVecFew is kernel.Set.MatVecFew: two tokens at a time, a superblock after the other, so that its words are read once from far away.
func MatVecFew(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, prepared []int16, scale []float32, n int) {
	if s0 >= s1 {
		return
	}
	nw := pack.WordsPerRow(w.Cols)
	step := nw * preparedPerWord
	_, _, _ = prepared[n*step-1], dst[(n-1)*ldd+min(s1*pack.SuperblockRows, w.Rows)-1], scale[n-1]
	var sums [2][pack.SuperblockRows]int32
	for s := s0; s < s1; s++ {
		first, sr, words := w.Superblock(s)
		for t := 0; t < n; t += len(sums) {
			m := min(len(sums), n-t)
			for i := range m {
				for r := range sums[i] {
					sums[i][r] = int32(-bias * pack.GroupsPerWord * nw)
				}
			}
			if m == 1 {
				addCodes(&sums[0][0], &words[0], &prepared[t*step], sr, nw)
			} else {
				addCodes2(&sums[0][0], &words[0], &prepared[t*step], uintptr(step*bytesPerWord), sr, nw)
			}
			for i := range m {
				emitSums(dst[(t+i)*ldd+first:][:min(sr, w.Rows-first)], &sums[i], scale[t+i])
			}
		}
	}
}

// emitSums writes the first sums times scale.
func emitSums(out []float32, sums *[pack.SuperblockRows]int32, scale float32) {
	fours := len(out) &^ 3
	if fours > 0 {
		scaleInts(&out[0], &sums[0], fours, scale)
	}
	for r := fours; r < len(out); r++ {
		out[r] = float32(sums[r]) * scale
	}
}
