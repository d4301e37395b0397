package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Architectures a Config may name.
const ArchMatMulFree = "matmulfree"

// Values of Config.ActivationRounding: what happens to exact halves when activations become codes.
const (
	HalfEven = "half_even" // to the even neighbour; the plain PyTorch BitLinear
	HalfAway = "half_away" // away from zero; the fused Triton BitLinear
)

// Values of Config.DownProj.
const (
	DownBitLinear     = "bitlinear"      // the down projection is ternary, as all code since 21 May 2024
	DownDenseUnnormed = "dense_unnormed" // a full-precision product without norm or quantiser, as April 2024's code ran it
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

// Config is the configuration of one model. Field names are those of the reference implementation's config.json; the
// last three are this project's, and the reference ignores them.
type Config struct {
	Arch              string  `yaml:"arch" help:"architecture: matmulfree"`
	VocabSize         int     `yaml:"vocab_size" help:"tokens in the vocabulary; 0 = what the tokenizer has"`
	HiddenSize        int     `yaml:"hidden_size" help:"width of the residual stream, d"`
	NumHiddenLayers   int     `yaml:"num_hidden_layers" help:"blocks, L"`
	HiddenRatio       int     `yaml:"hidden_ratio" help:"sets the MLP's width when intermediate_size is 0: 256*ceil(d*ratio*2/3/256)"`
	IntermediateSize  int     `yaml:"intermediate_size" help:"width of the MLP, I; 0 = from hidden_ratio"`
	NumHeads          int     `yaml:"num_heads" help:"heads of the recurrence; only the state's shape, no number depends on it"`
	ExpandRatio       float64 `yaml:"expand_ratio" help:"recurrence width D = d*ratio; 1 when use_lower_bound"`
	UseLowerBound     bool    `yaml:"use_lower_bound" help:"learned lower bounds of the forget gate"`
	RMSNormEps        float64 `yaml:"rms_norm_eps" help:"epsilon of block, gate and final norms"`
	InitializerRange  float64 `yaml:"initializer_range" help:"standard deviation of the initial embeddings, MLP and head"`
	PadTokenID        *int    `yaml:"pad_token_id,omitempty" help:"token whose embedding stays zero; unset = none"`
	BOSTokenID        *int    `yaml:"bos_token_id,omitempty" help:"token that starts a text; unset = none"`
	EOSTokenID        *int    `yaml:"eos_token_id,omitempty" help:"token that ends a text; unset = none"`
	TieWordEmbeddings bool    `yaml:"tie_word_embeddings" help:"the head ternarises the embedding matrix"`

	BitLinearEps       float64 `yaml:"bitlinear_eps" help:"epsilon of the norm inside a BitLinear: 1e-8 or 1e-6"`
	ActivationRounding string  `yaml:"activation_rounding" help:"exact halves of activations: half_even or half_away"`
	DownProj           string  `yaml:"down_proj" help:"bitlinear, or dense_unnormed for weights of April 2024's code"`

	// Extra keeps the fields of a config.json that mean nothing here, so that they are written back as they were read.
	Extra map[string]json.RawMessage `yaml:"-"`
}

// Default returns the reference's defaults with this project's profile for new models ("naive", spec §3.3).
func Default() Config {
	return Config{
		Arch: ArchMatMulFree, VocabSize: 32000, HiddenSize: 2048, NumHiddenLayers: 24, HiddenRatio: 4, NumHeads: 1,
		ExpandRatio: 1, UseLowerBound: true, RMSNormEps: 1e-6, InitializerRange: 0.02,
		BitLinearEps: BitLinearEpsNaive, ActivationRounding: HalfEven, DownProj: DownBitLinear,
	}
}

// RecurrenceWidth returns D = int(d·expand_ratio), the channels of the recurrent state.
func (c *Config) RecurrenceWidth() int { return int(float64(c.HiddenSize) * c.ExpandRatio) }

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
	var faults []error
	bad := func(key, fix, format string, args ...any) {
		faults = append(faults, &ConfigError{Key: key, Problem: fmt.Sprintf(format, args...), Fix: fix})
	}
	between := func(key string, v, lo, hi int) bool {
		if v < lo || v > hi {
			bad(key, fmt.Sprintf("choose a whole number from %d to %d", lo, hi), "is %d", v)
			return false
		}
		return true
	}
	positive := func(key string, v, limit float64) {
		if !(v > 0 && v <= limit) { // written so that NaN is refused too
			bad(key, fmt.Sprintf("choose a number above 0, at most %g", limit), "is %g", v)
		}
	}
	if c.Arch != ArchMatMulFree {
		bad("arch", "this build knows: "+ArchMatMulFree, "%q is not known", c.Arch)
	}
	between("vocab_size", c.VocabSize, 1, maxVocab)
	between("num_hidden_layers", c.NumHiddenLayers, 1, maxLayers)
	if between("hidden_size", c.HiddenSize, 1, maxWidth) {
		if between("num_heads", c.NumHeads, 1, c.HiddenSize) && c.HiddenSize%c.NumHeads != 0 {
			bad("num_heads", "choose a divisor of hidden_size", "%d does not divide hidden_size %d", c.NumHeads, c.HiddenSize)
		}
		if c.IntermediateSize == 0 && between("hidden_ratio", c.HiddenRatio, 1, maxWidth) {
			between("hidden_ratio", c.MLPWidth(), 1, maxWidth)
		}
		switch d := float64(c.HiddenSize) * c.ExpandRatio; {
		case !(d >= 1 && d <= maxWidth):
			bad("expand_ratio", "choose a ratio that gives a width of at least 1", "is %g", c.ExpandRatio)
		case c.UseLowerBound && c.RecurrenceWidth() != c.HiddenSize:
			bad("expand_ratio", "set expand_ratio: 1 or use_lower_bound: false", "is %g, but the lower bounds are hidden_size wide", c.ExpandRatio)
		}
	}
	between("intermediate_size", c.IntermediateSize, 0, maxWidth)
	positive("rms_norm_eps", c.RMSNormEps, 1)
	positive("initializer_range", c.InitializerRange, 100)
	positive("bitlinear_eps", c.BitLinearEps, 1)
	if c.ActivationRounding != HalfEven && c.ActivationRounding != HalfAway {
		bad("activation_rounding", "choose half_even or half_away", "is %q", c.ActivationRounding)
	}
	if c.DownProj != DownBitLinear && c.DownProj != DownDenseUnnormed {
		bad("down_proj", "choose bitlinear or dense_unnormed", "is %q", c.DownProj)
	}
	for _, id := range []struct {
		key string
		v   *int
	}{{"pad_token_id", c.PadTokenID}, {"bos_token_id", c.BOSTokenID}, {"eos_token_id", c.EOSTokenID}} {
		if id.v != nil && (*id.v < 0 || *id.v > math.MaxInt32) {
			bad(id.key, "choose an id of the vocabulary, or leave it unset", "is %d", *id.v)
		}
	}
	return errors.Join(faults...)
}
