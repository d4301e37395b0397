package spec

import (
	"encoding/json"
	"fmt"
)

// ArchTransformer is Transformer++, the paper's baseline: a Llama (spec §10).
const ArchTransformer = "transformer"

// EmbedTokensName is the embedding table of the attention architectures.
const EmbedTokensName = "model.embed_tokens.weight"

// Values of Config.HiddenAct.
const (
	ActSilu  = "silu"  // SwiGLU
	ActReLU2 = "relu2" // max(z, 0)² in its place
)

// headChannels is the width of an attention head where num_attention_heads is left at 0.
const headChannels = 64

// Attention returns the shape of attention: H_q query heads, H_kv key and value heads, c channels of each.
func (c *Config) Attention() (queryHeads, keyHeads, width int) {
	queryHeads = c.NumAttentionHeads
	if queryHeads == 0 {
		queryHeads = max(1, c.HiddenSize/headChannels)
	}
	keyHeads = c.NumKeyValueHeads
	if keyHeads == 0 {
		keyHeads = queryHeads
	}
	width = c.HeadDim
	if width == 0 {
		width = c.HiddenSize / queryHeads
	}
	return queryHeads, keyHeads, width
}

func transformer() *architecture {
	return &architecture{
		name: ArchTransformer, modelType: "llama", class: "LlamaForCausalLM", embeddings: EmbedTokensName,
		read: func(c *Config) { // LlamaConfig's defaults
			c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads = 4096, 11008, 32, 32
			c.BOSTokenID, c.EOSTokenID = ptr(1), ptr(2)
		},
		fields:  (*Config).attentionFields,
		resolve: (*Config).resolveAttention,
		refuse:  (*Config).readAttention,
		validate: func(c *Config, v *validator) {
			c.validateAttention(v)
			v.oneOf("hidden_act", c.HiddenAct, ActSilu)
		},
		positions:   (*Config).attentionPositions,
		ternaryHead: func(*Config) bool { return false },
		tensors: func(c *Config) []Tensor {
			return c.attentionTensors(attentionParts{kind: Dense, head: Dense, blockNorms: true})
		},
	}
}

// attentionFields lists the keys of config.json that Llama and BitNet share.
func (c *Config) attentionFields() []jsonField {
	return []jsonField{
		{key: "num_attention_heads", at: &c.NumAttentionHeads},
		{key: "num_key_value_heads", at: &c.NumKeyValueHeads, null: true},
		{key: "head_dim", at: &c.HeadDim, null: true},
		{key: "max_position_embeddings", at: &c.MaxPositionEmbeddings},
		{key: "rope_theta", at: &c.RopeTheta},
		{key: "hidden_act", at: &c.HiddenAct},
	}
}

// resolveAttention spells out what transformers does not derive by our rules; its BitNet takes a head_dim of null as it stands, and
// fails.
func (c *Config) resolveAttention() {
	c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = c.Attention()
	c.IntermediateSize = c.MLPWidth()
}

// readAttention refuses what spec §10 leaves out, and takes rope_theta from where newer folders nest it.
func (c *Config) readAttention(r *fieldReader) error {
	var attentionBias, mlpBias bool
	var scaling json.RawMessage
	rope := struct {
		Theta   *float64 `json:"rope_theta"`
		Type    string   `json:"rope_type"`
		Partial *float64 `json:"partial_rotary_factor"`
	}{}
	r.peek("attention_bias", &attentionBias)
	r.peek("mlp_bias", &mlpBias)
	r.peek("rope_scaling", &scaling)
	r.peek("rope_parameters", &rope)
	switch {
	case r.err != nil:
		return r.err
	case attentionBias || mlpBias:
		return &ConfigError{Key: "attention_bias", Problem: "the model has biases (attention_bias or mlp_bias)", Fix: "only models without biases are defined"}
	case scaling != nil:
		return &ConfigError{Key: "rope_scaling", Problem: fmt.Sprintf("is %.60s", scaling), Fix: "only plain rotary positions are defined: rope_scaling null"}
	case rope.Type != "" && rope.Type != "default" || rope.Partial != nil && *rope.Partial != 1:
		return &ConfigError{Key: "rope_parameters", Problem: "asks for rotary positions of another form", Fix: "only rope_type default over whole heads is defined"}
	}
	if rope.Theta != nil {
		c.RopeTheta = *rope.Theta
	}
	return nil
}

