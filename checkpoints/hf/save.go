package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// Options of Save and Write.
type Options struct {
	Types    map[string]dtype.Type          // wished type by tensor, as Load found it; others by config's torch_dtype, else F32
	DType    dtype.Type                     // every tensor of values in this type, rounded to it; empty: as wished, never rounded
	Packed   Convention                     // ternary tensors in the packed form of BitNet's folders; empty: as values
	MaxShard int64                          // bytes of tensors that one file holds at most, but for a larger tensor; 0: all in one
	Side     map[string][]byte              // further files of the folder, by name, as Load found them
	Replace  bool                           // take the place of a folder that is there already
	Finite   bool                           // a NaN or an infinity among the values is an error that names tensor and index
	Progress func(written, all int64) error // called while tensors are written; its error ends the writing; nil: no one listens
}

// Save is Write of weights in memory.
func Save(fsys durable.FS, dir string, w *spec.Weights, o Options) (warnings []string, err error) {
	return Write(fsys, dir, stored.Of(w), o)
}

// Write writes a folder, whole or not at all: config.json, model.safetensors or shards with an index, and the side files. With
// Replace it takes the place of a folder that is there, model and all, whose other files it carries over; folders in it, and
// files too large to carry, are an error. A tensor is stored in a 16-bit type only where every value of it fits exactly: a
// folder that was read comes out with the same bits, and trained weights are never rounded on the way. Where the wish is not
// granted, F32 is written, torch_dtype says so, and a warning is returned. No more than a tensor is held in memory, and equal
// models give equal bytes.
func Write(fsys durable.FS, dir string, m *stored.Model, o Options) (warnings []string, err error) {
	plan, err := newPlan(m, &o)
	if err != nil {
		return nil, err
	}
	config, err := ConfigJSON(plan.config)
	if err != nil {
		return nil, err
	}
	for name := range o.Side {
		if name == ConfigName || name == ModelName || name != filepath.Base(name) || strings.ContainsAny(name, `/\:`) {
			return nil, &FolderError{Path: dir, Problem: fmt.Sprintf("side file %q cannot be written there", name), Fix: "side files have plain names, such as tokenizer.json"}
		}
	}
	var carried []string
	if o.Replace {
		if carried, err = others(fsys, dir, o.Side); err != nil {
			return nil, err
		}
	}
	former := dir
	build := func(dir string) error {
		put := func(name string, data []byte) error {
			return durable.AddFile(fsys, filepath.Join(dir, name), func(f io.Writer) error { _, err := f.Write(data); return err })
		}
		for _, name := range carried {
			data, err := fsys.ReadFile(filepath.Join(former, name))
			if err == nil {
				err = put(name, data)
			}
			if err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(maps.Keys(o.Side)) {
			if err := put(name, o.Side[name]); err != nil {
				return err
			}
		}
		if err := plan.write(fsys, dir, put); err != nil {
			return err
		}
		return put(ConfigName, config) // last: without it the folder is not a model
	}
	if o.Replace {
		return plan.warnings, durable.ReplaceDir(fsys, dir, build)
	}
	return plan.warnings, durable.WriteDir(fsys, dir, build)
}

// others lists the files of a folder that is to be replaced which are no part of a model: they are carried over.
func others(fsys durable.FS, dir string, side map[string][]byte) (names []string, err error) {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &durable.WriteError{Path: dir, Op: "create", Err: err}
	}
	for _, e := range entries {
		name := e.Name()
		_, written := side[name]
		switch {
		case written, name == ConfigName, strings.HasPrefix(name, "pytorch_model") && strings.Contains(name, ".bin"), strings.HasPrefix(name, "model") && strings.Contains(name, ".safetensors"), durable.IsTemp(name):
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, &durable.WriteError{Path: dir, Op: "create", Err: err}
		}
		if !info.Mode().IsRegular() || info.Size() > maxSideBytes {
			return nil, &FolderError{
				Path: dir, Problem: fmt.Sprintf("holds %s, which is no part of a model and no small file", name),
				Fix: "choose another folder, or move it away",
			}
		}
		names = append(names, name)
	}
	return names, nil
}

// WriteModel writes model.safetensors: the tensors as F32, in the reference writer's order.
func WriteModel(f io.Writer, w *spec.Weights) error {
	tensors := make([]safetensors.Tensor, len(w.Tensors))
	for i := range w.Tensors {
		tensors[i] = safetensors.Float32Tensor(w.Tensors[i].Name, w.Tensors[i].Shape, w.At(i), dtype.F32)
	}
	return writeFile(f, tensors)
}

// writeFile writes tensors wider types first, then by name, as the reference's serialize.
func writeFile(f io.Writer, tensors []safetensors.Tensor) error {
	sort.Slice(tensors, func(i, j int) bool {
		a, b := &tensors[i], &tensors[j]
		if a.DType != b.DType {
			return a.DType.Rank() > b.DType.Rank()
		}
		return a.Name < b.Name
	})
	_, err := safetensors.Write(f, tensors, map[string]string{"format": "pt"}, 0)
	return err
}

// ConfigJSON returns config.json as transformers formats it: sorted keys, two spaces.
func ConfigJSON(c spec.Config) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, &FolderError{Path: ConfigName, Problem: err.Error(), Fix: "the configuration's extra fields must be JSON"}
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
