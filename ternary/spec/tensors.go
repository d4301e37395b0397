package spec

import (
	"fmt"
	"math"
)

// Legend for shapes: V vocabulary, d hidden size, D recurrence width, I MLP width, L layers.

// Kind says what role a tensor plays in the arithmetic.
type Kind uint8

// Kinds of tensor.
const (
	Embedding Kind = iota // a float table, looked up
	Gain                  // of an RMSNorm
	Bounds                // the learned lower bounds of the forget gates
	Ternary               // the shadow weight of a BitLinear: used only through its codes and scale
	Dense                 // a full-precision matrix that multiplies (spec §9: April 2024's down projection)
)

// Law is how a tensor's initial values are drawn.
type Law struct {
	Dist  Dist
	Value float64 // Constant: the value; Normal: the standard deviation; Uniform: the bound b of (−b, b)
}

// Dist is the distribution of a Law.
type Dist uint8

// Distributions of initial values.
const (
	Constant Dist = iota
	Normal
	Uniform
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

// Names of the tensors outside the layers.
const (
	EmbeddingsName  = "model.embeddings.weight"
	LowerBoundsName = "model.lower_bounds"
	FinalNormName   = "model.norm.weight"
	HeadName        = "lm_head.weight"
	HeadNormName    = "lm_head.norm.weight"
)

// Layer returns the prefix of layer l's tensor names.
func Layer(l int) string { return fmt.Sprintf("model.layers.%d.", l) }

// Tensors is the one list of a model's tensors, in state-dict order (spec §6). Everything that walks a model's
// tensors walks this list. c must be valid.
func Tensors(c Config) []Tensor {
	d, D, I, V, L := c.HiddenSize, c.RecurrenceWidth(), c.MLPWidth(), c.VocabSize, c.NumHiddenLayers
	normal := Law{Normal, c.InitializerRange}
	gain := func(name string, n int) Tensor {
		return Tensor{Name: name, Shape: []int{n}, Kind: Gain, Init: Law{Constant, 1}}
	}
	matrix := func(name string, rows, cols int, kind Kind, init Law) Tensor {
		return Tensor{Name: name, Shape: []int{rows, cols}, Kind: kind, Init: init, Decay: true}
	}
	// The attention module initialises its own projections with Xavier-uniform of gain 2^-2.5 and marks them as done,
	// so the model-wide 1/√(2L) rule reaches down_proj only.
	mixer := Law{Uniform, math.Exp2(-2.5) * math.Sqrt(6/float64(d+D))}
	down := Law{Normal, c.InitializerRange / math.Sqrt(2*float64(L))}
	downKind := Ternary
	if c.DownProj == DownDenseUnnormed {
		downKind = Dense
	}

	list := []Tensor{matrix(EmbeddingsName, V, d, Embedding, normal)}
	if c.UseLowerBound {
		list = append(list, Tensor{Name: LowerBoundsName, Shape: []int{L, d}, Kind: Bounds, Init: Law{Constant, 0}})
	}
	for l := range L {
		p := Layer(l)
		list = append(list, gain(p+"attn_norm.weight", d))
		for _, proj := range []string{"i", "f", "g"} {
			list = append(list,
				matrix(p+"attn."+proj+"_proj.weight", D, d, Ternary, mixer),
				gain(p+"attn."+proj+"_proj.norm.weight", d))
		}
		list = append(list,
			gain(p+"attn.g_norm.weight", D),
			matrix(p+"attn.o_proj.weight", d, D, Ternary, mixer),
			gain(p+"attn.o_proj.norm.weight", D),
			gain(p+"mlp_norm.weight", d),
			matrix(p+"mlp.gate_proj.weight", 2*I, d, Ternary, normal),
			gain(p+"mlp.gate_proj.norm.weight", d),
			matrix(p+"mlp.down_proj.weight", d, I, downKind, down),
			gain(p+"mlp.down_proj.norm.weight", I))
	}
	list = append(list, gain(FinalNormName, d))
	if !c.TieWordEmbeddings {
		list = append(list, matrix(HeadName, V, d, Ternary, normal))
	}
	return append(list, gain(HeadNormName, d))
}

// PackedTensors is Tensors as a packed model stores them: the same list, plus the head of a tied model, whose codes are
// made from the embeddings and exist beside them.
func PackedTensors(c Config) []Tensor {
	list := Tensors(c)
	if c.TieWordEmbeddings {
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
		return EmbeddingsName
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
