package spec

import (
	"fmt"
	"math"
)

// ArchMatMulFree is the MatMul-free language model: HGRN with ternary projections (spec §1 to §9).
const ArchMatMulFree = "matmulfree"

// Values of Config.DownProj.
const (
	DownBitLinear     = "bitlinear"      // the down projection is ternary, as all code since 21 May 2024
	DownDenseUnnormed = "dense_unnormed" // a full-precision product without norm or quantiser, as April 2024's code ran it
)

// Names of tensors that only this architecture has.
const (
	EmbeddingsName  = "model.embeddings.weight"
	LowerBoundsName = "model.lower_bounds"
)

func matMulFree() *architecture {
	return &architecture{
		name: ArchMatMulFree, modelType: "hgrn_bit", class: "HGRNBitForCausalLM", embeddings: EmbeddingsName,
		read: func(c *Config) { // what the reference runs with (spec §3.3)
			c.BitLinearEps, c.ActivationRounding = BitLinearEpsFused, HalfAway
			c.BOSTokenID, c.EOSTokenID = ptr(1), ptr(2)
		},
		fields: func(c *Config) []jsonField {
			return []jsonField{
				{key: "hidden_ratio", at: &c.HiddenRatio},
				{key: "num_heads", at: &c.NumHeads},
				{key: "expand_ratio", at: &c.ExpandRatio},
				{key: "use_lower_bound", at: &c.UseLowerBound},
				{key: "bitlinear_eps", at: &c.BitLinearEps},
				{key: "activation_rounding", at: &c.ActivationRounding},
				{key: "down_proj", at: &c.DownProj},
			}
		},
		refuse: func(_ *Config, r *fieldReader) error {
			var shortConv bool
			attnMode := "fused_recurrent"
			r.peek("use_short_conv", &shortConv)
			r.peek("attn_mode", &attnMode)
			switch {
			case r.err != nil:
				return r.err
			case shortConv:
				return &ConfigError{
					Key: "use_short_conv", Problem: "is true, which the reference implementation itself cannot run",
					Fix: "only models with use_short_conv false exist",
				}
			case attnMode != "fused_recurrent":
				return &ConfigError{Key: "attn_mode", Problem: fmt.Sprintf("is %q", attnMode), Fix: "only fused_recurrent is defined"}
			}
			return nil
		},
		validate:    (*Config).validateMatMulFree,
		ternaryHead: func(*Config) bool { return true },
		tensors:     (*Config).matMulFreeTensors,
	}
}

// RecurrenceWidth returns D = int(d·expand_ratio), the channels of the recurrent state.
func (c *Config) RecurrenceWidth() int { return int(float64(c.HiddenSize) * c.ExpandRatio) }

func (c *Config) validateMatMulFree(v *validator) {
	if c.HiddenSize >= 1 && c.HiddenSize <= maxWidth {
		if v.between("num_heads", c.NumHeads, 1, c.HiddenSize) && c.HiddenSize%c.NumHeads != 0 {
			v.bad("num_heads", "choose a divisor of hidden_size", "%d does not divide hidden_size %d", c.NumHeads, c.HiddenSize)
		}
		switch d := float64(c.HiddenSize) * c.ExpandRatio; {
		case !(d >= 1 && d <= maxWidth):
			v.bad("expand_ratio", "choose a ratio that gives a width of at least 1", "is %g", c.ExpandRatio)
		case c.UseLowerBound && c.RecurrenceWidth() != c.HiddenSize:
			v.bad("expand_ratio", "set expand_ratio: 1 or use_lower_bound: false", "is %g, but the lower bounds are hidden_size wide", c.ExpandRatio)
		}
	}
	v.bitLinear(c)
	v.oneOf("down_proj", c.DownProj, DownBitLinear, DownDenseUnnormed)
}

// matMulFreeTensors is the table of spec §6.
func (c *Config) matMulFreeTensors() []Tensor {
	d, D, L := c.HiddenSize, c.RecurrenceWidth(), c.NumHiddenLayers
	downKind := Ternary
	if c.DownProj == DownDenseUnnormed {
		downKind = Dense
	}
	var bounds []Tensor
	if c.UseLowerBound {
		bounds = []Tensor{{Name: LowerBoundsName, Shape: []int{L, d}, Kind: Bounds, Init: Law{Dist: Constant, Value: 0}}}
	}
	return c.recurrentTensors(bounds, downKind, func(p string, _ int) (list []Tensor) {
		mixer := mixerLaw(d, D)
		for _, proj := range []string{"i", "f", "g"} {
			list = append(list,
				matrix(p+proj+"_proj.weight", D, d, Ternary, mixer),
				gain(p+proj+"_proj.norm.weight", d))
		}
		return append(list,
			gain(p+"g_norm.weight", D),
			matrix(p+"o_proj.weight", d, D, Ternary, mixer),
			gain(p+"o_proj.norm.weight", D))
	})
}

// mixerLaw is how a token mixer's projections between widths d and D start. The attention module initialises them itself
// with Xavier-uniform of gain 2^-2.5 and marks them as done, so the model-wide 1/√(2L) rule reaches down_proj only.
func mixerLaw(d, D int) Law {
	return Law{Dist: Uniform, Value: math.Exp2(-2.5) * math.Sqrt(6/float64(d+D))}
}

// recurrentTensors lists a model of ternary blocks whose channel mixer is the GLU of the MatMul-free model. shared follow the
// embeddings; mixer returns the tensors of layer l's token mixer, whose names begin with p.
func (c *Config) recurrentTensors(shared []Tensor, down Kind, mixer func(p string, l int) []Tensor) []Tensor {
	d, I, V, L := c.HiddenSize, c.MLPWidth(), c.VocabSize, c.NumHiddenLayers
	normal := Law{Dist: Normal, Value: c.InitializerRange}
	downLaw := Law{Dist: Normal, Value: c.InitializerRange / math.Sqrt(2*float64(L))}
	list := append([]Tensor{matrix(EmbeddingsName, V, d, Embedding, normal)}, shared...)
	for l := range L {
		p := Layer(l)
		list = append(list, gain(p+"attn_norm.weight", d))
		list = append(list, mixer(p+"attn.", l)...)
		list = append(list,
			gain(p+"mlp_norm.weight", d),
			matrix(p+"mlp.gate_proj.weight", 2*I, d, Ternary, normal),
			gain(p+"mlp.gate_proj.norm.weight", d),
			matrix(p+"mlp.down_proj.weight", d, I, down, downLaw),
			gain(p+"mlp.down_proj.norm.weight", I))
	}
	list = append(list, gain(FinalNormName, d))
	if !c.TieWordEmbeddings {
		list = append(list, matrix(HeadName, V, d, Ternary, normal))
	}
	return append(list, gain(HeadNormName, d))
}
