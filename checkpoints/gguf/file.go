package gguf

import (
	"errors"
	"fmt"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
)

// Tensor is one entry of the file.
type Tensor struct {
	Name     string
	Shape    []int // slowest dimension first, as everywhere here; the file has them the other way round
	Type     Type
	Elements int64
	Offset   int64 // in the data section
	Bytes    int64
}

// File is an open GGUF file, mapped where the system can. Everything in place is read-only and ends with Close. The
// methods may be called by several goroutines, Close by one.
type File struct {
	Version   uint32
	Alignment int
	Keys      []string // in the file's order

	path      string
	values    map[string]Value
	tensors   []Tensor
	index     map[string]int
	dataStart int64
	data      []byte
	size      int64
	unload    func() error
	others    []*File          // of a model in parts: those behind the first, which end with it
	parts     map[string]*File // which of them holds a tensor, by its name
}

// Open opens and checks a file; of a model in parts the first one, whose tensors are then those of all parts. A folder stands for
// the model that it holds, where it holds one. Faults are *format.Error.
func Open(path string) (*File, error) {
	path, err := modelFile(path)
	if err != nil {
		return nil, err
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := f.join(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens one file.
func open(path string) (*File, error) {
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

// Parse opens one file whose bytes are in memory, and uses them in place; name stands for the path in errors.
func Parse(name string, data []byte) (*File, error) {
	r := &reader{name: name, data: data}
	f := &File{path: name, size: int64(len(data)), Alignment: defaultAlignment, values: map[string]Value{}, index: map[string]int{}, unload: func() error { return nil }}
	if magic := r.bytes(4, "the magic"); r.err == nil && string(magic) != "GGUF" {
		r.fail(0, fixCopy, "does not begin with GGUF")
	}
	f.Version = r.uint32("the version")
	if r.err == nil && f.Version != 2 && f.Version != 3 {
		r.fail(4, "convert it with a current program: versions 2 and 3 of little-endian machines are read", "has version %d", f.Version)
	}
	// Both numbers are checked against the bytes behind them before anything is made for them.
	tensors := r.count(leastTensorBytes, "tensors")
	keys := r.count(leastKeyBytes, "keys")
	for i := 0; i < keys && r.err == nil; i++ {
		f.key(r)
	}
	end := int64(0)
	for i := 0; i < tensors && r.err == nil; i++ {
		at := r.at
		var t Tensor
		t, end = r.tensor(end, f.Alignment)
		if _, twice := f.index[t.Name]; twice {
			r.fail(at, fixFaulty, "holds tensor %s twice", quoted(t.Name))
		}
		if r.err == nil && end > int64(len(data)) {
			r.fail(at, fixCopy, "tensor %s ends at byte %d of the data, which is more than the file's %d bytes", quoted(t.Name), end, len(data))
		}
		f.index[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
	}
	if r.err != nil {
		return nil, r.err
	}
	f.dataStart = pad(int64(r.at), f.Alignment)
	if f.dataStart+end > int64(len(data)) && end > 0 {
		return nil, &format.Error{
			File: name, Offset: int64(len(data)), Fix: fixCopy,
			Problem: fmt.Sprintf("has %d bytes, where its tensors, each padded to %d, need %d", len(data), f.Alignment, f.dataStart+end),
		}
	}
	if end > 0 {
		f.data = data[f.dataStart:]
	}
	return f, nil
}

// key takes one key and its value.
func (f *File) key(r *reader) {
	at := r.at
	key := string(r.text(maxKeyBytes, "a key"))
	if r.err == nil && key == "" {
		r.fail(at, fixFaulty, "holds an empty key")
	}
	if _, twice := f.values[key]; twice {
		r.fail(at, fixFaulty, "holds key %s twice", quoted(key))
	}
	v := r.value(key)
	if r.err != nil {
		return
	}
	if key == alignmentKey {
		n, ok := v.Int()
		if !ok || v.Kind != Uint32 || n < 1 || n > 1<<20 || n&(n-1) != 0 {
			r.fail(at, fixFaulty, "%s is no power of two up to 2^20", alignmentKey)
		}
		f.Alignment = int(n)
	}
	f.values[key] = v
	f.Keys = append(f.Keys, key)
}

// Close releases the mapping, and those of further parts.
func (f *File) Close() error {
	err := f.unload()
	f.data, f.values, f.unload = nil, nil, func() error { return nil }
	for _, p := range f.others {
		err = errors.Join(err, p.Close())
	}
	f.others = nil
	return err
}

// Value returns the value of a key.
func (f *File) Value(key string) (Value, bool) {
	v, ok := f.values[key]
	return v, ok
}

// Tensors lists the tensors in the order of their bytes, part by part. The list is the file's own: not to be changed.
func (f *File) Tensors() []Tensor { return f.tensors }

// Tensor returns the named tensor's entry.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Size returns the bytes of the file, of a model in parts of all of them.
func (f *File) Size() int64 {
	n := f.size
	for _, p := range f.others {
		n += p.size
	}
	return n
}

// Place returns the path of the file that holds a tensor, and where its data section begins: Tensor's offset counts from there.
func (f *File) Place(name string) (path string, dataStart int64) {
	if p := f.parts[name]; p != nil {
		return p.Place(name)
	}
	return f.path, f.dataStart
}

// Bytes returns a tensor's bytes in place, or nil when there is none of that name.
func (f *File) Bytes(name string) []byte {
	if p := f.parts[name]; p != nil {
		return p.Bytes(name)
	}
	t, ok := f.Tensor(name)
	if !ok || f.data == nil {
		return nil
	}
	return f.data[t.Offset:][:t.Bytes:t.Bytes]
}

// ReadFloat32 decodes a tensor's values, slowest dimension first, to dst, which must have their number.
func (f *File) ReadFloat32(name string, dst []float32) error {
	t, ok := f.Tensor(name)
	switch {
	case !ok:
		return f.fault("tensor " + quoted(name) + " is not in the file")
	case t.Elements != int64(len(dst)):
		return f.fault(fmt.Sprintf("tensor %s has %d values, %d are wanted", quoted(name), t.Elements, len(dst)))
	}
	if err := Decode(dst, f.Bytes(name), t.Type); err != nil {
		return f.fault(fmt.Sprintf("tensor %s: %v", quoted(name), err))
	}
	return nil
}

func (f *File) fault(problem string) error {
	return &format.Error{File: f.path, Offset: -1, Problem: problem, Fix: fixUnknown}
}
