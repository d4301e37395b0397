package checkpoints

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/spec"
)

const (
	optimizerName = "optimizer.safetensors"
	stateName     = "state.json"
	tokenizerName = "tokenizer.json"
)

// Parts is what a checkpoint holds. Saving reads them; loading fills Weights and Optimizer, which the caller allocates,
// in place, and sets State and Tokenizer.
type Parts struct {
	Weights   *spec.Weights
	Optimizer []NamedTensor // nil when loading: not read
	State     []byte        // state.json, whatever training needs to go on; saved as {} when empty
	Tokenizer []byte        // tokenizer.json; nil = none
}

// NamedTensor is one tensor of the optimiser's state.
type NamedTensor struct {
	Name   string
	Shape  []int
	Values []float32
}

// Moments names every tensor of w, moments in the shape of a model, PREFIX.TENSOR, for example
// exp_avg.model.norm.weight. The values are w's own.
func Moments(prefix string, w *spec.Weights) []NamedTensor {
	list := make([]NamedTensor, len(w.Tensors))
	for i, t := range w.Tensors {
		list[i] = NamedTensor{Name: prefix + "." + t.Name, Shape: t.Shape, Values: w.At(i)}
	}
	return list
}

// LoadParts restores a checkpoint folder into p. Its files must have the checksums of the manifest, Weights the
// configuration that was saved, and Optimizer the very tensors; all is checked before the first value is changed.
func LoadParts(dir string, p *Parts) error {
	f, err := openFolder(durable.OS{}, dir)
	if err != nil {
		return err
	}
	defer f.close()
	return f.load(p)
}

// load fills p as LoadParts says.
func (f *folder) load(p *Parts) error {
	path := filepath.Join(f.dir, hf.ConfigName)
	saved, err := hf.ParseConfig(path, f.files[hf.ConfigName])
	if err != nil {
		return err
	}
	if err := sameConfig(path, p.Weights.Config, saved); err != nil {
		return err
	}
	model, err := f.exactly(hf.ModelName, tensorsOf(p.Weights))
	if err != nil {
		return err
	}
	var optimizer *safetensors.File
	if p.Optimizer != nil {
		if optimizer, err = f.exactly(optimizerName, p.Optimizer); err != nil {
			return err
		}
	}
	err = durable.Guard(func() error {
		for _, t := range tensorsOf(p.Weights) {
			if err := model.ReadFloat32(t.Name, t.Values); err != nil {
				return err
			}
		}
		for _, t := range p.Optimizer {
			if err := optimizer.ReadFloat32(t.Name, t.Values); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.State, p.Tokenizer = bytes.Clone(f.files[stateName]), bytes.Clone(f.files[tokenizerName])
	return nil
}

func tensorsOf(w *spec.Weights) []NamedTensor {
	list := make([]NamedTensor, len(w.Tensors))
	for i, t := range w.Tensors {
		list[i] = NamedTensor{Name: t.Name, Shape: t.Shape, Values: w.At(i)}
	}
	return list
}

// exactly reads a file that must hold these tensors, all F32, and no others.
func (folder *folder) exactly(name string, want []NamedTensor) (*safetensors.File, error) {
	path := filepath.Join(folder.dir, name)
	f, err := safetensors.Parse(path, folder.files[name])
	if err != nil {
		return nil, err
	}
	var faults []string
	known := map[string]bool{}
	for _, t := range want {
		known[t.Name] = true
		switch have, ok := f.Info(t.Name); {
		case !ok:
			faults = append(faults, t.Name+" is missing")
		case have.DType != dtype.F32 || !slices.Equal(have.Shape, t.Shape) || have.Elements() != len(t.Values):
			faults = append(faults, fmt.Sprintf("%s is %s %v, not F32 %v", t.Name, have.DType, have.Shape[:min(len(have.Shape), 8)], t.Shape))
		}
	}
	for _, t := range f.Tensors() {
		if !known[t.Name] {
			faults = append(faults, fmt.Sprintf("%.120q is not expected", t.Name))
		}
	}
	if len(faults) == 0 {
		return f, nil
	}
	const shown = 5
	text := strings.Join(faults[:min(len(faults), shown)], "; ")
	if len(faults) > shown {
		text += fmt.Sprintf("; and %d more", len(faults)-shown)
	}
	return nil, &Error{Path: path, Problem: "does not fit the model: " + text, Fix: "resume with the configuration and the optimiser that the run was started with"}
}

// sameConfig compares configurations field by field, but for what the program gives no meaning (Extra).
func sameConfig(path string, want, saved spec.Config) error {
	a, err := fields(want)
	if err != nil {
		return err
	}
	b, err := fields(saved)
	if err != nil {
		return err
	}
	differ := map[string]bool{}
	for key := range a {
		if !bytes.Equal(a[key], b[key]) {
			differ[key] = true
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			differ[key] = true
		}
	}
	if len(differ) == 0 {
		return nil
	}
	var list []string
	for key := range differ {
		list = append(list, fmt.Sprintf("%s is %s here and %s there", key, or(a[key], "absent"), or(b[key], "absent")))
	}
	sort.Strings(list)
	return &Error{Path: path, Problem: "is another model: " + strings.Join(list, "; "), Fix: "resume with the configuration that the run was started with"}
}

func fields(c spec.Config) (map[string]json.RawMessage, error) {
	c.Extra = nil
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	m := map[string]json.RawMessage{}
	return m, json.Unmarshal(text, &m)
}

func or(raw json.RawMessage, absent string) string {
	if raw == nil {
		return absent
	}
	return string(raw)
}