func (c *Config) attentionPositions() int { return c.MaxPositionEmbeddings }

// maxPositions bounds the tokens that attention may look back on.
const maxPositions = 1 << 24

func (c *Config) validateAttention(v *validator) {
	v.between("num_attention_heads", c.NumAttentionHeads, 0, maxWidth)
	v.between("num_key_value_heads", c.NumKeyValueHeads, 0, maxWidth)
	v.between("head_dim", c.HeadDim, 0, maxWidth)
	v.between("max_position_embeddings", c.MaxPositionEmbeddings, 1, maxPositions)
	v.positive("rope_theta", c.RopeTheta, 1e12)
	if len(v.faults) > 0 {
		return // the derived shape would be nonsense
	}
	heads, keys, width := c.Attention()
	switch {
	case c.HeadDim == 0 && c.HiddenSize%heads != 0:
		v.bad("num_attention_heads", "choose a divisor of hidden_size, or set head_dim", "%d does not divide hidden_size %d", heads, c.HiddenSize)
	case heads%keys != 0:
		v.bad("num_key_value_heads", "choose a divisor of num_attention_heads", "%d does not divide num_attention_heads %d", keys, heads)
	case width < 2 || width%2 != 0:
		v.bad("num_attention_heads", "choose an even number of channels a head", "gives heads of %d channels; rotary positions turn pairs", width)
	case heads > maxWidth/width:
		v.bad("num_attention_heads", "choose fewer or narrower heads", "%d heads of %d channels are more than %d", heads, width, maxWidth)
	}
}

// attentionParts says what a model of attention blocks is made of.
type attentionParts struct {
	kind       Kind // of the projections
	head       Kind
	blockNorms bool // input_layernorm and post_attention_layernorm
	subNorms   bool // attn_sub_norm and ffn_sub_norm
	ownNorms   bool // every projection has a norm of its own
	headNorm   bool // the head has a norm beside the final norm
}

// attentionTensors is the table of spec §10 with the options of §11.
func (c *Config) attentionTensors(a attentionParts) []Tensor {
	d, I, V := c.HiddenSize, c.MLPWidth(), c.VocabSize
	heads, keys, width := c.Attention()
	normal := Law{Dist: Normal, Value: c.InitializerRange}
	list := []Tensor{matrix(EmbedTokensName, V, d, Embedding, normal)}
	norm := func(wanted bool, name string, n int) {
		if wanted {
			list = append(list, gain(name+".weight", n))
		}
	}
	project := func(name string, rows, cols int) {
		list = append(list, matrix(name+".weight", rows, cols, a.kind, normal))
		norm(a.ownNorms, name+".norm", cols)
	}
	for l := range c.NumHiddenLayers {
		p := Layer(l)
		norm(a.blockNorms, p+"input_layernorm", d)
		project(p+"self_attn.q_proj", heads*width, d)
		project(p+"self_attn.k_proj", keys*width, d)
		project(p+"self_attn.v_proj", keys*width, d)
		project(p+"self_attn.o_proj", d, heads*width)
		norm(a.subNorms, p+"self_attn.attn_sub_norm", heads*width)
		norm(a.blockNorms, p+"post_attention_layernorm", d)
		project(p+"mlp.gate_proj", I, d)
		project(p+"mlp.up_proj", I, d)
		project(p+"mlp.down_proj", d, I)
		norm(a.subNorms, p+"mlp.ffn_sub_norm", I)
	}
	list = append(list, gain(FinalNormName, d))
	if !c.TieWordEmbeddings {
		list = append(list, matrix(HeadName, V, d, a.head, normal))
	}
	if a.headNorm {
		list = append(list, gain(HeadNormName, d))
	}
	return list
}
