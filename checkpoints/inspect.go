package checkpoints

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/spec"
)

// Inspection describes a model on disk.
type Inspection struct {
	Kind          Kind
	Form          string       // how a foreign format holds the model, for people
	Source        string       // the folder or file whose tensors these are: of a run, its newest whole checkpoint
	Config        *spec.Config // nil for a file without one
	Parameters    int64
	Bytes         int64   // of the files that hold the tensors
	BitsPerWeight float64 // bits stored for each ternary weight; without a configuration, for each value
	Tensors       []TensorInfo
	Scales        string // how the scales of stored codes were read; empty where there are none
	Warnings      []string
}

// TensorInfo describes one tensor.
type TensorInfo struct {
	Name         string
	Kind         spec.Kind
	Known        bool       // Kind is stated by the configuration
	Shape        []int      // of a packed matrix: its rows and columns
	DType        dtype.Type // as stored; TritType for a packed matrix
	Bytes        int64      // as stored
	ZeroFraction *float64   // share of values that are zero, of a ternary tensor of its codes; nil: not counted
	Scale        *float64   // m of a ternary tensor; nil for others

	// Of a ternary tensor whose codes were counted; else nil.
	MinusFraction, PlusFraction *float64
	DeadRows                    *int // rows of zeros alone, which give nothing whatever they are given
}

// TritType is the DType of packed matrices: nine trits in 16 bits.
const TritType dtype.Type = "T3"

// Inspect describes what a path holds. With contents every tensor is read once, in small blocks, for shares of zeros and
// scales; without, only heads of files. Memory does not grow with the files: they are read, not mapped.
func Inspect(path string, contents bool) (*Inspection, error) {
	kind, err := Recognise(path)
	if err != nil {
		return nil, err
	}
	in := &Inspection{Kind: kind, Source: path}
	switch kind {
	case KindRun:
		newest, warnings, err := Newest(path)
		if err != nil {
			return nil, err
		}
		in.Source, in.Warnings = newest.Dir, warnings
	case KindCheckpoint:
		if _, err := Verify(path); err != nil {
			return nil, err
		}
	}
	if in.foreign(contents) {
		return in, nil
	}
	paths := []string{in.Source}
	switch kind {
	case KindPacked:
		return in, in.packed(contents)
	case KindGGUF:
		return in, in.gguf(contents)
	case KindLlama2C:
		_, _, err := Open(path, kind)
		return nil, err
	case KindRun, KindCheckpoint, KindHF:
		config, err := hf.ReadConfig(in.Source)
		if err != nil {
			return nil, err
		}
		in.Config = &config
		if paths, err = hf.WeightFiles(in.Source); err != nil {
			return nil, err
		}
	}
	return in, in.files(paths, contents)
}

// files lists the tensors of safetensors files: those of the configuration first, in its order.
func (in *Inspection) files(paths []string, contents bool) error {
	found := map[string]TensorInfo{}
	var order []string
	for _, path := range paths {
		tensors, err := in.file(path, contents)
		if err != nil {
			return err
		}
		for _, t := range tensors {
			if _, twice := found[t.Name]; !twice {
				order = append(order, t.Name)
			}
			found[t.Name] = t
		}
	}
	if in.Config != nil {
		var missing []string
		for _, want := range spec.Tensors(*in.Config) {
			t, ok := found[want.Name]
			if !ok {
				missing = append(missing, want.Name)
				continue
			}
			in.Tensors = append(in.Tensors, t)
			delete(found, want.Name)
		}
		if len(missing) > 0 {
			in.Warnings = append(in.Warnings, fmt.Sprintf("%d tensors of the configuration are missing, the first is %s", len(missing), missing[0]))
		}
	}
	for _, name := range order {
		if t, ok := found[name]; ok {
			in.Tensors = append(in.Tensors, t)
		}
	}
	in.total()
	return nil
}

