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
	Doubt    string            // what speaks against that reading; it is among the warnings too
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

// PackedTensors returns the tensors of spec.PackedTensors: those of the model, and the ternary head of a tied one, whose values
// are the embeddings'.
func (m *Model) PackedTensors() []Tensor {
	at := map[string]*Tensor{}
	for i := range m.Tensors {
		at[m.Tensors[i].Name] = &m.Tensors[i]
	}
	var list []Tensor
	for _, want := range spec.PackedTensors(m.Config) {
		t := at[want.Name]
		if t == nil {
			t = at[spec.ShadowName(m.Config, want.Name)]
		}
		same := *t
		same.Tensor = want
		list = append(list, same)
	}
	return list
}

// Packed reads the model into memory as the forward pass uses it. A NaN or infinity is an error that names tensor and index.
func (m *Model) Packed() (*pack.Model, error) {
	dense, matrices := map[string][]float32{}, map[string]*pack.Matrix{}
	list := m.PackedTensors()
	for i := range list {
		t := &list[i]
		if t.Kind == spec.Ternary {
			w, err := t.Matrix()
			if err != nil {
				return nil, err
			}
			matrices[t.Name] = w
			continue
		}
		v := make([]float32, 0, t.Elements())
		if err := t.Each(func(block []float32, _ int) error { v = append(v, block...); return nil }); err != nil {
			return nil, err
		}
		dense[t.Name] = v
	}
	return pack.NewModel(m.Config, dense, matrices)
}

// Of returns weights in memory as a model.
func Of(w *spec.Weights) *Model {
	m := &Model{Config: w.Config}
	for i, t := range w.Tensors {
		m.Tensors = append(m.Tensors, inMemory(t, w.At(i)))
	}
	return m
}

// OfPacked returns a packed model as one of codes.
func OfPacked(p *pack.Model) *Model {
	m := &Model{Config: p.Config}
	for _, t := range p.Tensors {
		w := p.Matrix(t.Name)
		if w == nil {
			m.Tensors = append(m.Tensors, inMemory(t, p.Dense(t.Name)))
			continue
		}
		c := Codes(t, packedType, w.Bytes(), w.Scale, func(dst []int8, row int) error {
			for ; len(dst) > 0; dst = dst[w.Cols:] {
				w.DecodeRow(dst[:w.Cols], row)
				row++
			}
			return nil
		})
		c.matrix = w
		m.Tensors = append(m.Tensors, c)
	}
	return m
}

// packedType is the type of T3 words in lists of tensors.
const packedType dtype.Type = "T3"

func inMemory(t spec.Tensor, v []float32) Tensor {
	out := Values(t, dtype.F32, int64(4*len(v)), nil)
	_, cols := out.Rows()
	out.floats = func(dst []float32, row int) error {
		copy(dst, v[row*cols:])
		return nil
	}
	return out
}
