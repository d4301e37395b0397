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

// MatVec is kernel.Set.MatVec.
func MatVec(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
	if s0 >= s1 {
		return
	}
	nw := pack.WordsPerRow(w.Cols)
	_, _ = prepared[nw*preparedPerWord-1], dst[min(s1*pack.SuperblockRows, w.Rows)-1]
	var sums [pack.SuperblockRows]int32
	for s := s0; s < s1; s++ {
		first, sr, words := w.Superblock(s)
		for i := range sums {
			sums[i] = int32(-bias * pack.GroupsPerWord * nw)
		}
		addCodes(&sums[0], &words[0], &prepared[0], sr, nw)
		out := dst[first:][:min(sr, w.Rows-first)]
		fours := len(out) &^ 3
		if fours > 0 {
			scaleInts(&out[0], &sums[0], fours, scale)
		}
		for r := fours; r < len(out); r++ {
			out[r] = float32(sums[r]) * scale
		}
	}
}
