package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Values of Config.ActivationRounding: what happens to exact halves when activations become codes.
const (
	HalfEven = "half_even" // to the even neighbour; the plain PyTorch BitLinear
	HalfAway = "half_away" // away from zero; the fused Triton BitLinear
)

// The two published conventions for the ε of the norm inside a BitLinear.
const (
	BitLinearEpsNaive = 1e-8 // with HalfEven: profile "naive", what new models train as
	BitLinearEpsFused = 1e-6 // with HalfAway: profile "fused", what folders in the reference's format are read as
)

// Limits keep every product of sizes far from overflow and every integer sum exact.
const (
	maxWidth  = 132_103 // sums of n codes stay below 2^24, so that they convert to float32 exactly
	maxVocab  = 1 << 24
	maxLayers = 4096
)

// Config is the configuration of one model of any architecture; fields that the architecture does not have mean nothing.
// Field names are those of the published config.json files, but for the ternary options, which are this project's and
// ignored by others.
type Config struct {
	Arch             string  `yaml:"arch" help:"architecture: matmulfree, transformer, bitnet or rwkv4"`
	VocabSize        int     `yaml:"vocab_size" help:"tokens in the vocabulary; 0 = what the tokenizer has"`
	HiddenSize       int     `yaml:"hidden_size" help:"width of the residual stream, d"`
	NumHiddenLayers  int     `yaml:"num_hidden_layers" help:"blocks, L"`
	HiddenRatio      int     `yaml:"hidden_ratio" help:"sets the MLP's width when intermediate_size is 0: 256*ceil(d*ratio*2/3/256)"`
	IntermediateSize int     `yaml:"intermediate_size" help:"width of the MLP, I; 0 = from hidden_ratio"`
	NumHeads         int     `yaml:"num_heads" help:"matmulfree: heads of the recurrence; only the state's shape, no number depends on it"`
	ExpandRatio      float64 `yaml:"expand_ratio" help:"matmulfree: recurrence width D = d*ratio; 1 when use_lower_bound"`
	UseLowerBound    bool    `yaml:"use_lower_bound" help:"matmulfree: learned lower bounds of the forget gate"`

	NumAttentionHeads     int     `yaml:"num_attention_heads" help:"transformer, bitnet: query heads; 0 = one for every 64 channels"`
	NumKeyValueHeads      int     `yaml:"num_key_value_heads" help:"transformer, bitnet: key and value heads, which query heads share; 0 = as many"`
	HeadDim               int     `yaml:"head_dim" help:"transformer, bitnet: channels of a head; 0 = hidden_size/num_attention_heads"`
	MaxPositionEmbeddings int     `yaml:"max_position_embeddings" help:"transformer, bitnet: most tokens of a text that are kept"`
	RopeTheta             float64 `yaml:"rope_theta" help:"transformer, bitnet: base of the rotary positions"`
	HiddenAct             string  `yaml:"hidden_act" help:"bitnet: silu or relu2; transformer: silu"`
	NormPlacement         string  `yaml:"norm_placement" help:"bitnet: subln (block norms and a norm before o_proj and down_proj) or bitlinear (a norm in every projection)"`
	TernaryAttention      bool    `yaml:"ternary_attention" help:"bitnet: queries and keys as trits, each by its own mean, so that the map of attention is ternary too: the paper's model that does not learn"`
	IntegerAttention      bool    `yaml:"integer_attention" help:"bitnet, with ternary_attention: no softmax; the map is the whole numbers that trits give, divided by the number of keys seen"`
	LMHead                string  `yaml:"lm_head" help:"bitnet: dense (full precision) or bitlinear head"`

	RMSNormEps        float64 `yaml:"rms_norm_eps" help:"epsilon of block, gate, sub and final norms"`
	InitializerRange  float64 `yaml:"initializer_range" help:"standard deviation of the initial embeddings, MLP and head"`
	PadTokenID        *int    `yaml:"pad_token_id,omitempty" help:"token whose embedding stays zero; unset = none"`
	BOSTokenID        *int    `yaml:"bos_token_id,omitempty" help:"token that starts a text; unset = none"`
	EOSTokenID        *int    `yaml:"eos_token_id,omitempty" help:"token that ends a text; unset = none"`
	TieWordEmbeddings bool    `yaml:"tie_word_embeddings" help:"the head uses the embedding matrix"`

	BitLinearEps       float64 `yaml:"bitlinear_eps" help:"epsilon of the norm inside a BitLinear: 1e-8 or 1e-6"`
	ActivationRounding string  `yaml:"activation_rounding" help:"exact halves of activations: half_even or half_away"`
	DownProj           string  `yaml:"down_proj" help:"matmulfree: bitlinear, or dense_unnormed for weights of April 2024's code"`

	// Extra keeps the fields of a config.json that mean nothing here, so that they are written back as they were read.
	Extra map[string]json.RawMessage `yaml:"-"`
}

