package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"
)

// Matrix is a ternary matrix [Rows, Cols] in the T3 layout, with one scale: W ≈ codes·Scale. Words may be a mapped file;
// a Matrix never writes to words it did not allocate, other than through Encode.
type Matrix struct {
	Rows, Cols int
	Scale      float32 // m, the mean magnitude of the shadow weights: multiply by it
	Words      []uint16
}

// New returns a matrix of zero trits with scale 0. The sizes must be positive.
func New(rows, cols int) *Matrix {
	m := &Matrix{Rows: rows, Cols: cols, Words: make([]uint16, Words(rows, cols))}
	for i := range m.Words {
		m.Words[i] = zeroWord
	}
	return m
}

// ErrPacked is the class of every fault of packed bytes.
var ErrPacked = errors.New("packed matrix")

// Error is a fault of packed bytes: the word at which it lies, and what is wrong.
type Error struct {
	Word    int // index into Words; −1 when the fault is one of sizes
	Problem string
}

func (e *Error) Error() string {
	if e.Word < 0 {
		return "packed matrix: " + e.Problem
	}
	return fmt.Sprintf("packed matrix: word %d: %s", e.Word, e.Problem)
}

// Unwrap makes errors.Is(err, ErrPacked) true.
func (e *Error) Unwrap() error { return ErrPacked }

// FromWords wraps words that came from a file. It checks sizes, every code, and that all padding is zero trits, because
// kernels index tables by code and trust them.
func FromWords(rows, cols int, scale float32, words []uint16) (*Matrix, error) {
	if rows < 1 || cols < 1 || rows > maxMatrixValues/cols {
		return nil, &Error{Word: -1, Problem: fmt.Sprintf("impossible shape [%d, %d]", rows, cols)}
	}
	if want := Words(rows, cols); len(words) != want {
		return nil, &Error{Word: -1, Problem: fmt.Sprintf("shape [%d, %d] needs %d words, there are %d", rows, cols, want, len(words))}
	}
	if !(scale > 0) || scale > 1e30 { // NaN too
		return nil, &Error{Word: -1, Problem: fmt.Sprintf("scale %v is not a positive number", scale)}
	}
	m := &Matrix{Rows: rows, Cols: cols, Scale: scale, Words: words}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// check finds faults fast, and only then where the first is.
func (m *Matrix) check() error {
	if legalCodes(m.Words) && m.zeroPadding() {
		return nil
	}
	return m.firstFault()
}

// legalCodes reports whether no code is above 26 and no word's bit 15 is set, four words at a time: 5 added to a code
// reaches the bit above it, which is free once its neighbour is masked out, from 27 on.
func legalCodes(words []uint16) bool {
	const (
		lanes = 1 | 1<<16 | 1<<32 | 1<<48
		outer = lanes * (GroupMask | GroupMask<<(2*GroupBits))
		inner = lanes * (GroupMask << GroupBits)
		more  = 1<<GroupBits - codesPerGroup
	)
	fault := func(v uint64) uint64 {
		a := (v&outer + lanes*(more|more<<(2*GroupBits))) & (lanes * (1<<GroupBits | 1<<(3*GroupBits)))
		b := (v&inner + lanes*(more<<GroupBits)) & (lanes << (2 * GroupBits))
		return a | b | v&(lanes<<15)
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), bytesPerWord*len(words))
	var bad uint64
	for ; len(bytes) >= 32; bytes = bytes[32:] { // lanes do not depend on the order of bytes in memory
		b := bytes[:32]
		bad |= fault(binary.NativeEndian.Uint64(b)) | fault(binary.NativeEndian.Uint64(b[8:])) |
			fault(binary.NativeEndian.Uint64(b[16:])) | fault(binary.NativeEndian.Uint64(b[24:]))
	}
	for ; len(bytes) >= bytesPerWord; bytes = bytes[bytesPerWord:] {
		bad |= fault(uint64(binary.NativeEndian.Uint16(bytes)))
	}
	return bad == 0
}

