package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mmfree/autograd"
	"mmfree/checkpoints"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/stored"
	"mmfree/data/tokenizer"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// Model is an opened MODEL argument: shadow weights, codes, or both, whatever the path holds.
type Model struct {
	Kind     checkpoints.Kind
	Path     string // as given
	Source   string // the checkpoint folder of a run; else Path
	Config   spec.Config
	Weights  *spec.Weights // nil where the path holds codes
	Info     *hf.Info      // what a folder holds beside; nil for a packed file
	Warnings []string

	tokenizerJSON []byte
	scales        string        // how the scales of codes were read; empty where there are none
	stored        *stored.Model // what is written from, of a model that OpenToConvert opened
	packed        *pack.Model
	file          *packed.File
	damaged       error // what is wrong with the run's own packed file
}

// Open recognises and opens a MODEL: a run folder (its newest whole checkpoint), a checkpoint folder, a Hugging Face
// folder, a safetensors file with its config.json beside it, a .bin file of llama2.c, a GGUF file, or a packed file.
func Open(path string) (*Model, error) {
	m, err := OpenToConvert(path)
	if err != nil || m.stored == nil {
		return m, err
	}
	if err := m.read(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// OpenToConvert is Open without the values: for Export and Import alone, which read them when they are written.
func OpenToConvert(path string) (*Model, error) {
	kind, err := checkpoints.Recognise(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Kind: kind, Path: path, Source: path}
	if kind == checkpoints.KindPacked {
		m.scales = scaleConvention
		return m, m.OpenPacked(path)
	}
	s, source, err := checkpoints.Open(path, kind)
	if err != nil {
		return nil, err
	}
	m.stored, m.Source, m.Kind = s, source, checkpoints.KindOf(kind, s)
	if kind == checkpoints.KindGGUF {
		err = m.takeVocabulary(s)
	}
	m.Config, m.Warnings, m.scales = s.Config, s.Warnings, s.Scales
	m.Info = &hf.Info{Types: s.Types(), Side: s.Side, Bytes: s.Bytes(), Warnings: s.Warnings}
	m.tokenizerJSON = s.Side[tokenizerJSON]
	if kind == checkpoints.KindRun {
		err = m.openExport(filepath.Base(m.Source))
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// read brings the model into memory: its shadow weights, or the packed model of codes.
func (m *Model) read() (err error) {
	s := m.stored
	m.stored = nil
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.IsCodes() {
		m.packed, err = s.Packed()
	} else {
		m.Weights, err = s.Weights()
	}
	return m.named(err)
}

// openExport takes a run's packed file where it was made from the step that was opened. A damaged one is no obstacle: its
// codes are made anew, and exporting mends it; only to verify it makes no sense.
func (m *Model) openExport(step string) error {
	path := filepath.Join(m.Path, PackedFile)
	if _, err := os.Stat(path); err != nil {
		return nil // the run has not come to its end: codes are made from the checkpoint
	}
	if err := m.OpenPacked(path); err != nil {
		m.damaged = err
		m.Warnings = append(m.Warnings, err.Error()+": packing the checkpoint instead")
		return nil
	}
	if made := m.file.Meta().Source; made != step {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%s was made from %s, the newest checkpoint is %s: packing that instead", path, made, step))
		m.packed = nil
		return m.closeFile()
	}
	return nil
}

// OpenPacked takes the codes from a packed file, which must be of the model's configuration where weights are open.
func (m *Model) OpenPacked(path string) error {
	file, err := packed.Open(path)
	if err != nil {
		return err
	}
	c := file.Model().Config
	if (m.Weights != nil || m.stored != nil) && !spec.Alike(c, m.Config) {
		return errors.Join(file.Close(), &checkpoints.Error{
			Path: path, Problem: "is of another model than " + m.Source, Fix: "name the packed file that was made from it",
		})
	}
	if m.file != nil {
		if err := m.file.Close(); err != nil {
			return err
		}
	}
	m.file, m.packed, m.damaged = file, file.Model(), nil
	if m.Weights == nil && m.stored == nil {
		m.Config, m.tokenizerJSON = c, file.Meta().Tokenizer
	}
	return nil
}

// Packed returns the model's codes: those of its packed file, else made from the weights now.
func (m *Model) Packed() (*pack.Model, error) {
	if m.packed != nil {
		return m.packed, nil
	}
	if err := m.checkFinite(); err != nil {
		return nil, err
	}
	var err error
	m.packed, err = pack.Build(m.Weights)
	return m.packed, err
}

// checkFinite refuses weights that hold a NaN or an infinity.
func (m *Model) checkFinite() error { return m.named(m.Weights.CheckFinite()) }

// CheckSum compares an open packed file with its checksum; without one there is nothing to do.
func (m *Model) CheckSum() error {
	if m.file == nil {
		return nil
	}
	return m.file.Verify()
}

// Session returns the training path over the model: from its shadow weights, or over the codes where there are none.
func (m *Model) Session(machine Machine) (*autograd.Session, error) {
	o := autograd.Options{Set: machine.Set, Pool: machine.Pool}
	if m.Weights == nil {
		return autograd.NewForward(m.packed, o), nil
	}
	if err := m.checkFinite(); err != nil {
		return nil, err
	}
	return autograd.NewSession(m.Weights, o)
}

// TokenizerJSON returns tokenizer.json, or nil where the model has none.
func (m *Model) TokenizerJSON() []byte { return m.tokenizerJSON }

// UseTokenizer gives the model another tokenizer, of at most as many tokens as the model has.
func (m *Model) UseTokenizer(path string) error {
	t, err := LoadTokenizer(path)
	if err != nil {
		return err
	}
	if n := t.VocabSize(); n > m.Config.VocabSize {
		return &checkpoints.Error{
			Path: path, Problem: fmt.Sprintf("has %d tokens, %s has %d", n, m.Source, m.Config.VocabSize), Fix: "name the tokenizer that the model was trained with",
		}
	}
	if m.tokenizerJSON, err = t.JSON(); err != nil || m.Info == nil {
		return err
	}
	side := map[string][]byte{tokenizerJSON: m.tokenizerJSON}
	for name, b := range m.Info.Side { // what belongs to the model, not to its former tokenizer
		if name == "generation_config.json" || name == chatTemplate {
			side[name] = b
		}
	}
	m.Info.Side = side
	return nil
}

// Tokenizer returns the model's tokenizer. That there is none, or one that this build cannot run, is an error.
func (m *Model) Tokenizer() (tokenizer.Tokenizer, error) {
	if m.tokenizerJSON == nil {
		return nil, &checkpoints.Error{
			Path: m.Source, Problem: "has no tokenizer", Fix: "put its tokenizer.json beside the model",
		}
	}
	return tokenizer.Parse(m.tokenizerJSON, m.Source)
}

// Close releases what is mapped; the model must not be used any more.
func (m *Model) Close() error {
	err := m.closeFile()
	if s := m.stored; s != nil {
		m.stored = nil
		err = errors.Join(err, s.Close())
	}
	return err
}

// closeFile closes the packed file.
func (m *Model) closeFile() error {
	if m.file == nil {
		return nil
	}
	f := m.file
	m.file = nil
	return f.Close()
}
