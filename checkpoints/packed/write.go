package packed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// What metadata and special tensors are called in the file.
const (
	FormatName    = "mmfree-packed" // metadata "format": what tells a packed file from other safetensors files
	version       = "1"
	layoutName    = "T3"
	ScalesName    = "ternary_scales" // the tensor of all matrices' scales
	paddingPrefix = "padding."
	tensorAlign   = 64
	dataAlign     = 4096
)

// Meta is what a packed file holds beside the model.
type Meta struct {
	Tokenizer []byte // tokenizer.json; nil = none
	Source    string // where the model came from, for people; empty = not stated
}

// Write is WriteStored of a model in memory.
func Write(fsys durable.FS, path string, m *pack.Model, meta Meta) (bytes int64, err error) {
	return WriteStored(fsys, path, stored.OfPacked(m), meta, nil)
}

// WriteStored writes a packed file, whole or not at all, and returns its size. A file that exists at path is replaced. The bytes
// are a function of model and meta alone. The model is read twice, once for the checksum and once to write, a tensor at a
// time; progress, where it is not nil, is called as that goes on, and its error ends it.
func WriteStored(fsys durable.FS, path string, m *stored.Model, meta Meta, progress func(done, all int64) error) (bytes int64, err error) {
	tensors := layout(path, m)
	config, err := json.Marshal(m.Config)
	if err != nil {
		return 0, fault(path, "", "configuration: %v", err)
	}
	l := &listener{progress: progress}
	for i := range tensors {
		l.all += 2 * tensors[i].Bytes()
	}
	sum := sha256.New()
	for i := range tensors {
		if err := tensors[i].Data(l.over(sum)); err != nil {
			return 0, err
		}
	}
	metadata := map[string]string{
		"format": FormatName, "version": version, "layout": layoutName, "config": string(config),
		"sha256": hex.EncodeToString(sum.Sum(nil)),
	}
	if meta.Tokenizer != nil {
		metadata["tokenizer"] = string(meta.Tokenizer)
	}
	if meta.Source != "" {
		metadata["source"] = meta.Source
	}
	err = durable.WriteFile(fsys, path, func(w io.Writer) error {
		bytes, err = safetensors.Write(l.over(w), tensors, metadata, dataAlign)
		return err
	})
	return bytes, err
}

// listener reports progress.
type listener struct {
	w         io.Writer
	done, all int64
	progress  func(done, all int64) error
}

// over returns the listener for what is written to w.
func (l *listener) over(w io.Writer) io.Writer {
	if l.progress == nil {
		return w
	}
	l.w = w
	return l
}

func (l *listener) Write(b []byte) (int, error) {
	n, err := l.w.Write(b)
	l.done += int64(n)
	if err == nil {
		err = l.progress(min(l.done, l.all), l.all)
	}
	return n, err
}

// layout lists the tensors of the file in order, padding included. Their data must be written in that order: the scales are
// known behind the matrices.
func layout(path string, m *stored.Model) (list []safetensors.Tensor) {
	offset, pads := int64(0), 0
	add := func(t safetensors.Tensor) {
		if over := offset % tensorAlign; over != 0 {
			zeros := make([]byte, tensorAlign-over)
			list = append(list, safetensors.Tensor{
				Name: fmt.Sprintf("%s%d", paddingPrefix, pads), DType: "U8", Shape: []int{len(zeros)},
				Data: func(w io.Writer) error { _, err := w.Write(zeros); return err },
			})
			offset += int64(len(zeros))
			pads++
		}
		list = append(list, t)
		offset += t.Bytes()
	}
	tensors := m.PackedTensors()
	var scales []float32
	for i := range tensors {
		t := &tensors[i]
		if t.Kind != spec.Ternary {
			continue
		}
		at := len(scales)
		scales = append(scales, 0)
		n := pack.Words(t.Shape[0], t.Shape[1])
		add(safetensors.Tensor{Name: t.Name, DType: dtype.U16, Shape: []int{n}, Data: func(out io.Writer) error {
			w, err := t.Matrix()
			if err != nil {
				return err
			}
			if _, err := pack.FromWords(w.Rows, w.Cols, w.Scale, w.Words); err != nil { // what is written can be read
				return fault(path, t.Name, "%v", err)
			}
			scales[at] = w.Scale
			words := safetensors.Uint16Tensor(t.Name, []int{n}, w.Words)
			return words.Data(out)
		}})
	}
	for i := range tensors {
		t := &tensors[i]
		if t.Kind == spec.Ternary {
			continue
		}
		add(safetensors.Tensor{Name: t.Name, DType: dtype.F32, Shape: t.Shape, Data: func(out io.Writer) error {
			return t.Each(func(v []float32, _ int) error { return safetensors.WriteFloat32(out, v, dtype.F32) })
		}})
	}
	add(safetensors.Float32Tensor(ScalesName, []int{len(scales)}, scales, dtype.F32))
	return list
}

// BitsPerWeight returns the packed bits, words and scales, for each weight of the model's ternary tensors; a model without
// any has float32 weights.
func BitsPerWeight(m *pack.Model) float64 {
	const scaleBits = 32
	var bits, weights float64
	for i := range m.Tensors {
		if t := &m.Tensors[i]; t.Kind == spec.Ternary {
			bits += float64(8*m.Matrix(t.Name).Bytes() + scaleBits)
			weights += float64(t.Elements())
		}
	}
	if weights == 0 {
		return 32
	}
	return bits / weights
}

func fault(path, tensor, problem string, args ...any) error {
	return &format.Error{
		File: path, Tensor: tensor, Offset: -1, Problem: fmt.Sprintf(problem, args...),
		Fix: "the file is damaged or of another version: export the model again with this program",
	}
}
