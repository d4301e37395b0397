package stored

import (
	"fmt"
	"math"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// Raw is a tensor's bytes in a file, row-major, little-endian.
type Raw struct {
	DType dtype.Type
	Shape []int
	Bytes []byte
}

// Tensor is one tensor of a model: what the model makes of it, how the file stores it, and functions that read it.
type Tensor struct {
	spec.Tensor
	Stored dtype.Type // as the file stores it
	Bytes  int64      // that it takes there
	Scale  float32    // of codes: value = code·Scale; 0 where the file holds values
	floats func(dst []float32, row int) error
	codes  func(dst []int8, row int) error
}

// Values makes a tensor of stored values; read fills dst with whole rows, from row on.
func Values(t spec.Tensor, typ dtype.Type, bytes int64, read func(dst []float32, row int) error) Tensor {
	return Tensor{Tensor: t, Stored: typ, Bytes: bytes, floats: read}
}

// Codes makes a ternary tensor of stored codes and their scale; read fills dst with whole rows of −1, 0 and +1, from row on.
func Codes(t spec.Tensor, typ dtype.Type, bytes int64, scale float32, read func(dst []int8, row int) error) Tensor {
	return Tensor{Tensor: t, Stored: typ, Bytes: bytes, Scale: scale, codes: read}
}

// Floats makes a tensor of the bytes of its values, of a type that dtype decodes. The bytes are used in place.
func Floats(t spec.Tensor, raw Raw) Tensor {
	size := raw.DType.Bits() / 8
	out := Values(t, raw.DType, int64(len(raw.Bytes)), nil)
	_, cols := out.Rows()
	out.floats = func(dst []float32, row int) error {
		return dtype.Decode(dst, raw.Bytes[row*cols*size:][:len(dst)*size], raw.DType)
	}
	return out
}

// Rows returns the tensor as a matrix; a vector is one row.
func (t *Tensor) Rows() (rows, cols int) {
	if len(t.Shape) == 2 {
		return t.Shape[0], t.Shape[1]
	}
	return 1, t.Elements()
}

// IsCodes reports whether the file holds codes.
func (t *Tensor) IsCodes() bool { return t.codes != nil }

// Reorder returns the tensor with its rows in another order: row r is the file's row order(r).
func (t Tensor) Reorder(order func(row int) int) Tensor {
	_, cols := t.Rows()
	if floats := t.floats; floats != nil {
		t.floats = func(dst []float32, row int) error { return eachRow(dst, cols, row, order, floats) }
	}
	if codes := t.codes; codes != nil {
		t.codes = func(dst []int8, row int) error { return eachRow(dst, cols, row, order, codes) }
	}
	return t
}

func eachRow[T any](dst []T, cols, row int, order func(int) int, read func(dst []T, row int) error) error {
	for ; len(dst) > 0; dst = dst[cols:] {
		if err := read(dst[:cols], order(row)); err != nil {
			return err
		}
		row++
	}
	return nil
}

// ReadRows fills dst with the values of whole rows, from row on: of codes, code·Scale.
func (t *Tensor) ReadRows(dst []float32, row int) error {
	if t.codes == nil {
		return t.floats(dst, row)
	}
	codes := make([]int8, len(dst))
	if err := t.codes(codes, row); err != nil {
		return err
	}
	for j, c := range codes {
		dst[j] = float32(c) * t.Scale
	}
	return nil
}

// ReadCodes fills dst with the codes of whole rows, from row on. The tensor holds codes.
func (t *Tensor) ReadCodes(dst []int8, row int) error { return t.codes(dst, row) }

// blockValues is about how many values are read at a time.
const blockValues = 1 << 16

// Each reads the tensor from its first row to its last and hands on whole rows, some at a time; at is the index of v's first
// value. A NaN or an infinity ends it with a *spec.ValueError, which no model may hold.
func (t *Tensor) Each(use func(v []float32, at int) error) error {
	rows, cols := t.Rows()
	step := max(1, blockValues/max(1, cols))
	buffer := make([]float32, min(step, rows)*cols)
	for row := 0; row < rows; row += step {
		v := buffer[:min(step, rows-row)*cols]
		if err := t.ReadRows(v, row); err != nil {
			return err
		}
		for j, x := range v {
			if math.Float32bits(x)&0x7f800000 == 0x7f800000 {
				return &spec.ValueError{Tensor: t.Name, Index: row*cols + j, Value: x}
			}
		}
		if err := use(v, row*cols); err != nil {
			return err
		}
	}
	return nil
}

// Matrix returns the packed codes: those of the file, else those that the quantiser of training gives for the values.
func (t *Tensor) Matrix() (*pack.Matrix, error) {
	rows, cols := t.Rows()
	m := pack.New(rows, cols)
	codes := make([]int8, min(rows, pack.SuperblockRows)*cols)
	m.Scale = t.Scale
	read := t.codes
	if read == nil {
		var mean quant.Mean
		if err := t.Each(func(v []float32, _ int) error { mean.Add(v); return nil }); err != nil {
			return nil, err
		}
		var ok bool
		if m.Scale, ok = mean.Scale(); !ok {
			return nil, &format.Error{Tensor: t.Name, Offset: -1, Problem: "the sum of its magnitudes overflows", Fix: "the weights are damaged: get them again"}
		}
		values := make([]float32, len(codes))
		read = func(dst []int8, row int) error {
			v := values[:len(dst)]
			if err := t.floats(v, row); err != nil {
				return err
			}
			quant.Trits(dst, v, m.Scale)
			return nil
		}
	}
	for s := range m.Superblocks() {
		first, _, words := m.Superblock(s)
		real := min(pack.SuperblockRows, rows-first)
		c := codes[:real*cols]
		if err := read(c, first); err != nil {
			return nil, err
		}
		block := pack.Matrix{Rows: real, Cols: cols, Words: words}
		block.Encode(c, 0, 1)
	}
	if !(m.Scale > 0) || math.IsInf(float64(m.Scale), 0) {
		return nil, &format.Error{Tensor: t.Name, Offset: -1, Problem: fmt.Sprintf("its scale is %v", m.Scale), Fix: "a scale is a positive number: the file is damaged"}
	}
	return m, nil
}

// Ones makes a gain that the file does not hold, because its format has none: all ones.
func Ones(t spec.Tensor) Tensor {
	return Values(t, dtype.F32, 0, func(dst []float32, _ int) error {
		for j := range dst {
			dst[j] = 1
		}
		return nil
	})
}

// Misshapen says how a file's shape differs from the one that is wanted.
func Misshapen(have, want []int) string {
	return fmt.Sprintf("is %v, not %v", have[:min(len(have), 8)], want)
}
