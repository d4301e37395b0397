//go:build amd64 && !noasm

package amd64

import (
	"unsafe"

	"mmfree/ternary/pack"
)

func (sc *matMulScratch512) encoder() pack.Encoder {
	return pack.Encoder{Rows: Tile512, Words: encodeWords512, Columns: unsafe.Slice(&sc.columns[0][0][0], colsPerPass*Tile512)}
}

func (sc *matMulScratch256) encoder() pack.Encoder {
	return pack.Encoder{Rows: lanes256, Words: encodeWords256, Columns: unsafe.Slice(&sc.columns[0][0][0], colsPerPass*lanes256)}
}

// Encode512 is kernel.Set.Encode.
func Encode512(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf512.Take()
	for t := range sc.offsets {
		sc.offsets[t] = uintptr(t * m.Cols)
	}
	e := sc.encoder()
	e.Encode(m, codes, s0, s1, func(row, k, n int) {
		transposeCodes512(&sc.columns[0][0][0], &codes[row*m.Cols+k], &sc.offsets[0], lowBits64(n))
	})
	matMulShelf512.Put(sc)
}

// Encode256 is kernel.Set.Encode.
func Encode256(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf256.Take()
	e := sc.encoder()
	e.Encode(m, codes, s0, s1, func(row, k, _ int) { sc.transpose(codes[row*m.Cols:], m.Cols, k, lanes256) })
	matMulShelf256.Put(sc)
}

// EncodeTransposed512 is kernel.Set.EncodeTransposed.
func EncodeTransposed512(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf512.Take()
	e := sc.encoder()
	e.EncodeTransposed(m, codes, s0, s1)
	matMulShelf512.Put(sc)
}

// EncodeTransposed256 is kernel.Set.EncodeTransposed.
func EncodeTransposed256(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf256.Take()
	e := sc.encoder()
	e.EncodeTransposed(m, codes, s0, s1)
	matMulShelf256.Put(sc)
}
