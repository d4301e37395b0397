//go:build arm64 && !noasm

package arm64

import (
	"unsafe"

	"mmfree/ternary/pack"
)

func (sc *matMulScratch) encoder() pack.Encoder {
	return pack.Encoder{Rows: Tile, Words: encodeWords, Columns: unsafe.Slice(&sc.columns[0][0], colsPerPass*Tile)}
}

// Encode is kernel.Set.Encode.
func Encode(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf.Take()
	sc.place(Tile, m.Cols)
	e := sc.encoder()
	e.Encode(m, codes, s0, s1, func(row, k, _ int) { sc.transpose(codes[row*m.Cols:], m.Cols, k, Tile) })
	matMulShelf.Put(sc)
}

// EncodeTransposed is kernel.Set.EncodeTransposed.
func EncodeTransposed(m *pack.Matrix, codes []int8, s0, s1 int) {
	sc := matMulShelf.Take()
	e := sc.encoder()
	e.EncodeTransposed(m, codes, s0, s1)
	matMulShelf.Put(sc)
}
