package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
)

// Tensor is one tensor to write: its description, and a function that writes its bytes, little-endian, row-major.
// Float32Tensor and Uint16Tensor make them from slices.
type Tensor struct {
	Name  string
	DType dtype.Type
	Shape []int
	Data  func(io.Writer) error
}

// Bytes returns the size of the tensor's data, or −1 when type and shape make none.
func (t *Tensor) Bytes() int64 {
	if n, ok := byteSize(t.DType, t.Shape); ok {
		return n
	}
	return -1
}

// defaultAlign is the alignment of the data section that the reference's writer keeps.
const defaultAlign = 8

// Write writes a file of the given tensors, in that order, and returns its size. The data section begins at a multiple
// of align bytes (0: 8, as the reference writes); tensors inside it follow each other without holes, as the format
// demands. Equal arguments give equal bytes: metadata is sorted, nothing else is added. w need not be buffered for
// large tensors.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string, align int) (int64, error) {
	head, total, err := appendHeader(tensors, metadata, align)
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(head); err != nil {
		return 0, err
	}
	for i := range tensors {
		t := &tensors[i]
		c := &durable.Counter{W: w}
		if err := t.Data(c); err != nil {
			return 0, err
		}
		if c.N != t.Bytes() {
			return 0, &format.Error{Tensor: t.Name, Offset: -1, Problem: fmt.Sprintf("%d bytes were written for shape %v of %s", c.N, t.Shape, t.DType), Fix: "report this: it is a fault of the program"}
		}
	}
	return total, nil
}

// appendHeader returns prefix, header and padding, and the size of the whole file.
func appendHeader(tensors []Tensor, metadata map[string]string, align int) ([]byte, int64, error) {
	if align <= 0 {
		align = defaultAlign
	}
	bad := func(name, problem string, args ...any) error {
		return &format.Error{Tensor: name, Offset: -1, Problem: fmt.Sprintf(problem, args...), Fix: "such a tensor cannot be stored as safetensors"}
	}
	b := make([]byte, prefixBytes, 1024)
	b = append(b, '{')
	comma := func() {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
	}
	if metadata != nil {
		b = append(appendString(b, metadataName), ":{"...)
		for _, key := range slices.Sorted(maps.Keys(metadata)) {
			if len(b)+len(key)+len(metadata[key]) > maxHeaderBytes { // before it is copied
				return nil, 0, bad("", "metadata %q is too long for a header of %d bytes", format.Name(key), maxHeaderBytes)
			}
			if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
				return nil, 0, bad("", "metadata %q is not UTF-8", format.Name(key))
			}
			comma()
			b = append(appendString(b, key), ':')
			b = appendString(b, metadata[key])
		}
		b = append(b, '}')
	}
	seen := make(map[string]bool, len(tensors))
	offset := int64(0)
	for i := range tensors {
		t := &tensors[i]
		size := t.Bytes()
		switch {
		case seen[t.Name]:
			return nil, 0, bad(t.Name, "is given twice")
		case t.Name == metadataName || !utf8.ValidString(t.Name):
			return nil, 0, bad(t.Name, "has a name that the format does not allow")
		case size < 0 || len(t.Shape) > maxRank || offset+size < offset:
			return nil, 0, bad(t.Name, "shape %v of %q is an impossible size", brief(t.Shape), t.DType)
		}
		seen[t.Name] = true
		comma()
		b = append(appendString(b, t.Name), `:{"dtype":"`...)
		b = append(append(b, t.DType...), `","shape":[`...)
		for k, n := range t.Shape {
			if k > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(n), 10)
		}
		b = append(b, `],"data_offsets":[`...)
		b = append(strconv.AppendInt(b, offset, 10), ',')
		b = append(strconv.AppendInt(b, offset+size, 10), "]}"...)
		offset += size
	}
	b = append(b, '}')
	if over := len(b) % align; over != 0 {
		b = append(b, bytes.Repeat([]byte{' '}, align-over)...)
	}
	if n := len(b) - prefixBytes; n > maxHeaderBytes {
		return nil, 0, bad("", "the header would have %d bytes, more than the %d the format allows", n, maxHeaderBytes)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-prefixBytes))
	return b, int64(len(b)) + offset, nil
}

// appendString appends s, valid UTF-8, as a JSON string with the least escaping, as the reference's writer does.
func appendString(b []byte, s string) []byte {
	const short = "\b\f\n\r\t\"\\"
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch at := bytes.IndexByte([]byte(short), c); {
		case at >= 0:
			b = append(b, '\\', `bfnrt"\`[at])
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// chunkValues is how many values are converted at a time, so that no second copy of a tensor is held.
const chunkValues = 1 << 15

// Float32Tensor describes values, row-major, to be stored as type t: F32, F16 or BF16, the latter rounded to nearest
// even. The values are used in place when written.
func Float32Tensor(name string, shape []int, values []float32, t dtype.Type) Tensor {
	return Tensor{Name: name, DType: t, Shape: shape, Data: func(w io.Writer) error {
		return WriteFloat32(w, values, t)
	}}
}

// WriteFloat32 writes values as Float32Tensor stores them, for a tensor that comes some values at a time.
func WriteFloat32(w io.Writer, values []float32, t dtype.Type) error {
	if t == dtype.F32 && littleEndian && len(values) > 0 {
		_, err := w.Write(unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values)))
		return err
	}
	buf := make([]byte, min(len(values), chunkValues)*t.Bits()/8)
	for chunk := range slices.Chunk(values, chunkValues) {
		b := buf[:len(chunk)*t.Bits()/8]
		if err := dtype.Encode(b, chunk, t); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// Uint16Tensor describes values to be stored as U16, used in place when written.
func Uint16Tensor(name string, shape []int, values []uint16) Tensor {
	return Tensor{Name: name, DType: dtype.U16, Shape: shape, Data: func(w io.Writer) error {
		if littleEndian && len(values) > 0 {
			_, err := w.Write(unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 2*len(values)))
			return err
		}
		buf := make([]byte, 0, 2*min(len(values), chunkValues))
		for chunk := range slices.Chunk(values, chunkValues) {
			buf = buf[:0]
			for _, v := range chunk {
				buf = binary.LittleEndian.AppendUint16(buf, v)
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	}}
}
