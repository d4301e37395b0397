package llama2c

import (
	"encoding/json"
	"fmt"
	"math"

	"mmfree/ternary/spec"
)

// Values of model_type in a config.json that goes with these names.
const (
	ModelType    = "llama2.c"
	BitModelType = "bitllama2.c"
)

// noEps is the epsilon of norms that have none: too small to change a float32 sum of squares that is not zero.
const noEps = 1e-30

// shape is what a header or a config.json says of a model.
type shape struct {
	ModelType string  `json:"model_type"`
	Dim       int     `json:"dim"`
	Hidden    int     `json:"hidden_dim"`
	Layers    int     `json:"n_layers"`
	Heads     int     `json:"n_heads"`
	KVHeads   int     `json:"n_kv_heads"`
	Vocab     int     `json:"vocab_size"`
	Positions int     `json:"max_seq_len"`
	Eps       float64 `json:"norm_eps"`
	Theta     float64 `json:"rope_theta"`
	Rope      string  `json:"rope"`
	Tied      bool    `json:"tie_word_embeddings"`
}

// ropePairs is the one order of rotary channels that llama2.c has.
const ropePairs = "interleaved pairs"

// plain is a shape with what llama2.c's programs have built in.
func plain() shape {
	return shape{ModelType: ModelType, Eps: 1e-5, Theta: 10000, Rope: ropePairs, Tied: true}
}

// ParseConfig reads a config.json of model_type llama2.c or bitllama2.c.
func ParseConfig(text []byte) (spec.Config, error) {
	s := plain()
	if err := json.Unmarshal(text, &s); err != nil {
		return spec.Config{}, &spec.ConfigError{Key: "json", Problem: err.Error(), Fix: "correct config.json: " + ModelType + " has dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, max_seq_len"}
	}
	return s.config()
}

// config returns the model as this program knows it.
func (s *shape) config() (spec.Config, error) {
	bad := func(key, format string, args ...any) (spec.Config, error) {
		return spec.Config{}, &spec.ConfigError{Key: key, Problem: fmt.Sprintf(format, args...), Fix: "the file is damaged, or no model of llama2.c"}
	}
	c := spec.Default()
	for _, field := range []struct {
		key   string
		value int
		to    *int
	}{
		{"dim", s.Dim, &c.HiddenSize},
		{"hidden_dim", s.Hidden, &c.IntermediateSize},
		{"n_layers", s.Layers, &c.NumHiddenLayers},
		{"n_heads", s.Heads, &c.NumAttentionHeads},
		{"n_kv_heads", s.KVHeads, &c.NumKeyValueHeads},
		{"vocab_size", s.Vocab, &c.VocabSize},
		{"max_seq_len", s.Positions, &c.MaxPositionEmbeddings},
	} {
		if field.value < 1 || field.value > math.MaxInt32 {
			return bad(field.key, "is %d", field.value)
		}
		*field.to = field.value
	}
	if s.Rope != ropePairs {
		return bad("rope", "%.60q is not known; llama2.c has %q", s.Rope, ropePairs)
	}
	c.RMSNormEps, c.RopeTheta, c.TieWordEmbeddings = s.Eps, s.Theta, s.Tied
	bos, eos := 1, 2 // of the tokenizers that llama2.c reads
	c.BOSTokenID, c.EOSTokenID = &bos, &eos
	switch s.ModelType {
	case ModelType:
		c.Arch = spec.ArchTransformer
	case BitModelType:
		c.Arch, c.NormPlacement, c.LMHead, c.BitLinearEps = spec.ArchBitNet, spec.NormBitLinear, spec.HeadDense, noEps
	default:
		return bad("model_type", "%.60q is not %s or %s", s.ModelType, ModelType, BitModelType)
	}
	return c, c.Validate()
}
