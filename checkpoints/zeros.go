package checkpoints

import (
	"encoding/binary"
	"fmt"

	"mmfree/checkpoints/dtype"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// floats counts the zeros of a float tensor that begins at begin: of a ternary one, the zeros among its codes, after a
// first reading for its scale, by the very functions that training and export quantise with.
func (r *blockReader) floats(t *TensorInfo, begin int64) error {
	n := elements(t.Shape)
	if n == 0 {
		return nil
	}
	size := t.DType.Bits() / 8
	values := make([]float32, quant.ScaleBlock)
	blocks := func(use func([]float32)) error {
		return r.each(begin, n*int64(size), quant.ScaleBlock*size, func(raw []byte) {
			v := values[:len(raw)/size]
			if dtype.Decode(v, raw, t.DType) == nil { // type and lengths are right by construction
				use(v)
			}
		})
	}
	zeros := int64(0)
	if !t.Known || t.Kind != spec.Ternary {
		err := blocks(func(v []float32) {
			for _, x := range v {
				if x == 0 {
					zeros++
				}
			}
		})
		share := float64(zeros) / float64(n)
		t.ZeroFraction = &share
		return err
	}
	var scaler quant.Scaler
	if err := blocks(scaler.Add); err != nil {
		return err
	}
	m, ok := scaler.Scale()
	if !ok {
		return nil // a NaN or infinity among the values: there are no codes
	}
	codes := make([]int8, quant.ScaleBlock)
	err := blocks(func(v []float32) {
		quant.Trits(codes, v, m)
		for _, code := range codes[:len(v)] {
			if code == 0 {
				zeros++
			}
		}
	})
	share, scale := float64(zeros)/float64(n), float64(m)
	t.ZeroFraction, t.Scale = &share, &scale
	return err
}

// trits counts the zero trits of a packed matrix whose words begin at begin.
func (r *blockReader) trits(t *TensorInfo, begin int64) error {
	rows, cols := t.Shape[0], t.Shape[1]
	words := int64(pack.Words(rows, cols))
	const wordBytes, blockWords, trits, codes = 2, 1 << 14, pack.TritsPerGroup, 27
	zeros, bad := int64(0), int64(-1)
	at := int64(0)
	err := r.each(begin, t.Bytes, blockWords*wordBytes, func(raw []byte) {
		for ; len(raw) >= wordBytes; raw = raw[wordBytes:] {
			w := binary.LittleEndian.Uint16(raw)
			for g := range pack.GroupsPerWord {
				c := int(w >> (pack.GroupBits * g) & pack.GroupMask)
				if c >= codes && bad < 0 {
					bad = at
				}
				for range trits { // the digits of a code in base 3 are its trits plus one
					if c%3 == 1 {
						zeros++
					}
					c /= 3
				}
			}
			at++
		}
	})
	if err != nil {
		return err
	}
	if bad >= 0 || at != words {
		return &Error{
			Path: r.path, Problem: fmt.Sprintf("tensor %s: word %d of %d is damaged or missing", t.Name, max(bad, 0), words),
			Fix: "the packed file is damaged: export the model again",
		}
	}
	padding := words*pack.TritsPerWord - int64(rows)*int64(cols) // all zero trits
	share := float64(zeros-padding) / float64(int64(rows)*int64(cols))
	t.ZeroFraction = &share
	return nil
}
