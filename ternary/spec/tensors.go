package spec

import "fmt"

// Legend for shapes: V vocabulary, d hidden size, D recurrence width, I MLP width, L layers.

// Kind says what role a tensor plays in the arithmetic.
type Kind uint8

// Kinds of tensor.
const (
	Embedding Kind = iota // a float table, looked up
	Gain                  // of an RMSNorm
	Bounds                // the learned lower bounds of the forget gates
	Ternary               // the shadow weight of a BitLinear: used only through its codes and scale
	Dense                 // a full-precision matrix that multiplies
	Vector                // a recurrence's own parameters, one a channel: interpolations, decays, bonuses
)

// Law is how a tensor's initial values are drawn.
type Law struct {
	Dist  Dist
	Value float64 // Constant: the value; Normal: the standard deviation; Uniform: the bound b of (−b, b); Ramp, Zigzag: the first
	Span  float64 // Ramp: how far the last value lies above the first; Zigzag: how far a value lies above or below it
	Power float64 // Ramp: of the place, from 0 to 1; above 0
}

// Dist is the distribution of a Law.
type Dist uint8

// Distributions of initial values.
const (
	Constant Dist = iota
	Normal
	Uniform
	Ramp   // value j of n is Value + Span·(j/(n−1))^Power: nothing is drawn
	Zigzag // Value, then Value + Span, then Value − Span, and so on: nothing is drawn
)

// Tensor describes one tensor of a model: its name in the reference's state dict, its shape, its role, how it starts,
// and whether weight decay acts on it.
type Tensor struct {
	Name  string
	Shape []int
	Kind  Kind
	Init  Law
	Decay bool
}

// Elements returns the number of values.
func (t *Tensor) Elements() int {
	n := 1
	for _, s := range t.Shape {
		n *= s
	}
	return n
}

// Names of tensors outside the layers, in every architecture that has them; for the embeddings' see EmbeddingName.
const (
	FinalNormName = "model.norm.weight"
	HeadName      = "lm_head.weight"
	HeadNormName  = "lm_head.norm.weight"
)

// Layer returns the prefix of layer l's tensor names.
func Layer(l int) string { return fmt.Sprintf("model.layers.%d.", l) }

// Tensors is the one list of a model's tensors, in state-dict order (spec §6, §10, §11). Everything that walks a model's
// tensors walks this list. c must be valid.
func Tensors(c Config) []Tensor { return c.architecture().tensors(&c) }

func gain(name string, n int) Tensor {
	return Tensor{Name: name, Shape: []int{n}, Kind: Gain, Init: Law{Dist: Constant, Value: 1}}
}

func matrix(name string, rows, cols int, kind Kind, init Law) Tensor {
	return Tensor{Name: name, Shape: []int{rows, cols}, Kind: kind, Init: init, Decay: true}
}

// PackedTensors is Tensors as a packed model stores them: the same list, plus the ternary head of a tied model, whose
// codes are made from the embeddings and exist beside them.
func PackedTensors(c Config) []Tensor {
	list := Tensors(c)
	if c.TieWordEmbeddings && c.architecture().ternaryHead(&c) {
		head := list[0]
		head.Name, head.Kind = HeadName, Ternary
		list = append(list, head)
	}
	return list
}

// ShadowName returns the name of the tensor from whose values the packed tensor of that name is made: itself, but for
// the head of a tied model.
func ShadowName(c Config, packed string) string {
	if packed == HeadName && c.TieWordEmbeddings {
		return EmbeddingName(c)
	}
	return packed
}

// Parameters counts the values of all tensors, and of the ternary ones among them (a tied head counts as ternary once
// more nowhere: its values are the embeddings').
func Parameters(c Config) (all, ternary int64) {
	for _, t := range Tensors(c) {
		n := int64(t.Elements())
		all += n
		if t.Kind == Ternary {
			ternary += n
		}
	}
	return all, ternary
}
