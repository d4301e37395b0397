package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mmfree/checkpoints"
	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// Formats that Export writes.
const (
	FormatPacked   = string(checkpoints.KindPacked)
	FormatHF       = string(checkpoints.KindHF)
	FormatHFBitNet = string(checkpoints.KindHFBitNet)
	FormatGGUF     = string(checkpoints.KindGGUF)
)

// Formats lists them.
func Formats() []string { return []string{FormatPacked, FormatHF, FormatHFBitNet, FormatGGUF} }

// scaleConvention says how codes become weights again in the packed format.
const scaleConvention = "weight = code * scale, scale = max(mean|w|, 1e-5) of the tensor"

// ExportRequest says what to write, where and how.
type ExportRequest struct {
	Format   string
	Out      string
	Replace  bool                  // what exists at Out is replaced only with it
	DType    string                // but for packed: store every full-precision tensor so, rounded; empty: as it was, or F32
	MaxShard int64                 // but for packed: bytes of tensors that a file holds at most, but for a larger tensor; 0: one file. gguf: Out is then a folder
	Scales   hf.Convention         // hf-bitnet: what weight_scale is; empty: multiply
	Ternary  string                // gguf: the type of ternary tensors; empty: the one that the architecture's other readers know
	Progress func(done, all int64) // bytes; nil: no one listens
}

// DTypes are the words of ExportRequest.DType.
func DTypes() []string { return []string{"float32", "bfloat16", "float16"} }

// dtypeOf returns the type of a word of DTypes.
func dtypeOf(word string) dtype.Type {
	return map[string]dtype.Type{"float32": dtype.F32, "bfloat16": dtype.BF16, "float16": dtype.F16}[word]
}

// TernaryTypes are the words of ExportRequest.Ternary.
func TernaryTypes() []string { return []string{"tq1_0", "tq2_0", "i2_s"} }

// ternaryOf returns the type of a word of TernaryTypes; 0 for another.
func ternaryOf(word string) gguf.Type {
	return map[string]gguf.Type{"tq1_0": gguf.TQ1, "tq2_0": gguf.TQ2, "i2_s": gguf.I2S}[word]
}

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

// Export writes a model in another format, a tensor at a time. A cancelled ctx ends it with that error, and nothing is left.
func (m *Model) Export(ctx context.Context, r ExportRequest) (*Exported, error) {
	if _, err := os.Lstat(r.Out); err == nil && !r.Replace {
		return nil, &fs.PathError{Op: "export", Path: r.Out, Err: fs.ErrExist}
	}
	if r.DType != "" && dtypeOf(r.DType) == "" {
		return nil, &InputError{Source: "dtype", Problem: fmt.Sprintf("%q is not known", r.DType), Fix: fmt.Sprintf("choose one of %v", DTypes())}
	}
	if r.Ternary != "" && ternaryOf(r.Ternary) == 0 {
		return nil, &InputError{Source: "ternary-type", Problem: fmt.Sprintf("%q is not known", r.Ternary), Fix: fmt.Sprintf("choose one of %v", TernaryTypes())}
	}
	progress := func(done, all int64) error {
		if r.Progress != nil {
			r.Progress(done, all)
		}
		return ctx.Err()
	}
	var warnings []string
	err := durable.CleanTempsOf(durable.OS{}, r.Out)
	if err != nil {
		return nil, err
	}
	switch r.Format {
	case FormatPacked:
		err = m.exportPacked(r.Out, progress)
	case FormatHF, FormatHFBitNet:
		warnings, err = m.exportHF(&r, progress)
	case FormatGGUF:
		warnings, err = m.exportGGUF(&r, progress)
	default:
		err = &InputError{Source: "format", Problem: fmt.Sprintf("%q is not known", r.Format), Fix: fmt.Sprintf("choose one of %v", Formats())}
	}
	if err != nil {
		return nil, m.named(err)
	}
	written, err := checkpoints.Inspect(r.Out, false)
	if err != nil {
		return nil, err
	}
	e := &Exported{
		Path: r.Out, Format: r.Format, Arch: m.Config.Arch, Parameters: written.Parameters, Tensors: len(written.Tensors),
		Bytes: written.Bytes, BitsPerWeight: written.BitsPerWeight, Warnings: append(warnings, written.Warnings...),
	}
	convention := written.Scales
	if r.Format == FormatPacked {
		convention = scaleConvention
	}
	if convention != "" {
		e.ScaleConvention = &convention
	}
	return e, nil
}

