package pack

// Encoder packs trits by an inner loop that takes some rows at a time, such as a vector's; what that cannot take it leaves to
// Matrix's own methods. It is one worker's, for one call.
type Encoder struct {
	Rows int // at a time; divides 32
	// Words writes n word columns of so many rows, stride bytes apart, from 9·n columns of their trits, step bytes apart. n ≥ 1.
	Words func(words *uint16, stride uintptr, codes *int8, step uintptr, n int)
	// Columns is scratch memory for the trits of some columns, a multiple of 9, column by column.
	Columns []int8
}

// Encode is Matrix.Encode. turn writes the trits of columns [k, k+n) of the rows from row on to e.Columns.
func (e *Encoder) Encode(m *Matrix, codes []int8, from, to int, turn func(row, k, n int)) {
	cols := len(e.Columns) / e.Rows
	e.each(m, from, to, func(s int) { m.Encode(codes, s, s+1) }, func(row, stride int, words []uint16) {
		_ = codes[(row+e.Rows)*m.Cols-1]
		for k := 0; k < m.Cols; k += cols {
			n := min(cols, m.Cols-k)
			turn(row, k, n)
			e.part(&words[k/TritsPerWord*stride], stride, n)
		}
	})
}

// EncodeTransposed is Matrix.EncodeTransposed.
func (e *Encoder) EncodeTransposed(m *Matrix, codes []int8, from, to int) {
	whole, rest := m.Cols/TritsPerWord, m.Cols%TritsPerWord
	e.each(m, from, to, func(s int) { m.EncodeTransposed(codes, s, s+1) }, func(row, stride int, words []uint16) {
		_ = codes[(m.Cols-1)*m.Rows+row+e.Rows-1]
		if whole > 0 {
			e.Words(&words[0], uintptr(stride*bytesPerWord), &codes[row], uintptr(m.Rows), whole)
		}
		if rest > 0 {
			for p := range rest {
				copy(e.Columns[p*e.Rows:][:e.Rows], codes[(whole*TritsPerWord+p)*m.Rows+row:])
			}
			e.part(&words[whole*stride], stride, rest)
		}
	})
}

// part packs the n columns of e.Columns, the last word's absent ones as zero trits.
func (e *Encoder) part(words *uint16, stride, n int) {
	nb := WordsPerRow(n)
	clear(e.Columns[n*e.Rows : nb*TritsPerWord*e.Rows])
	e.Words(words, uintptr(stride*bytesPerWord), &e.Columns[0], uintptr(e.Rows), nb)
}

// each calls block for the runs of e.Rows rows of superblocks [from, to), padded for one with rows of padding. Columns of words are
// stride words apart.
func (e *Encoder) each(m *Matrix, from, to int, padded func(s int), block func(row, stride int, words []uint16)) {
	for s := from; s < to; s++ {
		first, sr, words := m.Superblock(s)
		if first+sr > m.Rows {
			padded(s)
			continue
		}
		for r := 0; r < sr; r += e.Rows {
			block(first+r, sr, words[r:])
		}
	}
}