// Default returns the reference's defaults with this project's profile for new models ("naive", spec §3.3).
func Default() Config {
	return Config{
		Arch: ArchMatMulFree, VocabSize: 32000, HiddenSize: 2048, NumHiddenLayers: 24, HiddenRatio: 4, NumHeads: 1,
		ExpandRatio: 1, UseLowerBound: true, RMSNormEps: 1e-6, InitializerRange: 0.02,
		MaxPositionEmbeddings: 2048, RopeTheta: 10000, HiddenAct: ActSilu, NormPlacement: NormSubLN, LMHead: HeadDense,
		BitLinearEps: BitLinearEpsNaive, ActivationRounding: HalfEven, DownProj: DownBitLinear,
	}
}

// MLPWidth returns I: intermediate_size where set, else 256·⌈int(d·hidden_ratio·2/3)/256⌉ (spec §6).
func (c *Config) MLPWidth() int {
	if c.IntermediateSize > 0 {
		return c.IntermediateSize
	}
	w := int(float64(c.HiddenSize*c.HiddenRatio) * 2 / 3)
	return (w + 255) / 256 * 256
}

// ErrConfig is the class of every fault that Validate and UnmarshalJSON find.
var ErrConfig = errors.New("model configuration")

// ConfigError is one fault of a configuration: the key, what is wrong with its value, and what to do.
type ConfigError struct {
	Key, Problem, Fix string
}

func (e *ConfigError) Error() string { return fmt.Sprintf("model.%s: %s", e.Key, e.Problem) }

// Unwrap makes errors.Is(err, ErrConfig) true.
func (e *ConfigError) Unwrap() error { return ErrConfig }

// Hint returns what to do about the fault.
func (e *ConfigError) Hint() string { return e.Fix }

// Validate returns every fault at once (errors.Join of *ConfigError), or nil.
func (c *Config) Validate() error {
	var v validator
	v.between("vocab_size", c.VocabSize, 1, maxVocab)
	v.between("num_hidden_layers", c.NumHiddenLayers, 1, maxLayers)
	if v.between("hidden_size", c.HiddenSize, 1, maxWidth) && c.IntermediateSize == 0 &&
		v.between("hidden_ratio", c.HiddenRatio, 1, maxWidth) {
		v.between("hidden_ratio", c.MLPWidth(), 1, maxWidth)
	}
	v.between("intermediate_size", c.IntermediateSize, 0, maxWidth)
	v.positive("rms_norm_eps", c.RMSNormEps, 1)
	v.positive("initializer_range", c.InitializerRange, 100)
	for _, id := range []struct {
		key string
		v   *int
	}{{"pad_token_id", c.PadTokenID}, {"bos_token_id", c.BOSTokenID}, {"eos_token_id", c.EOSTokenID}} {
		if id.v != nil && (*id.v < 0 || *id.v > math.MaxInt32) {
			v.bad(id.key, "choose an id of the vocabulary, or leave it unset", "is %d", *id.v)
		}
	}
	if a := c.architecture(); a != nil {
		a.validate(c, &v)
	} else {
		v.oneOf("arch", c.Arch, Architectures()...)
	}
	return errors.Join(v.faults...)
}

// validator collects faults.
type validator struct{ faults []error }

func (v *validator) bad(key, fix, format string, args ...any) {
	v.faults = append(v.faults, &ConfigError{Key: key, Problem: fmt.Sprintf(format, args...), Fix: fix})
}

func (v *validator) between(key string, n, lo, hi int) bool {
	if n < lo || n > hi {
		v.bad(key, fmt.Sprintf("choose a whole number from %d to %d", lo, hi), "is %d", n)
		return false
	}
	return true
}

func (v *validator) positive(key string, x, limit float64) {
	if !(x > 0 && x <= limit) { // written so that NaN is refused too
		v.bad(key, fmt.Sprintf("choose a number above 0, at most %g", limit), "is %g", x)
	}
}

func (v *validator) oneOf(key, word string, words ...string) {
	if !slices.Contains(words, word) {
		v.bad(key, "choose "+strings.Join(words, " or "), "%q is not known", word)
	}
}

// bitLinear checks the options of ternary layers.
func (v *validator) bitLinear(c *Config) {
	v.positive("bitlinear_eps", c.BitLinearEps, 1)
	v.oneOf("activation_rounding", c.ActivationRounding, HalfEven, HalfAway)
}
