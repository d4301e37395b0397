package hf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// plan is what a folder will hold.
type plan struct {
	config   spec.Config
	shards   [][]safetensors.Tensor
	warnings []string
	total    int64 // bytes of all tensors
	written  int64
	progress func(written, all int64) error
}

func newPlan(m *stored.Model, o *Options) (*plan, error) {
	p := &plan{config: m.Config, progress: o.Progress}
	p.config.Extra = maps.Clone(p.config.Extra)
	if p.config.Extra == nil {
		p.config.Extra = map[string]json.RawMessage{}
	}
	wish := wishes{m: m, o: o, declared: declaredType(&m.Config)}
	var inexact, lost []string
	ternary := 0
	at := map[string]*stored.Tensor{}
	for i := range m.Tensors {
		at[m.Tensors[i].Name] = &m.Tensors[i]
	}
	for _, t := range spec.Tensors(m.Config) {
		s := at[t.Name]
		if t.Kind == spec.Ternary {
			ternary++
		}
		if t.Kind == spec.Ternary && o.Packed != "" {
			list, off, err := packedTensors(s, o.Packed)
			if err != nil {
				return nil, err
			}
			if off {
				inexact = append(inexact, t.Name)
			}
			p.add(list, o.MaxShard)
			continue
		}
		typ, err := wish.grant(s)
		if err != nil {
			return nil, err
		}
		if gone, err := scaleIsLost(s); err != nil {
			return nil, err
		} else if gone {
			lost = append(lost, t.Name)
		}
		p.add([]safetensors.Tensor{valueTensor(s, typ)}, o.MaxShard)
	}
	switch {
	case o.Packed != "" && ternary == 0:
		return nil, &FolderError{Path: "the model", Problem: "has no ternary tensors to pack: it is a " + m.Config.Arch, Fix: "choose another format"}
	case o.Packed != "":
		p.config.Extra[quantKey] = statement(o.Packed)
	case m.IsCodes(): // to take the mean of code * scale, as online does, would lose the share of zeros
		delete(p.config.Extra, quantKey)
	case quantisesAsTransformers(&m.Config) && p.config.Extra[quantKey] == nil:
		p.config.Extra[quantKey] = json.RawMessage(online)
	}
	p.stateType(o, wish.narrow)
	if len(inexact) > 0 {
		p.warnings = append(p.warnings, fmt.Sprintf("%d scales are the inverse of no float32 and change in their last bit: %s; the convention %s keeps them", len(inexact), some(inexact), Multiply))
	}
	if len(lost) > 0 {
		p.warnings = append(p.warnings, fmt.Sprintf("%d tensors have a scale that their values cannot carry, below 1e-5 or of zeros alone: %s; the packed forms keep it", len(lost), some(lost)))
	}
	if o.Packed == "" && m.IsCodes() {
		p.warnings = append(p.warnings, "ternary tensors are written as code * scale, which this program knows again; a program that takes mean|w| for the scale makes it smaller by the share of zeros")
	}
	return p, nil
}

// scaleIsLost reports whether quantising the values of codes would not give their scale again.
func scaleIsLost(t *stored.Tensor) (bool, error) {
	if !t.IsCodes() {
		return false, nil
	}
	var scaler quant.Scaler
	if err := t.EachRaw(func(v []float32, _ int) error { scaler.Add(v); return nil }); err != nil {
		return false, err
	}
	scale, ok := scaler.Scale()
	return !ok || scale != t.Scale, nil
}

// valueTensor describes a tensor's values, to be read as they are written.
func valueTensor(t *stored.Tensor, typ dtype.Type) safetensors.Tensor {
	return safetensors.Tensor{Name: t.Name, DType: typ, Shape: t.Shape, Data: func(w io.Writer) error {
		return t.EachRaw(func(v []float32, _ int) error {
			return safetensors.WriteFloat32(w, v, typ)
		})
	}}
}

// add puts tensors that belong together into the last shard, or into a new one where they do not fit.
func (p *plan) add(list []safetensors.Tensor, limit int64) {
	size := int64(0)
	for i := range list {
		size += list[i].Bytes()
	}
	last := len(p.shards) - 1
	if last < 0 || limit > 0 && shardBytes(p.shards[last])+size > limit && len(p.shards[last]) > 0 {
		p.shards = append(p.shards, nil)
		last++
	}
	p.shards[last] = append(p.shards[last], list...)
	p.total += size
}

