package stored

import (
	"errors"

	"mmfree/checkpoints/dtype"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// Model is an opened model. Nothing but heads of files has been read.
type Model struct {
	Config   spec.Config
	Format   string            // how the files hold it, for people; empty where tensors have this program's names and hold values
	Tensors  []Tensor          // those of spec.Tensors(Config), in that order; of a tied model stored as codes, the head's behind them
	Side     map[string][]byte // tokenizer.json and its like, by name
	Scales   string            // how the scales of codes were read, for people; empty where the files hold values
	Warnings []string
	close    []func() error
}

// OnClose adds what Close must do.
func (m *Model) OnClose(f func() error) { m.close = append(m.close, f) }

// Close releases the files; no tensor can be read any more.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.close {
		errs = append(errs, f())
	}
	m.close = nil
	return errors.Join(errs...)
}

// IsCodes reports whether any tensor is stored as codes.
func (m *Model) IsCodes() bool {
	for i := range m.Tensors {
		if m.Tensors[i].IsCodes() {
			return true
		}
	}
	return false
}

// Bytes returns what the tensors take in the files.
func (m *Model) Bytes() (n int64) {
	for i := range m.Tensors {
		n += m.Tensors[i].Bytes
	}
	return n
}

// Types returns the type that each tensor is stored in, of those that hold floats.
func (m *Model) Types() map[string]dtype.Type {
	types := map[string]dtype.Type{}
	for i := range m.Tensors {
		if !m.Tensors[i].Stored.Float() {
			continue
		}
		types[m.Tensors[i].Name] = m.Tensors[i].Stored
	}
	return types
}

// Weights reads all values into memory: of codes, code·scale.
func (m *Model) Weights() (*spec.Weights, error) {
	w, err := spec.NewWeights(m.Config)
	if err != nil {
		return nil, err
	}
	for i := range m.Tensors {
		if v := w.Get(m.Tensors[i].Name); v != nil {
			if err := m.Tensors[i].ReadRows(v, 0); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// Packed reads the model into memory as the forward pass uses it. A NaN or infinity is an error that names tensor and index.
func (m *Model) Packed() (*pack.Model, error) {
	dense, matrices := map[string][]float32{}, map[string]*pack.Matrix{}
	at := map[string]*Tensor{}
	for i := range m.Tensors {
		at[m.Tensors[i].Name] = &m.Tensors[i]
	}
	var err error
	for _, want := range spec.PackedTensors(m.Config) {
		t := at[want.Name]
		if t == nil {
			t = at[spec.ShadowName(m.Config, want.Name)]
		}
		if want.Kind == spec.Ternary {
			if matrices[want.Name], err = t.Matrix(); err != nil {
				return nil, err
			}
			continue
		}
		v := make([]float32, 0, t.Elements())
		if err := t.Each(func(block []float32, _ int) error { v = append(v, block...); return nil }); err != nil {
			return nil, err
		}
		dense[want.Name] = v
	}
	return pack.NewModel(m.Config, dense, matrices)
}