// zeroPadding reports whether padding rows and columns are zero trits.
func (m *Matrix) zeroPadding() bool {
	nw := WordsPerRow(m.Cols)
	tail := m.Cols - (nw-1)*TritsPerWord
	for s := range m.Superblocks() {
		first, rows, words := m.Superblock(s)
		if tail < TritsPerWord {
			for _, w := range words[(nw-1)*rows:] {
				if !zeroFrom(w, tail) {
					return false
				}
			}
		}
		for i := m.Rows - first; i < rows; i++ {
			for j := range nw {
				if words[j*rows+i] != zeroWord {
					return false
				}
			}
		}
	}
	return true
}

// firstFault returns the fault of the lowest word.
func (m *Matrix) firstFault() error {
	nw := WordsPerRow(m.Cols)
	// The last word of a row: groups that lie wholly in the padding must be 13, a partial one must have zero trits there.
	tail := m.Cols - (nw-1)*TritsPerWord
	for s := range m.Superblocks() {
		first, rows, words := m.Superblock(s)
		for j := range nw {
			column := words[j*rows:][:rows]
			for i, w := range column {
				at := first*nw + j*rows + i
				c0, c1, c2 := w&GroupMask, w>>GroupBits&GroupMask, w>>(2*GroupBits)
				switch {
				case c0 >= codesPerGroup || c1 >= codesPerGroup || c2 >= codesPerGroup:
					return &Error{Word: at, Problem: fmt.Sprintf("%#04x holds a code above 26", w)}
				case first+i >= m.Rows && w != zeroWord:
					return &Error{Word: at, Problem: fmt.Sprintf("%#04x in a padding row is not nine zero trits", w)}
				case j == nw-1 && tail < TritsPerWord && !zeroFrom(w, tail):
					return &Error{Word: at, Problem: fmt.Sprintf("%#04x has a non-zero trit behind column %d", w, m.Cols)}
				}
			}
		}
	}
	return nil
}

// zeroFrom reports whether trits from … 8 of the word are zero.
func zeroFrom(w uint16, from int) bool {
	var trits [TritsPerWord]int8
	unpackWord(&trits, w)
	for _, t := range trits[from:] {
		if t != 0 {
			return false
		}
	}
	return true
}

// Superblocks returns the number of superblocks.
func (m *Matrix) Superblocks() int { return (m.Rows + SuperblockRows - 1) / SuperblockRows }

// Superblock returns the words of superblock s, word-column-major, with the index of its first row and its number of
// rows, padding included.
func (m *Matrix) Superblock(s int) (first, rows int, words []uint16) {
	nw := WordsPerRow(m.Cols)
	first, rows = superblock(PaddedRows(m.Rows), s)
	return first, rows, m.Words[first*nw:][:rows*nw]
}

// Encode writes codes, row-major [Rows, Cols] of −1, 0 and +1, into superblocks [from, to).
func (m *Matrix) Encode(codes []int8, from, to int) {
	bytes := asBytes(codes)
	m.encode(from, to, func(column []uint16, first, k, n int) {
		for i := range column {
			at := (first+i)*m.Cols + k
			if n < TritsPerWord {
				column[i] = word(codes[at:], 1, n)
				continue
			}
			low, high := digits(binary.LittleEndian.Uint64(bytes[at:])), digits(binary.LittleEndian.Uint64(bytes[at+1:]))
			column[i] = group(low) | group(low>>24)<<GroupBits | group(high>>40)<<(2*GroupBits)
		}
	})
}

// EncodeTransposed is Encode of the transpose: codes is row-major [Cols, Rows].
func (m *Matrix) EncodeTransposed(codes []int8, from, to int) {
	const (
		low  = bytesOfOne * (1<<(8-GroupBits) - 1) // of a code, what the lower byte of a word has room for behind another one
		rest = bytesOfOne * (1<<(2*GroupBits-8) - 1)
	)
	bytes := asBytes(codes)
	m.encode(from, to, func(column []uint16, first, k, n int) {
		i := 0
		for ; i+8 <= len(column); i += 8 { // the bytes of eight rows
			var c [GroupsPerWord]uint64
			for p := range TritsPerWord {
				d := uint64(bytesOfOne) // a zero trit
				if p < n {
					d = digits(binary.LittleEndian.Uint64(bytes[(k+p)*m.Rows+first+i:]))
				}
				c[p/TritsPerGroup] += d * powers[p%TritsPerGroup]
			}
			lower := c[0] | c[1]&low<<GroupBits
			upper := c[1]>>(8-GroupBits)&rest | c[2]<<(2*GroupBits-8)
			for half := range 2 {
				w := spread(uint32(lower>>(32*half))) | spread(uint32(upper>>(32*half)))<<8
				to := column[i+4*half:][:4]
				to[0], to[1], to[2], to[3] = uint16(w), uint16(w>>16), uint16(w>>32), uint16(w>>48)
			}
		}
		for ; i < len(column); i++ {
			column[i] = word(codes[k*m.Rows+first+i:], m.Rows, n)
		}
	})
}