func shardBytes(list []safetensors.Tensor) (n int64) {
	for i := range list {
		n += list[i].Bytes()
	}
	return n
}

// write writes the weights: one file, or shards and their index.
func (p *plan) write(fsys durable.FS, dir string, put func(name string, data []byte) error) error {
	file := func(name string, tensors []safetensors.Tensor) error {
		return durable.AddFile(fsys, filepath.Join(dir, name), func(f io.Writer) error {
			return writeFile(&listener{f, p}, tensors)
		})
	}
	if len(p.shards) == 1 {
		return file(ModelName, p.shards[0])
	}
	weightMap := map[string]string{}
	for i, tensors := range p.shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(p.shards))
		for j := range tensors {
			weightMap[tensors[j].Name] = name
		}
		if err := file(name, tensors); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(map[string]any{ // sorted keys, as transformers writes it
		"metadata": map[string]int64{"total_size": p.total}, "weight_map": weightMap,
	}, "", "  ")
	if err != nil {
		return err
	}
	return put(IndexName, append(bytes.TrimSpace(text), '\n'))
}

// listener reports progress.
type listener struct {
	w io.Writer
	p *plan
}

func (l *listener) Write(b []byte) (int, error) {
	n, err := l.w.Write(b)
	l.p.written += int64(n)
	if err == nil && l.p.progress != nil {
		err = l.p.progress(l.p.written, l.p.total)
	}
	return n, err
}

// wishes decides the types of tensors of values.
type wishes struct {
	m        *stored.Model
	o        *Options
	declared dtype.Type
	narrow   []string // those whose wish would lose something
}

// grant gives a tensor its wished type where that loses nothing, else F32; a type asked for by name is given whatever it loses.
// The values are read for it where the file does not settle it.
func (w *wishes) grant(t *stored.Tensor) (dtype.Type, error) {
	typ, ok := w.o.Types[t.Name]
	if !ok {
		typ = w.declared
	}
	if w.o.DType != "" {
		typ = w.o.DType
	}
	exact := true
	if w.o.Finite || typ != dtype.F32 && typ != t.Stored && w.o.DType == "" {
		each := t.EachRaw
		if w.o.Finite {
			each = t.Each
		}
		if err := each(func(v []float32, _ int) error { exact = exact && dtype.Exact(v, typ); return nil }); err != nil {
			return "", err
		}
	}
	if exact || w.o.DType != "" {
		return typ, nil
	}
	w.narrow = append(w.narrow, t.Name)
	return dtype.F32, nil
}

// dtypeKeys are the names of config.json's field for the type of the weights: the newer libraries write the second.
var dtypeKeys = [...]string{"torch_dtype", "dtype"}

// torchTypes are the types under the names that the field gives them.
var torchTypes = map[dtype.Type]string{dtype.F32: "float32", dtype.F16: "float16", dtype.BF16: "bfloat16"}

// declaredType returns the type that config.json states; F32 where it states none.
func declaredType(c *spec.Config) dtype.Type {
	declared := dtype.F32
	for _, key := range dtypeKeys {
		for typ, name := range torchTypes {
			if string(c.Extra[key]) == fmt.Sprintf("%q", name) {
				declared = typ
			}
		}
	}
	return declared
}

// stateType makes config.json state the type that was asked for, or F32 where a narrower one was not granted everywhere.
func (p *plan) stateType(o *Options, narrow []string) {
	state := func(typ dtype.Type) {
		for _, key := range dtypeKeys {
			if _, ok := p.config.Extra[key]; ok {
				p.config.Extra[key] = json.RawMessage(fmt.Sprintf("%q", torchTypes[typ]))
			}
		}
	}
	switch {
	case o.DType != "":
		p.config.Extra[dtypeKeys[0]] = nil
		state(o.DType)
	case len(narrow) > 0:
		p.warnings = append(p.warnings, fmt.Sprintf("%d tensors have values that a 16-bit type would round and are stored as F32: %s", len(narrow), some(narrow)))
		state(dtype.F32)
	}
}
