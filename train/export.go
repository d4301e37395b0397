package train

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
)

// Formats that Export writes.
const (
	FormatPacked = string(checkpoints.KindPacked)
	FormatHF     = string(checkpoints.KindHF)
)

// scaleConvention says how codes become weights again in the packed format.
const scaleConvention = "weight = code * scale, scale = max(mean|w|, 1e-5) of the tensor"

// Exported is what Export or Import wrote.
type Exported struct {
	Path            string   `json:"path"`
	Format          string   `json:"format"` // what was written; for an import, what was read
	Arch            string   `json:"arch"`
	Parameters      int64    `json:"parameters"`
	Tensors         int      `json:"tensors"`
	Bytes           int64    `json:"bytes"`           // of the files that hold the tensors
	BitsPerWeight   float64  `json:"bits_per_weight"` // for each ternary weight
	ScaleConvention *string  `json:"scale_convention"`
	Warnings        []string `json:"warnings"`
}

// Export writes a model in another format: a packed file, or a Hugging Face folder. What exists at out is replaced only
// with replace; a packed file gives no folder, because the weights that training needs are not in it.
func (m *Model) Export(format, out string, replace bool) (*Exported, error) {
	if _, err := os.Lstat(out); err == nil && !replace {
		return nil, &fs.PathError{Op: "export", Path: out, Err: fs.ErrExist}
	}
	var warnings []string
	err := durable.CleanTempsOf(durable.OS{}, out)
	if err != nil {
		return nil, err
	}
	switch format {
	case FormatPacked:
		err = m.exportPacked(out)
	case FormatHF:
		warnings, err = m.exportHF(out, replace)
	default:
		err = &InputError{Source: "format", Problem: fmt.Sprintf("%q is not known", format), Fix: "choose packed or hf"}
	}
	if err != nil {
		return nil, err
	}
	written, err := checkpoints.Inspect(out, false)
	if err != nil {
		return nil, err
	}
	e := &Exported{
		Path: out, Format: format, Arch: m.Config.Arch, Parameters: written.Parameters, Tensors: len(written.Tensors),
		Bytes: written.Bytes, BitsPerWeight: written.BitsPerWeight, Warnings: append(warnings, written.Warnings...),
	}
	if format == FormatPacked {
		convention := scaleConvention
		e.ScaleConvention = &convention
	}
	return e, nil
}

// Import makes a Hugging Face folder of a model, tensors in the types they had; Format then says what was read.
func (m *Model) Import(out string, replace bool) (*Exported, error) {
	e, err := m.Export(FormatHF, out, replace)
	if err == nil {
		e.Format = string(m.Kind)
	}
	return e, err
}

func (m *Model) exportPacked(out string) error {
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return &InputError{Source: out, Problem: "is a folder, a packed model is one file", Fix: "choose another path"}
	}
	p, err := m.Packed()
	if err != nil {
		return err
	}
	meta := packed.Meta{Tokenizer: m.tokenizerJSON}
	switch {
	case m.Kind == checkpoints.KindRun, m.Kind == checkpoints.KindCheckpoint:
		meta.Source = filepath.Base(filepath.Clean(m.Source)) // step-N: how a run knows what its packed file was made from
	case m.file != nil:
		meta.Source = m.file.Meta().Source
	}
	_, err = packed.Write(durable.OS{}, out, p, meta)
	return err
}

func (m *Model) exportHF(out string, replace bool) (warnings []string, err error) {
	if m.Weights == nil {
		return nil, &checkpoints.Error{
			Path: m.Path, Problem: "holds codes; the full-precision weights that a Hugging Face folder needs are not in it",
			Fix: "name the run, checkpoint or folder that it was exported from",
		}
	}
	if info, err := os.Stat(out); err == nil && !info.IsDir() {
		return nil, &InputError{Source: out, Problem: "is a file, a Hugging Face model is a folder", Fix: "choose another path"}
	}
	switch kind, _ := checkpoints.Recognise(out); kind { // nothing there, or something else, is no obstacle
	case checkpoints.KindRun, checkpoints.KindCheckpoint:
		return nil, &InputError{Source: out, Problem: "is a " + string(kind) + " of this program, which would no longer be whole", Fix: "choose another path"}
	}
	return hf.Save(durable.OS{}, out, m.Weights, hf.Options{Types: m.Info.Types, Side: m.Info.Side, Replace: replace})
}
