package spec

// ArchBitNet is BitNet b1.58: the transformer with ternary projections (spec §11).
const ArchBitNet = "bitnet"

// Values of Config.NormPlacement.
const (
	NormSubLN     = "subln"     // block norms, and a norm before o_proj and down_proj; projections quantise their input as it is
	NormBitLinear = "bitlinear" // no block norms: every projection has a norm of its own
)

// Values of Config.LMHead.
const (
	HeadDense     = "dense"     // full precision, as all published BitNets
	HeadBitLinear = "bitlinear" // ternary, as in the MatMul-free model
)

func bitNet() *architecture {
	return &architecture{
		name: ArchBitNet, modelType: "bitnet", class: "BitNetForCausalLM", embeddings: EmbedTokensName,
		read: func(c *Config) { // BitNetConfig's defaults
			c.VocabSize, c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers = 128256, 2560, 6912, 30
			c.NumAttentionHeads, c.NumKeyValueHeads, c.HiddenAct = 20, 5, ActReLU2
			c.RMSNormEps, c.RopeTheta = 1e-5, 500000
			c.BOSTokenID, c.EOSTokenID = ptr(128000), ptr(128001)
		},
		fields: func(c *Config) []jsonField {
			return append(c.attentionFields(),
				jsonField{key: "norm_placement", at: &c.NormPlacement},
				jsonField{key: "lm_head", at: &c.LMHead},
				jsonField{key: "ternary_attention", at: &c.TernaryAttention},
				jsonField{key: "integer_attention", at: &c.IntegerAttention},
				jsonField{key: "bitlinear_eps", at: &c.BitLinearEps},
				jsonField{key: "activation_rounding", at: &c.ActivationRounding})
		},
		resolve: (*Config).resolveAttention,
		refuse:  (*Config).readAttention,
		validate: func(c *Config, v *validator) {
			c.validateAttention(v)
			v.bitLinear(c)
			v.oneOf("hidden_act", c.HiddenAct, ActSilu, ActReLU2)
			v.oneOf("norm_placement", c.NormPlacement, NormSubLN, NormBitLinear)
			if c.IntegerAttention && !c.TernaryAttention {
				v.bad("integer_attention", "set ternary_attention too", "is for ternary queries and keys")
			}
			v.oneOf("lm_head", c.LMHead, HeadDense, HeadBitLinear)
		},
		positions:   (*Config).attentionPositions,
		ternaryHead: func(c *Config) bool { return c.LMHead == HeadBitLinear },
		tensors: func(c *Config) []Tensor {
			inner, head := c.NormPlacement == NormBitLinear, Dense
			if c.LMHead == HeadBitLinear {
				head = Ternary
			}
			return c.attentionTensors(attentionParts{
				kind: Ternary, head: head, blockNorms: !inner, subNorms: !inner, ownNorms: inner, headNorm: inner && head == Ternary,
			})
		},
	}
}
