package safetensors

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
)

// File is an open safetensors file. Where the system can, its bytes are mapped, not read: opening costs the header, and
// a tensor costs memory only while it is looked at. Everything returned "in place" is read-only, ends with Close, and
// requires that nobody cuts the file short meanwhile. The methods may be called by several goroutines, Close by one.
type File struct {
	path   string
	head   *header
	data   []byte // the data section
	unload func() error
}

// Open opens and checks a file. Faults are *format.Error.
func Open(path string) (*File, error) {
	data, unload, err := durable.Map(path)
	if err != nil {
		return nil, format.Unreadable(path, err)
	}
	f, err := Parse(path, data)
	if err != nil {
		unload()
		return nil, err
	}
	f.unload = unload
	return f, nil
}

// Parse is Open for bytes in memory, which are used in place; name stands for the path in errors.
func Parse(name string, data []byte) (*File, error) {
	h, err := readHeader(name, data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	return &File{path: name, head: h, data: data[h.dataStart:], unload: func() error { return nil }}, nil
}

// Close releases the mapping.
func (f *File) Close() error {
	unload := f.unload
	f.data, f.unload = nil, func() error { return nil }
	return unload()
}

// Tensors lists the tensors in the order of their bytes. The list is the file's own: not to be changed.
func (f *File) Tensors() []Info { return f.head.tensors }

// Info returns the named tensor's description.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.head.index[name]
	if !ok {
		return Info{}, false
	}
	return f.head.tensors[i], true
}

// Metadata returns the file's own strings; nil when it has none. Not to be changed.
func (f *File) Metadata() map[string]string { return f.head.metadata }

// DataStart returns the offset of the data section in the file; Info's offsets count from there.
func (f *File) DataStart() int64 { return f.head.dataStart }

// Data returns the data section, in place.
func (f *File) Data() []byte { return f.data }

// Bytes returns a tensor's bytes in place, or nil when there is none of that name.
func (f *File) Bytes(name string) []byte {
	i, ok := f.head.index[name]
	if !ok || f.data == nil {
		return nil
	}
	t := &f.head.tensors[i]
	return f.data[t.Begin:t.End:t.End]
}

// Float32s returns a tensor's values, row-major: in place when it is F32 and the machine's byte order and alignment
// allow it, else converted (F32, F16, BF16) to a slice of its own.
func (f *File) Float32s(name string) ([]float32, error) {
	t, b, err := f.want(name, "F32, F16 or BF16", dtype.Type.Float)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return []float32{}, nil
	}
	if p := unsafe.Pointer(&b[0]); t.DType == dtype.F32 && littleEndian && uintptr(p)%4 == 0 {
		return unsafe.Slice((*float32)(p), len(b)/4), nil
	}
	dst := make([]float32, t.Elements())
	return dst, dtype.Decode(dst, b, t.DType)
}

// ReadFloat32 copies a tensor's values (F32, F16, BF16) to dst, which must have their number.
func (f *File) ReadFloat32(name string, dst []float32) error {
	t, b, err := f.want(name, "F32, F16 or BF16", dtype.Type.Float)
	if err != nil {
		return err
	}
	if t.Elements() != len(dst) {
		return f.fault(name, fmt.Sprintf("has %d values, %d are wanted", t.Elements(), len(dst)))
	}
	if t.DType == dtype.F32 { // one copy, not value by value
		v, err := f.Float32s(name)
		copy(dst, v)
		return err
	}
	return dtype.Decode(dst, b, t.DType)
}

// Uint16s returns the values of a U16 tensor: in place when byte order and alignment allow it, else as a copy.
func (f *File) Uint16s(name string) ([]uint16, error) {
	_, b, err := f.want(name, "U16", func(t dtype.Type) bool { return t == dtype.U16 })
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return []uint16{}, nil
	}
	if p := unsafe.Pointer(&b[0]); littleEndian && uintptr(p)%2 == 0 {
		return unsafe.Slice((*uint16)(p), len(b)/2), nil
	}
	dst := make([]uint16, len(b)/2)
	for i := range dst {
		dst[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return dst, nil
}

// want returns a tensor of one of the wanted types.
func (f *File) want(name, types string, ok func(dtype.Type) bool) (Info, []byte, error) {
	t, found := f.Info(name)
	switch {
	case !found:
		return t, nil, f.fault(name, "is not in the file")
	case !ok(t.DType):
		return t, nil, f.fault(name, fmt.Sprintf("has dtype %s; wanted: %s", t.DType, types))
	}
	return t, f.Bytes(name), nil
}

func (f *File) fault(tensor, problem string) error {
	return &format.Error{File: f.path, Tensor: tensor, Offset: -1, Problem: problem, Fix: "compare the file with what `mmfree inspect` lists; it may belong to another model"}
}

// littleEndian tells whether the machine's numbers have the file's byte order.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
