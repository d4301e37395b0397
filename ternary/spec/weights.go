package spec

import (
	"fmt"
	"math"
)

// tensorAlign is the alignment of each tensor inside Flat, in floats: one 64-byte cache line, so that vector kernels
// and workers never share a line between tensors.
const tensorAlign = 16

// Weights carries one float32 value for every entry of Tensors: shadow weights, gradients or optimiser moments. All
// values lie in one slice (Flat) in list order, each tensor aligned to 64 bytes; the padding between them stays zero.
type Weights struct {
	Config  Config
	Tensors []Tensor
	flat    []float32
	offset  []int
	index   map[string]int
}

// NewWeights allocates zeros for a valid configuration.
func NewWeights(c Config) (*Weights, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	w := &Weights{Config: c, Tensors: Tensors(c), index: map[string]int{}}
	total := 0
	for i := range w.Tensors {
		w.index[w.Tensors[i].Name] = i
		w.offset = append(w.offset, total)
		total += (w.Tensors[i].Elements() + tensorAlign - 1) / tensorAlign * tensorAlign
	}
	w.flat = make([]float32, total)
	return w, nil
}

// Like returns zeros of the same shape; for gradients and moments.
func (w *Weights) Like() *Weights {
	z := *w
	z.flat = make([]float32, len(w.flat))
	return &z
}

// Flat returns all values, tensors in list order with zero padding between them.
func (w *Weights) Flat() []float32 { return w.flat }

// At returns the values of tensor i of Tensors, row-major.
func (w *Weights) At(i int) []float32 {
	return w.flat[w.offset[i]:][:w.Tensors[i].Elements():w.Tensors[i].Elements()]
}

// Offset returns where tensor i begins in Flat.
func (w *Weights) Offset(i int) int { return w.offset[i] }

// Get returns the values of the named tensor, row-major, or nil when the model has none of that name.
func (w *Weights) Get(name string) []float32 {
	i, ok := w.index[name]
	if !ok {
		return nil
	}
	return w.At(i)
}

// Index returns the position of the named tensor in Tensors.
func (w *Weights) Index(name string) (int, bool) {
	i, ok := w.index[name]
	return i, ok
}

// CheckFinite returns an error that names the first NaN or Inf by tensor and index, or nil.
func (w *Weights) CheckFinite() error {
	for i := range w.Tensors {
		for j, v := range w.At(i) {
			if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
				return &ValueError{Tensor: w.Tensors[i].Name, Index: j, Value: v}
			}
		}
	}
	return nil
}

// ValueError names a value that no model may hold.
type ValueError struct {
	Tensor string
	Index  int
	Value  float32
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("tensor %s: value %d is %v", e.Tensor, e.Index, e.Value)
}

// Unwrap makes errors.Is(err, ErrConfig) true: the model cannot be used as it is.
func (e *ValueError) Unwrap() error { return ErrConfig }

// Hint says what to do.
func (e *ValueError) Hint() string {
	return "the weights are damaged or training diverged: use an earlier checkpoint"
}