// Import makes a Hugging Face folder of a model, tensors in the types they had; codes stay codes, in the packed form of BitNet's
// folders. Format and ScaleConvention then say what was read, and how.
func (m *Model) Import(ctx context.Context, r ExportRequest) (*Exported, error) {
	r.Format = FormatHF
	if m.content().IsCodes() {
		r.Format = FormatHFBitNet
	}
	e, err := m.Export(ctx, r)
	if err != nil {
		return nil, err
	}
	e.Format, e.ScaleConvention = string(m.Kind), nil
	if m.scales != "" {
		e.ScaleConvention = &m.scales
	}
	return e, nil
}

// content returns the model as what it is written from: the files, or what is in memory.
func (m *Model) content() *stored.Model {
	switch {
	case m.stored != nil:
		return m.stored
	case m.Weights != nil:
		return stored.Of(m.Weights)
	}
	return stored.OfPacked(m.packed)
}

// named gives a fault among the values the name of the model.
func (m *Model) named(err error) error {
	if v := (*spec.ValueError)(nil); errors.As(err, &v) {
		return &checkpoints.Error{
			Path: m.Source, Problem: v.Error(), Fix: "the weights are damaged or their training diverged: use an earlier checkpoint", Cause: err,
		}
	}
	return err
}

func (m *Model) exportPacked(out string, progress func(done, all int64) error) error {
	if err := noFolder(out, FormatPacked); err != nil {
		return err
	}
	meta := packed.Meta{Tokenizer: m.tokenizerJSON}
	switch {
	case m.Kind == checkpoints.KindRun, m.Kind == checkpoints.KindCheckpoint:
		meta.Source = filepath.Base(filepath.Clean(m.Source)) // step-N: how a run knows what its packed file was made from
	case m.file != nil:
		meta.Source = m.file.Meta().Source
	}
	_, err := packed.WriteStored(durable.OS{}, out, m.codes(), meta, progress)
	return err
}

// codes is content for formats that hold codes: those that were made already, where there are any.
func (m *Model) codes() *stored.Model {
	if m.packed != nil {
		return stored.OfPacked(m.packed)
	}
	return m.content()
}

// noFolder refuses a folder as the place of a file.
func noFolder(out, format string) error {
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return &InputError{Source: out, Problem: "is a folder, a model of the format " + format + " is one file", Fix: "choose another path"}
	}
	return nil
}

// noFile refuses a file as the place of a folder.
func noFile(out, model string) error {
	if info, err := os.Stat(out); err == nil && !info.IsDir() {
		return &InputError{Source: out, Problem: "is a file, " + model + " is a folder", Fix: "choose another path"}
	}
	return nil
}

func (m *Model) exportGGUF(r *ExportRequest, progress func(done, all int64) error) (warnings []string, err error) {
	if r.MaxShard > 0 {
		err = noFile(r.Out, "a GGUF model of several files")
	} else {
		err = noFolder(r.Out, FormatGGUF)
	}
	if err != nil {
		return nil, err
	}
	o := gguf.Options{
		Tokenizer: m.tokenizerJSON, Values: dtypeOf(r.DType), Ternary: ternaryOf(r.Ternary), MaxPart: r.MaxShard, Replace: r.Replace, Progress: progress,
	}
	var vocabulary string
	o.Vocabulary, vocabulary = m.vocabularyKeys()
	o.Vocabulary = append(o.Vocabulary, m.templateKeys()...)
	if warnings, err = gguf.Save(durable.OS{}, r.Out, m.codes(), o); vocabulary != "" {
		warnings = append(warnings, vocabulary)
	}
	return warnings, err
}

func (m *Model) exportHF(r *ExportRequest, progress func(done, all int64) error) (warnings []string, err error) {
	if err := noFile(r.Out, "a Hugging Face model"); err != nil {
		return nil, err
	}
	switch kind, _ := checkpoints.Recognise(r.Out); kind { // nothing there, or something else, is no obstacle
	case checkpoints.KindRun, checkpoints.KindCheckpoint:
		return nil, &InputError{Source: r.Out, Problem: "is a " + string(kind) + " of this program, which would no longer be whole", Fix: "choose another path"}
	}
	o := hf.Options{DType: dtypeOf(r.DType), MaxShard: r.MaxShard, Replace: r.Replace, Finite: true, Progress: progress}
	if r.Format == FormatHFBitNet {
		if o.Packed = r.Scales; o.Packed == "" {
			o.Packed = hf.Multiply
		}
	}
	switch {
	case m.Info != nil:
		o.Types, o.Side = m.Info.Types, m.Info.Side
	case m.tokenizerJSON != nil:
		o.Side = map[string][]byte{tokenizerJSON: m.tokenizerJSON}
	}
	return hf.Write(durable.OS{}, r.Out, m.content(), o)
}
