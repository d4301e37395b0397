package gguf

import (
	"encoding/binary"
	"fmt"
	"io"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
)

// version is the one that is written.
const version = 3

// Output is one tensor to be written: its description, and a function that writes its bytes. Shape has the slowest dimension
// first.
type Output struct {
	Name  string
	Shape []int
	Type  Type
	Data  func(io.Writer) error
}

// size returns the bytes of the tensor's data.
func (o *Output) size() (bytes int64, ok bool) {
	n := int64(1)
	for _, s := range o.Shape {
		if s < 1 || n > 1<<48/int64(s) {
			return 0, false
		}
		n *= int64(s)
	}
	if len(o.Shape) == 0 || len(o.Shape) > maxRank {
		return 0, false
	}
	return o.Type.size(n, int64(o.Shape[len(o.Shape)-1]))
}

// Write writes a file, keys and tensors in the given order, and returns its size. Equal arguments give equal bytes. w should be
// buffered.
func Write(w io.Writer, keys []Key, tensors []Output) (int64, error) {
	head, err := appendHead(keys, tensors)
	if err != nil {
		return 0, err
	}
	c := &durable.Counter{W: w}
	if _, err := c.Write(head); err != nil {
		return 0, err
	}
	for i := range tensors {
		t := &tensors[i]
		want, _ := t.size()
		start := c.N
		if err := t.Data(c); err != nil {
			return 0, err
		}
		if c.N-start != want {
			return 0, unwritable(t.Name, fmt.Sprintf("%d bytes were written where %d belong", c.N-start, want))
		}
		if _, err := c.Write(make([]byte, pad(want, defaultAlignment)-want)); err != nil {
			return 0, err
		}
	}
	return c.N, nil
}

// appendHead returns all that stands before the data, padded.
func appendHead(keys []Key, tensors []Output) ([]byte, error) {
	b := []byte("GGUF")
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(keys)))
	seen := map[string]bool{}
	for i := range keys {
		var err error
		if b, err = keys[i].append(b); err != nil || seen[keys[i].Name] {
			return nil, unwritable("", fmt.Sprintf("key %s is given twice, or: %v", quoted(keys[i].Name), err))
		}
		seen[keys[i].Name] = true
	}
	at := int64(0)
	seen = map[string]bool{}
	for i := range tensors {
		t := &tensors[i]
		size, ok := t.size()
		if !ok || seen[t.Name] || len(t.Name) > maxNameBytes {
			return nil, unwritable(t.Name, fmt.Sprintf("the shape %v of %s cannot be stored, or the name is too long or given twice", t.Shape, t.Type))
		}
		seen[t.Name] = true
		b = appendText(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Shape)))
		for j := range t.Shape {
			b = binary.LittleEndian.AppendUint64(b, uint64(t.Shape[len(t.Shape)-1-j]))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(t.Type))
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
		at += pad(size, defaultAlignment)
	}
	return append(b, make([]byte, pad(int64(len(b)), defaultAlignment)-int64(len(b)))...), nil
}

func unwritable(tensor, problem string) error {
	return &format.Error{Tensor: tensor, Offset: -1, Problem: problem, Fix: "such a model cannot be stored as GGUF"}
}
