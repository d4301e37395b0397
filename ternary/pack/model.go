package pack

import (
	"fmt"

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

// Build makes the packed model of shadow weights: every ternary tensor quantised and packed, everything else used in
// place, so that a later change of w shows in the model's dense tensors and not in its matrices. A NaN or infinity is an
// error that names tensor and index.
func Build(w *spec.Weights) (*Model, error) {
	dense, matrices := map[string][]float32{}, map[string]*Matrix{}
	var codes []int8 // of one tensor at a time
	for _, t := range spec.PackedTensors(w.Config) {
		shadow := w.Get(spec.ShadowName(w.Config, t.Name))
		if t.Kind != spec.Ternary {
			dense[t.Name] = shadow
			continue
		}
		if cap(codes) < len(shadow) {
			codes = make([]int8, len(shadow))
		}
		m := New(t.Shape[0], t.Shape[1])
		var err error
		if m.Scale, err = quant.Ternarize(codes[:len(shadow)], shadow); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		m.Encode(codes[:len(shadow)], 0, m.Superblocks())
		matrices[t.Name] = m
	}
	return NewModel(w.Config, dense, matrices)
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
