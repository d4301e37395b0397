//go:build amd64 && !noasm

package amd64

import (
	"unsafe"

	"mmfree/ternary/pack"
)

// encoder packs so many rows at a time, from trits that stand column by column.
type encoder struct {
	rows    int
	words   func(words *uint16, stride uintptr, codes *int8, step uintptr, n int)
	columns []int8 // [colsPerPass or more, rows], scratch
}

func (sc *matMulScratch512) encoder() encoder {
	return encoder{Tile512, encodeWords512, unsafe.Slice(&sc.columns[0][0][0], len(sc.columns[0])*Tile512)}
}

func (sc *matMulScratch256) encoder() encoder {
	return encoder{lanes256, encodeWords256, unsafe.Slice(&sc.columns[0][0][0], codeCols256*lanes256)}
}

// Encode512 is kernel.Set.Encode.
func Encode512(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf512.Take()
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(t * m.Cols)
	}
	e := sc.encoder()
	e.straight(m, codes, s0, s1, func(row, k, n int) {
		transposeCodes512(&sc.columns[0][0][0], &codes[row*m.Cols+k], &sc.offsets[0], lowBits64(n))
	})
	matMulShelf512.Put(sc)
}

// Encode256 is kernel.Set.Encode.
func Encode256(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf256.Take()
	e := sc.encoder()
	e.straight(m, codes, s0, s1, func(row, k, _ int) { sc.transpose(codes[row*m.Cols:], m.Cols, k, lanes256) })
	matMulShelf256.Put(sc)
}

// EncodeTransposed512 is kernel.Set.EncodeTransposed.
func EncodeTransposed512(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf512.Take()
	e := sc.encoder()
	e.transposed(m, codes, s0, s1)
	matMulShelf512.Put(sc)
}

// EncodeTransposed256 is kernel.Set.EncodeTransposed.
func EncodeTransposed256(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf256.Take()
	e := sc.encoder()
	e.transposed(m, codes, s0, s1)
	matMulShelf256.Put(sc)
}

// straight packs rows; turn writes the trits of columns [k, k+n) of the rows from row on to e.columns.
func (e *encoder) straight(m *pack.Matrix, codes []int8, s0, s1 int, turn func(row, k, n int)) {
	e.each(m, s0, s1, func(s int) { m.Encode(codes, s, s+1) }, func(row, stride int, words []uint16) {
		_ = codes[(row+e.rows)*m.Cols-1]
		for k := 0; k < m.Cols; k += colsPerPass {
			n := min(colsPerPass, m.Cols-k)
			turn(row, k, n)
			e.part(&words[k/pack.TritsPerWord*stride], stride, n)
		}
	})
}

// transposed packs the transpose of codes [Cols, Rows].
func (e *encoder) transposed(m *pack.Matrix, codes []int8, s0, s1 int) {
	whole, rest := m.Cols/pack.TritsPerWord, m.Cols%pack.TritsPerWord
	e.each(m, s0, s1, func(s int) { m.EncodeTransposed(codes, s, s+1) }, func(row, stride int, words []uint16) {
		_ = codes[(m.Cols-1)*m.Rows+row+e.rows-1]
		if whole > 0 {
			e.words(&words[0], uintptr(stride*bytesPerWord), &codes[row], uintptr(m.Rows), whole)
		}
		if rest > 0 {
			for p := range rest {
				copy(e.columns[p*e.rows:][:e.rows], codes[(whole*pack.TritsPerWord+p)*m.Rows+row:])
			}
			e.part(&words[whole*stride], stride, rest)
		}
	})
}

// part packs the n columns of e.columns, the last word's absent ones as zero trits.
func (e *encoder) part(words *uint16, stride, n int) {
	nb := pack.WordsPerRow(n)
	clear(e.columns[n*e.rows : nb*pack.TritsPerWord*e.rows])
	e.words(words, uintptr(stride*bytesPerWord), &e.columns[0], uintptr(e.rows), nb)
}

// each calls block for the runs of e.rows rows of superblocks [s0, s1), padded for one with rows of padding. Columns of words are
// stride words apart.
func (e *encoder) each(m *pack.Matrix, s0, s1 int, padded func(s int), block func(row, stride int, words []uint16)) {
	for s := s0; s < s1; s++ {
		first, sr, words := m.Superblock(s)
		if first+sr > m.Rows {
			padded(s)
			continue
		}
		for r := 0; r < sr; r += e.rows {
			block(first+r, sr, words[r:])
		}
	}
}
