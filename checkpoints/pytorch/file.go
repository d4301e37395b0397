package pytorch

import (
	"errors"
	"fmt"
	"sort"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/stored"
)

// File is an open archive. Its bytes are mapped, and used in place until Close.
type File struct {
	names  []string
	raw    map[string]stored.Raw
	unload func() error
}

// Magic is what an archive begins with.
const Magic = "PK\x03\x04"

const (
	fixCopy = "the file is cut short or damaged: copy it again and compare checksums"
	fixSave = "save the model's state_dict alone, as safetensors: save_pretrained(..., safe_serialization=True)"
)

// Open opens a file and finds all of its tensors; no values are read.
func Open(path string) (*File, error) {
	data, unload, err := durable.Map(path)
	if err != nil {
		return nil, format.Unreadable(path, err)
	}
	f, err := Parse(path, data)
	if err != nil {
		return nil, errors.Join(err, unload())
	}
	f.unload = unload
	return f, nil
}

// Parse is Open for bytes in memory, which are used in place; name stands for the path in errors.
func Parse(name string, data []byte) (*File, error) {
	a, err := openArchive(name, data)
	if err != nil {
		return nil, err
	}
	m := &machine{pickle: a.pickle, memo: map[uint32]any{}}
	top, err := m.run()
	if err != nil {
		return nil, &format.Error{
			File: name, Offset: a.pickleAt + int64(m.pos), Problem: fmt.Sprintf("%s: %v", a.pickleName, err), Fix: fixSave,
		}
	}
	f := &File{raw: map[string]stored.Raw{}, unload: func() error { return nil }}
	tensors, ok := stateDict(top)
	if !ok {
		return nil, &format.Error{File: name, Offset: -1, Problem: "holds no dictionary of tensors", Fix: fixSave}
	}
	for key, t := range tensors {
		raw, err := a.tensor(t)
		if err != nil {
			return nil, &format.Error{File: name, Tensor: key, Offset: -1, Problem: err.Error(), Fix: fixCopy}
		}
		f.raw[key] = raw
		f.names = append(f.names, key)
	}
	sort.Strings(f.names)
	return f, nil
}

// Names lists the tensors, sorted.
func (f *File) Names() []string { return f.names }

// Raw returns a tensor.
func (f *File) Raw(name string) (stored.Raw, bool) {
	r, ok := f.raw[name]
	return r, ok
}

// Close releases the mapping.
func (f *File) Close() error {
	unload := f.unload
	f.raw, f.unload = nil, func() error { return nil }
	return unload()
}

// stateDict returns the tensors of a dictionary, or of the one under the key that training programs put it. What is no tensor
// is passed over.
func stateDict(top any) (map[string]*tensor, bool) {
	d, ok := top.(*dict)
	if !ok {
		return nil, false
	}
	for _, key := range []string{"state_dict", "model", "model_state_dict"} {
		if inner, ok := d.get(key).(*dict); ok {
			d = inner
			break
		}
	}
	tensors := map[string]*tensor{}
	for _, key := range d.keys {
		if t, ok := d.values[key].(*tensor); ok {
			tensors[key] = t
		}
	}
	return tensors, len(tensors) > 0
}
