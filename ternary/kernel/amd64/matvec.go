//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/pack"

const (
	blockRows       = 32 // rows of one register of words
	preparedPerWord = pack.GroupsPerWord * 32
	bytesPerEntry   = 2
)

// PrepareWords512 is kernel.Set.Prepare, in generic's form: 32 signed sums for each group of three columns.
func PrepareWords512(prepared []int16, x []int8) { prepare512(false, prepared, x) }

// PrepareBytes512 is PrepareWords512 where codes are picked byte by byte. It needs AVX512VBMI.
func PrepareBytes512(prepared []int16, x []int8) { prepare512(true, prepared, x) }

func prepare512(byBytes bool, prepared []int16, x []int8) {
	_ = prepared[pack.WordsPerRow(len(x))*preparedPerWord-1]
	prepareStep512(byBytes, prepared, preparedPerWord, x)
}

// prepareStep512 is prepare512 with the words' tables so many entries apart.
func prepareStep512(byBytes bool, prepared []int16, step int, x []int8) {
	_ = prepared[(pack.WordsPerRow(len(x))-1)*step+preparedPerWord-1]
	whole, rest := wholeWords(x)
	if whole > 0 {
		prepareRun512(byBytes, &prepared[0], step, &x[0], whole)
	}
	if len(x) > whole*pack.TritsPerWord {
		prepareRun512(byBytes, &prepared[whole*step], step, &rest[0], 1)
	}
}

// prepareRun512 chooses by a branch: through a function variable rest would escape.
func prepareRun512(byBytes bool, prepared *int16, step int, x *int8, n int) {
	if byBytes {
		prepareBytes512(prepared, uintptr(step)*bytesPerEntry, x, n)
	} else {
		prepareWords512(prepared, uintptr(step)*bytesPerEntry, x, n)
	}
}

// wholeWords returns the number of words that x fills, and the rest of x filled up with zeros.
func wholeWords(x []int8) (whole int, rest [pack.TritsPerWord]int8) {
	whole = len(x) / pack.TritsPerWord
	copy(rest[:], x[whole*pack.TritsPerWord:])
	return whole, rest
}

// MatVec512 is kernel.Set.MatVec.
func MatVec512(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
	if s0 >= s1 {
		return
	}
	nw := pack.WordsPerRow(w.Cols)
	_, _ = prepared[nw*preparedPerWord-1], dst[min(s1*pack.SuperblockRows, w.Rows)-1]
	for s := s0; s < s1; s++ {
		first, sr, words := w.Superblock(s)
		rows := min(sr, w.Rows-first)
		if sr == pack.SuperblockRows {
			matVec512x4(&dst[first], &words[0], pack.SuperblockRows*bytesPerWord, &prepared[0], nw, scale,
				lowBits64(min(64, rows)), lowBits64(max(0, rows-64)))
			continue
		}
		for r := 0; r < rows; r += blockRows {
			matVec512x1(&dst[first+r], &words[r], uintptr(sr*bytesPerWord), &prepared[0], nw, scale, lowBits64(min(blockRows, rows-r)), 0)
		}
	}
}
