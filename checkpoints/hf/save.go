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
	"mmfree/ternary/spec"
)

// Options of Save.
type Options struct {
	Types   map[string]dtype.Type // wished type by tensor, as Load found it; others by config's torch_dtype, else F32
	Side    map[string][]byte     // further files of the folder, by name, as Load found them
	Replace bool                  // take the place of a folder that is there already
}

// Save writes a folder, whole or not at all: config.json, model.safetensors and the side files. With Replace it takes the
// place of a folder that is there, model and all, whose other files it carries over; folders in it, and files too large
// to carry, are an error. A tensor is stored in a 16-bit type only where every value of it fits exactly:
// a folder that was read comes out with the same bits, and trained weights are never rounded on the way. Where the
// wish is not granted, F32 is written, torch_dtype says so, and a warning is returned.
func Save(fsys durable.FS, dir string, w *spec.Weights, o Options) (warnings []string, err error) {
	c := w.Config
	types, narrow := chooseTypes(w, o.Types)
	if len(narrow) > 0 {
		warnings = append(warnings, fmt.Sprintf("%d tensors have values that a 16-bit type would round and are stored as F32: %s", len(narrow), some(narrow)))
		c.Extra = maps.Clone(c.Extra)
		for _, key := range dtypeKeys {
			if _, ok := c.Extra[key]; ok {
				c.Extra[key] = json.RawMessage(`"float32"`)
			}
		}
	}
	config, err := ConfigJSON(c)
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
			return durable.WriteFile(fsys, filepath.Join(dir, name), func(f io.Writer) error { _, err := f.Write(data); return err })
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
		err := durable.WriteFile(fsys, filepath.Join(dir, ModelName), func(f io.Writer) error {
			return WriteModel(f, w, types)
		})
		if err != nil {
			return err
		}
		return put(ConfigName, config) // last: without it the folder is not a model
	}
	if o.Replace {
		return warnings, durable.ReplaceDir(fsys, dir, build)
	}
	return warnings, durable.WriteDir(fsys, dir, build)
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
		case written, name == ConfigName, name == binName, strings.HasPrefix(name, "model") && strings.Contains(name, ".safetensors"), durable.IsTemp(name):
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

// WriteModel writes model.safetensors: the tensors in the given types (absent: F32), in the reference writer's order.
func WriteModel(f io.Writer, w *spec.Weights, types map[string]dtype.Type) error {
	tensors := make([]safetensors.Tensor, len(w.Tensors))
	for i := range w.Tensors {
		t := &w.Tensors[i]
		typ := types[t.Name]
		if typ == "" {
			typ = dtype.F32
		}
		tensors[i] = safetensors.Float32Tensor(t.Name, t.Shape, w.At(i), typ)
	}
	sort.Slice(tensors, func(i, j int) bool { // wider types first, then by name, as the reference's serialize
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

// dtypeKeys are the field's two names: the newer libraries write the second.
var dtypeKeys = [...]string{"torch_dtype", "dtype"}

// chooseTypes grants each tensor its wished type where that loses nothing, and names those where it would.
func chooseTypes(w *spec.Weights, wished map[string]dtype.Type) (types map[string]dtype.Type, narrow []string) {
	declared := dtype.F32
	for _, key := range dtypeKeys {
		switch string(w.Config.Extra[key]) {
		case `"bfloat16"`:
			declared = dtype.BF16
		case `"float16"`:
			declared = dtype.F16
		}
	}
	types = map[string]dtype.Type{}
	for i := range w.Tensors {
		name := w.Tensors[i].Name
		want, ok := wished[name]
		if !ok {
			want = declared
		}
		if !dtype.Exact(w.At(i), want) {
			narrow = append(narrow, name)
			want = dtype.F32
		}
		types[name] = want
	}
	return types, narrow
}