// total sums up what the tensors come to.
func (in *Inspection) total() {
	var ternary, ternaryBits, all, allBits float64
	for i := range in.Tensors {
		t := &in.Tensors[i]
		n := elements(t.Shape)
		in.Parameters += n
		all, allBits = all+float64(n), allBits+8*float64(t.Bytes)
		if t.Scale != nil || t.Known && t.Kind == spec.Ternary {
			ternary, ternaryBits = ternary+float64(n), ternaryBits+8*float64(t.Bytes)
		}
	}
	switch {
	case ternary > 0:
		in.BitsPerWeight = ternaryBits / ternary
	case all > 0:
		in.BitsPerWeight = allBits / all
	}
}

func elements(shape []int) int64 {
	n := int64(1)
	for _, s := range shape {
		n *= int64(s)
	}
	return n
}

// file lists one file of tensors.
func (in *Inspection) file(path string, contents bool) (list []TensorInfo, err error) {
	if hf.IsArchive(path) {
		return in.archive(path, contents)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := openReader(path, f.DataStart())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	in.Bytes += r.size
	kinds := map[string]spec.Tensor{}
	if in.Config != nil {
		for _, t := range spec.Tensors(*in.Config) {
			kinds[t.Name] = t
		}
	}
	for _, info := range f.Tensors() {
		want, known := kinds[info.Name]
		t := TensorInfo{
			Name: info.Name, Kind: want.Kind, Known: known, Shape: info.Shape, DType: info.DType, Bytes: info.End - info.Begin,
		}
		if contents && info.DType.Float() {
			if err := r.floats(&t, info.Begin); err != nil {
				return nil, err
			}
		}
		list = append(list, t)
	}
	return list, nil
}

// packed lists a packed file: the model's tensors, without what only lays them out.
func (in *Inspection) packed(contents bool) error {
	f, err := safetensors.Open(in.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	config, err := packed.ReadConfig(in.Source, f)
	if err != nil {
		return err
	}
	scales, err := f.Float32s(packed.ScalesName)
	if err != nil {
		return err
	}
	r, err := openReader(in.Source, f.DataStart())
	if err != nil {
		return err
	}
	defer r.Close()
	in.Config, in.Bytes = &config, r.size
	matrices := 0
	const scaleBytes = 4
	for _, want := range spec.PackedTensors(config) {
		info, ok := f.Info(want.Name)
		if !ok {
			return &Error{Path: in.Source, Problem: "tensor " + want.Name + " is missing", Fix: "export the model again"}
		}
		t := TensorInfo{Name: want.Name, Kind: want.Kind, Known: true, Shape: info.Shape, DType: info.DType, Bytes: info.End - info.Begin}
		switch {
		case want.Kind != spec.Ternary && contents && info.DType.Float():
			err = r.floats(&t, info.Begin)
		case want.Kind == spec.Ternary:
			if matrices >= len(scales) {
				return &Error{Path: in.Source, Problem: packed.ScalesName + " is too short", Fix: "export the model again"}
			}
			scale := float64(scales[matrices])
			matrices++
			t.Shape, t.DType, t.Scale = want.Shape, TritType, &scale
			if contents {
				err = r.trits(&t, info.Begin, scales[matrices-1])
			}
			t.Bytes += scaleBytes
		}
		if err != nil {
			return err
		}
		in.Tensors = append(in.Tensors, t)
	}
	in.total()
	in.Parameters, _ = spec.Parameters(config) // a tied head's codes are no parameters of their own
	return nil
}

// blockReader reads tensors of a file from its data section on, a block at a time.
type blockReader struct {
	*os.File
	path  string
	start int64
	size  int64
}

func openReader(path string, start int64) (*blockReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Unreadable(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, Unreadable(path, err)
	}
	return &blockReader{File: f, path: path, start: start, size: info.Size()}, nil
}

// each calls use with the bytes of [begin, begin+n) of the data section, block bytes at a time, the last fewer.
func (r *blockReader) each(begin, n int64, block int, use func([]byte)) error {
	buffer := make([]byte, block)
	section := io.NewSectionReader(r.File, r.start+begin, n)
	for {
		k, err := io.ReadFull(section, buffer)
		if k > 0 {
			use(buffer[:k])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return Unreadable(filepath.Clean(r.path), err)
		}
	}
}
