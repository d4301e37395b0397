package checkpoints

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// countRows is how many rows of codes are looked at together: those of one superblock of a packed matrix.
const countRows = pack.SuperblockRows

// count counts what a tensor holds: zeros, and of a ternary one codes, rows without any, and the scale, by the very functions
// that training and export quantise with. A tensor with a NaN or an infinity has no codes: nothing is said of it.
func (info *TensorInfo) count(t *stored.Tensor) error {
	n := t.Elements()
	if n == 0 {
		return nil
	}
	share := func(k int) *float64 {
		f := float64(k) / float64(n)
		return &f
	}
	if t.Kind != spec.Ternary {
		zeros := 0
		err := t.EachRaw(func(v []float32, _ int) error {
			for _, x := range v {
				if x == 0 {
					zeros++
				}
			}
			return nil
		})
		info.ZeroFraction = share(zeros)
		return err
	}
	scale, err := t.CodeScale()
	if errors.Is(err, spec.ErrConfig) {
		return nil
	}
	if err != nil {
		return err
	}
	var of [3]int // −1, 0, +1
	dead := 0
	_, cols := t.Rows()
	err = t.EachCode(countRows, func(codes []int8, _ int) error {
		for ; len(codes) > 0; codes = codes[cols:] {
			before := of[1]
			for _, c := range codes[:cols] {
				of[c+1]++
			}
			if of[1]-before == cols {
				dead++
			}
		}
		return nil
	})
	m := float64(scale)
	info.MinusFraction, info.ZeroFraction, info.PlusFraction, info.DeadRows, info.Scale = share(of[0]), share(of[1]), share(of[2]), &dead, &m
	return err
}

// floats counts a tensor of floats that begins at begin.
func (r *blockReader) floats(info *TensorInfo, begin int64) error {
	t := spec.Tensor{Name: info.Name, Shape: info.Shape, Kind: spec.Dense}
	if info.Known {
		t.Kind = info.Kind
	}
	var raw []byte
	size := info.DType.Bits() / 8
	cols := 0
	values := stored.Values(t, info.DType, info.Bytes, func(dst []float32, row int) error {
		if n := len(dst) * size; cap(raw) < n {
			raw = make([]byte, n)
		}
		b := raw[:len(dst)*size]
		if err := r.at(b, begin+int64(row)*int64(cols)*int64(size)); err != nil {
			return err
		}
		return dtype.Decode(dst, b, info.DType)
	})
	_, cols = values.Rows()
	return info.count(&values)
}

// trits counts a packed matrix whose words begin at begin.
func (r *blockReader) trits(info *TensorInfo, begin int64, scale float32) error {
	rows, cols := info.Shape[0], info.Shape[1]
	perRow := pack.WordsPerRow(cols)
	const wordBytes = 2
	bad := func(at int, why error) error {
		return &Error{
			Path: r.path, Problem: fmt.Sprintf("tensor %s: word %d of %d is damaged or missing: %v", info.Name, at, pack.Words(rows, cols), why),
			Fix: "the packed file is damaged: export the model again",
		}
	}
	if info.Bytes != wordBytes*int64(pack.Words(rows, cols)) {
		return bad(0, fmt.Errorf("it has %d bytes", info.Bytes))
	}
	raw := make([]byte, wordBytes*pack.PaddedRows(min(rows, countRows))*perRow)
	words := make([]uint16, len(raw)/wordBytes)
	t := spec.Tensor{Name: info.Name, Shape: info.Shape, Kind: spec.Ternary}
	codes := stored.Codes(t, TritType, info.Bytes, scale, func(dst []int8, row int) error {
		n, first := len(dst)/cols, row*perRow // EachCode asks for superblocks
		w := words[:pack.PaddedRows(n)*perRow]
		b := raw[:wordBytes*len(w)]
		if err := r.at(b, begin+int64(first)*wordBytes); err != nil {
			return err
		}
		for i := range w {
			w[i] = binary.LittleEndian.Uint16(b[wordBytes*i:])
		}
		m, err := pack.FromWords(n, cols, 1, w)
		if fault := (*pack.Error)(nil); errors.As(err, &fault) {
			return bad(first+max(fault.Word, 0), err)
		}
		m.Decode(dst, 0, 1)
		return nil
	})
	return info.count(&codes)
}

// at fills b from an offset of the data section.
func (r *blockReader) at(b []byte, offset int64) error {
	n, err := r.ReadAt(b, r.start+offset)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return Unreadable(r.path, err)
}
