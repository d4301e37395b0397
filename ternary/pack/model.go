package pack

import (
	"fmt"
	"slices"

	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// Model is a whole model as the forward pass uses it: its ternary tensors as packed matrices, everything else as
// float32. Training and inference run the same layers over the same Model; they differ only in where it comes from:
// a file, or the shadow weights of the moment.
type Model struct {
	Config   spec.Config
	Tensors  []spec.Tensor // spec.PackedTensors(Config)
	dense    map[string][]float32
	matrices map[string]*Matrix
}

// NewModel assembles a model from its parts. Every tensor of spec.PackedTensors must be there, in its shape: ternary
// ones in matrices, others in dense. The parts are used in place.
func NewModel(c spec.Config, dense map[string][]float32, matrices map[string]*Matrix) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Model{Config: c, Tensors: spec.PackedTensors(c), dense: dense, matrices: matrices}
	for _, t := range m.Tensors {
		if t.Kind == spec.Ternary {
			w := matrices[t.Name]
			if w == nil {
				return nil, &Error{Word: -1, Problem: "tensor " + t.Name + " is missing"}
			}
			if w.Rows != t.Shape[0] || w.Cols != t.Shape[1] {
				return nil, &Error{Word: -1, Problem: fmt.Sprintf("tensor %s has shape [%d, %d], the configuration asks for %v", t.Name, w.Rows, w.Cols, t.Shape)}
			}
			continue
		}
		v, ok := dense[t.Name]
		if !ok {
			return nil, &Error{Word: -1, Problem: "tensor " + t.Name + " is missing"}
		}
		if len(v) != t.Elements() {
			return nil, &Error{Word: -1, Problem: fmt.Sprintf("tensor %s has %d values, the configuration asks for %v", t.Name, len(v), t.Shape)}
		}
	}
	return m, nil
}

// Over makes a model over shadow weights whose codes are still to be written: dense tensors are w's own memory, matrices
// hold zero trits and scale 0. Training fills them anew after each update.
func Over(w *spec.Weights) (*Model, error) {
	dense, matrices := map[string][]float32{}, map[string]*Matrix{}
	for _, t := range spec.PackedTensors(w.Config) {
		if t.Kind == spec.Ternary {
			matrices[t.Name] = New(t.Shape[0], t.Shape[1])
		} else {
			dense[t.Name] = w.Get(t.Name)
		}
	}
	return NewModel(w.Config, dense, matrices)
}

// Build makes the packed model of shadow weights: Over, with every ternary tensor quantised and packed. A later change of
// w shows in the model's dense tensors and not in its matrices. A NaN or infinity is an error that names tensor and index.
func Build(w *spec.Weights) (*Model, error) {
	p, err := Over(w)
	if err != nil {
		return nil, err
	}
	var codes []int8 // of one tensor at a time
	for _, t := range p.Tensors {
		m := p.Matrix(t.Name)
		if m == nil {
			continue
		}
		shadow := w.Get(spec.ShadowName(w.Config, t.Name))
		codes = slices.Grow(codes[:0], len(shadow))[:len(shadow)]
		if m.Scale, err = quant.Ternarize(codes, shadow); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		m.Encode(codes, 0, m.Superblocks())
	}
	return p, nil
}

// Dense returns the values of a full-precision tensor, or nil when the model has none of that name.
func (m *Model) Dense(name string) []float32 { return m.dense[name] }

// Matrix returns a ternary tensor, or nil when the model has none of that name.
func (m *Model) Matrix(name string) *Matrix { return m.matrices[name] }

// Bytes returns the size of the model's values, packed and full-precision.
func (m *Model) Bytes() (n int64) {
	for _, t := range m.Tensors {
		if t.Kind == spec.Ternary {
			n += m.Matrix(t.Name).Bytes() + 4
		} else {
			n += 4 * int64(t.Elements())
		}
	}
	return n
}