// encode writes superblocks [from, to): write fills a word column of the rows from first on with the n trits from column k on,
// and padding rows are zero trits.
func (m *Matrix) encode(from, to int, write func(column []uint16, first, k, n int)) {
	for s := from; s < to; s++ {
		first, rows, words := m.Superblock(s)
		real := min(rows, m.Rows-first)
		for j := range WordsPerRow(m.Cols) {
			k, column := j*TritsPerWord, words[j*rows:][:rows]
			write(column[:real], first, k, min(TritsPerWord, m.Cols-k))
			for i := real; i < rows; i++ {
				column[i] = zeroWord
			}
		}
	}
}

func asBytes(codes []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(codes))), len(codes))
}

// bytesOfOne has eight bytes of 1: the digits of zero trits.
const bytesOfOne = 0x0101010101010101

// powers are the values of a digit of 1 in a code, by its place.
var powers = [TritsPerGroup]uint64{1, 3, 9}

// digits turns eight bytes of trits into their digits of a code, t+1; no byte carries into the next.
func digits(trits uint64) uint64 { return (trits&(3*bytesOfOne) + bytesOfOne) & (3 * bytesOfOne) }

// group is the code of the three lowest bytes of digits: the product's byte 2 is d0 + 3·d1 + 9·d2, those below it do not
// reach it.
func group(digits uint64) uint16 { return uint16(digits&0xffffff*(1<<16|3<<8|9)>>16) & GroupMask }

// spread puts four bytes into four words of 16 bits.
func spread(x uint32) uint64 {
	y := uint64(x)
	y = (y | y<<16) & 0x0000ffff0000ffff
	return (y | y<<8) & 0x00ff00ff00ff00ff
}

// place is the value of a trit of +1 in a word, by its position among the nine.
var place = [TritsPerWord]uint16{1, 3, 9, 1 << 5, 3 << 5, 9 << 5, 1 << 10, 3 << 10, 9 << 10}

// word packs n trits, stride bytes apart. Adding a trit's place value to nine codes 13 cannot carry from one group into the
// next.
func word(codes []int8, stride, n int) uint16 {
	w := uint16(zeroWord)
	for p := range n {
		w += uint16(int16(codes[p*stride])) * place[p]
	}
	return w
}

// Decode writes the codes of superblocks [from, to) to dst, row-major [Rows, Cols].
func (m *Matrix) Decode(dst []int8, from, to int) {
	var trits [TritsPerWord]int8
	for s := from; s < to; s++ {
		first, rows, words := m.Superblock(s)
		for j := range WordsPerRow(m.Cols) {
			k := j * TritsPerWord
			n := min(TritsPerWord, m.Cols-k)
			for i := range min(rows, m.Rows-first) {
				unpackWord(&trits, words[j*rows+i])
				copy(dst[(first+i)*m.Cols+k:][:n], trits[:n])
			}
		}
	}
}

// DecodeRow writes the codes of row r to dst [Cols].
func (m *Matrix) DecodeRow(dst []int8, r int) {
	var trits [TritsPerWord]int8
	first, rows, words := m.Superblock(r / SuperblockRows)
	for j := range WordsPerRow(m.Cols) {
		unpackWord(&trits, words[j*rows+r-first])
		copy(dst[j*TritsPerWord:m.Cols], trits[:])
	}
}

func unpackWord(dst *[TritsPerWord]int8, w uint16) {
	for g := range GroupsPerWord {
		c := int8(w >> (GroupBits * g) & GroupMask)
		dst[3*g] = c%3 - 1
		dst[3*g+1] = c/3%3 - 1
		dst[3*g+2] = c/9 - 1
	}
}

// Bytes returns the size of the packed words.
func (m *Matrix) Bytes() int64 { return int64(len(m.Words)) * bytesPerWord }
