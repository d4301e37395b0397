package llama2c

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// Recognise reports whether a file of that size which begins with head, its first 256 bytes or all, is or means to be a
// model of llama2.c: by its magic, or by a header of version 0 that asks for just this size.
func Recognise(head []byte, size int64) bool {
	_, _, matched, _ := readHeader(head, size)
	return matched
}

// HeadBytes is what Recognise looks at.
const HeadBytes = longHeader

// Scales is how bitllama2.c's scales are read.
const Scales = "weight = code * scale / columns, as bitllama2.c has it: the layout decides"

// Open opens a .bin file, which stays mapped until Close.
func Open(path string) (*stored.Model, error) {
	data, unload, err := durable.Map(path)
	if err != nil {
		return nil, format.Unreadable(path, err)
	}
	m, err := Parse(path, data)
	if err != nil {
		return nil, errors.Join(err, unload())
	}
	m.OnClose(unload)
	return m, nil
}

// Parse is Open for bytes in memory, which are used in place; name stands for the path in errors.
func Parse(name string, data []byte) (*stored.Model, error) {
	s, l, _, err := readHeader(data[:min(len(data), longHeader)], int64(len(data)))
	if at := (*faultAt)(nil); errors.As(err, &at) {
		return nil, &format.Error{File: name, Offset: at.offset, Problem: at.problem, Fix: "the file is cut short, damaged or no model of llama2.c: copy it again and compare checksums"}
	}
	c, err := s.config()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f := &file{name: name, data: data, layout: l}
	f.at, _, _ = l.places(&s, &c)
	m := &stored.Model{Config: c, Format: l.name}
	if l.bit {
		m.Scales = Scales
	}
	m.Tensors, err = tensors(name, c, f.tensor)
	return m, err
}

// file is a .bin file whose size has been found right.
type file struct {
	name   string
	data   []byte
	layout layout
	at     map[string]int64
}

// tensor opens one tensor.
func (f *file) tensor(t spec.Tensor, name string) (stored.Tensor, error) {
	n := int64(t.Elements())
	size, _ := f.layout.bytes(name, n)
	b := f.data[f.at[name]:][:size]
	switch {
	case size == floatSize*n:
		return stored.Floats(t, stored.Raw{DType: dtype.F32, Shape: t.Shape, Bytes: b}), nil
	case f.layout.bit:
		return f.ternary(t, name, b)
	}
	return f.grouped(t, b), nil
}

// ternary opens a scale and codes, four to a byte, the first in the highest bits: 00 is 0, 01 is +1, 11 is −1.
func (f *file) ternary(t spec.Tensor, name string, b []byte) (stored.Tensor, error) {
	cols := t.Shape[1]
	scale := math.Float32frombits(binary.LittleEndian.Uint32(b))
	codes := b[floatSize:]
	return ternary(f.name, t, "B2", int64(len(b)), scale, func(dst []int8, row int) error {
		at := row * cols
		for j := range dst {
			i := at + j
			switch codes[i/bitCodes] >> (6 - 2*(i%bitCodes)) & 3 {
			case 0:
				dst[j] = 0
			case 1:
				dst[j] = 1
			case 3:
				dst[j] = -1
			default:
				return &format.Error{
					File: f.name, Tensor: name, Offset: f.at[name] + floatSize + int64(i/bitCodes),
					Problem: fmt.Sprintf("code %d of the tensor is 10 in binary, which no weight has", i),
					Fix:     "the file is damaged, or its codes are in another order: get it again from its source",
				}
			}
		}
		return nil
	})
}

// grouped opens int8 values followed by a factor for each group of them.
func (f *file) grouped(t spec.Tensor, b []byte) stored.Tensor {
	group := f.layout.group
	out := stored.Values(t, "Q8", int64(len(b)), nil)
	_, cols := out.Rows()
	values, factors := b[:t.Elements()], b[t.Elements():]
	return stored.Values(t, "Q8", int64(len(b)), func(dst []float32, row int) error {
		for j := range dst {
			i := row*cols + j
			factor := math.Float32frombits(binary.LittleEndian.Uint32(factors[floatSize*(i/group):]))
			dst[j] = float32(int8(values[i])) * factor
		}
		return nil
	})
}
