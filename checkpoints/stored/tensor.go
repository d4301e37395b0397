package stored

import (
	"fmt"
	"math"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
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
	matrix *pack.Matrix // the packed codes, where they are there already
	mapped []byte       // what it lies in, to be released when it has been read
}

// Values makes a tensor of stored values; read fills dst with whole rows, from row on.
func Values(t spec.Tensor, typ dtype.Type, bytes int64, read func(dst []float32, row int) error) Tensor {
	return Tensor{Tensor: t, Stored: typ, Bytes: bytes, floats: read}
}

// Codes makes a ternary tensor of stored codes and their scale, a positive number; read fills dst with whole rows of −1, 0 and
// +1, from row on.
func Codes(t spec.Tensor, typ dtype.Type, bytes int64, scale float32, read func(dst []int8, row int) error) Tensor {
	return Tensor{Tensor: t, Stored: typ, Bytes: bytes, Scale: scale, codes: read}
}

// Floats makes a tensor of the bytes of its values, of a type that dtype decodes. The bytes are used in place.
func Floats(t spec.Tensor, raw Raw) Tensor {
	size := raw.DType.Bits() / 8
	out := Values(t, raw.DType, int64(len(raw.Bytes)), nil)
	out.mapped = raw.Bytes
	_, cols := out.Rows()
	out.floats = func(dst []float32, row int) error {
		return dtype.Decode(dst, raw.Bytes[row*cols*size:][:len(dst)*size], raw.DType)
	}
	return out
}

// In says in which bytes of a file the tensor lies: read from end to end, they leave the process's memory where they are mapped.
func (t Tensor) In(data []byte) Tensor {
	t.mapped = data
	return t
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
	t.matrix = nil
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

// Each is EachRaw for values of which none may be a NaN or an infinity: one ends it with a *spec.ValueError.
func (t *Tensor) Each(use func(v []float32, at int) error) error {
	return t.EachRaw(func(v []float32, at int) error {
		for j, x := range v {
			if math.Float32bits(x)&0x7f800000 == 0x7f800000 {
				return &spec.ValueError{Tensor: t.Name, Index: at + j, Value: x}
			}
		}
		return use(v, at)
	})
}

// EachRaw reads the tensor from its first row to its last and hands on whole rows, some at a time; at is the index of v's
// first value.
func (t *Tensor) EachRaw(use func(v []float32, at int) error) error {
	defer durable.Release(t.mapped)
	rows, cols := t.Rows()
	step := max(1, blockValues/max(1, cols))
	buffer := make([]float32, min(step, rows)*cols)
	for row := 0; row < rows; row += step {
		v := buffer[:min(step, rows-row)*cols]
		if err := t.ReadRows(v, row); err != nil {
			return err
		}
		if err := use(v, row*cols); err != nil {
			return err
		}
	}
	return nil
}

// CodeScale returns the scale of a ternary tensor: the file's, else the one that the quantiser of training gives the values,
// which are read for it once.
func (t *Tensor) CodeScale() (float32, error) {
	if t.Scale != 0 {
		return t.Scale, nil
	}
	var scaler quant.Scaler
	if err := t.Each(func(v []float32, _ int) error { scaler.Add(v); return nil }); err != nil {
		return 0, err
	}
	var ok bool
	if t.Scale, ok = scaler.Scale(); !ok {
		t.Scale = 0
		return 0, &format.Error{Tensor: t.Name, Offset: -1, Problem: "the sum of its magnitudes overflows", Fix: "the weights are damaged: get them again"}
	}
	return t.Scale, nil
}

// EachCode reads the codes of a ternary tensor from its first row to its last and hands on whole rows, so many at a time.
// Values become codes as in training.
func (t *Tensor) EachCode(rowsAtOnce int, use func(codes []int8, row int) error) error {
	scale, err := t.CodeScale()
	if err != nil {
		return err
	}
	defer durable.Release(t.mapped)
	rows, cols := t.Rows()
	codes := make([]int8, min(rows, rowsAtOnce)*cols)
	var values []float32
	if t.codes == nil {
		values = make([]float32, len(codes))
	}
	for row := 0; row < rows; row += rowsAtOnce {
		c := codes[:min(rowsAtOnce, rows-row)*cols]
		if t.codes != nil {
			err = t.codes(c, row)
		} else if err = t.floats(values[:len(c)], row); err == nil {
			quant.Trits(c, values[:len(c)], scale)
		}
		if err == nil {
			err = use(c, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Matrix returns the packed codes of a ternary tensor, which must not be changed.
func (t *Tensor) Matrix() (*pack.Matrix, error) {
	if t.matrix != nil {
		return t.matrix, nil
	}
	rows, cols := t.Rows()
	m := pack.New(rows, cols)
	var err error
	if m.Scale, err = t.CodeScale(); err != nil {
		return nil, err
	}
	err = t.EachCode(pack.SuperblockRows, func(codes []int8, row int) error {
		_, _, words := m.Superblock(row / pack.SuperblockRows)
		block := pack.Matrix{Rows: len(codes) / cols, Cols: cols, Words: words}
		block.Encode(codes, 0, 1)
		return nil
	})
	return m, err
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
