package train

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"mmfree/data/tokenizer"
	"mmfree/ternary/spec"
)

// ErrConfig is the class of every fault of a configuration: its YAML, an assignment, a value. Faults of the model's
// part are of class spec.ErrConfig; both mean that the request is wrong.
var ErrConfig = errors.New("training configuration")

// Names of train.schedule.
const (
	scheduleConstant = "constant"
	scheduleCosine   = "cosine"
	scheduleLinear   = "linear"
	scheduleWSD      = "wsd"
	schedulePaper    = "paper"
	scheduleTwoStage = "two-stage"
)

// Words of train.weight_gradient.
const (
	gradientFloat32 = "float32"
	gradientInt16   = "int16"
)

// Words of data.tokenizer.
const (
	TokenizerBytes = "bytes" // one token a byte, 256 of them
	TokenizerChars = "chars" // one token a character of the training text
	TokenizerBPE   = "bpe"   // a byte-level BPE vocabulary of the training part of the text
	TokenizerModel = "model" // the one that the model of finetune.from was trained with
)

// Limits of single values: far above every sensible run, far below what overflows a product.
const (
	maxSeqLen    = 1 << 20
	maxBatch     = 1 << 16
	maxTokens    = 1 << 26 // of one micro-batch, seq_len*batch_size
	maxSteps     = 1_000_000_000
	maxMinutes   = 525_600 // a year
	maxTextBytes = 1 << 16 // of one string value

	maxGenerations = 16 // a folder in a folder each

	maxTrainedVocab = 1 << 20 // more than any published model has
)

// Config is everything that decides a run. Default gives every field a value; a recipe or a file states what differs.
// The yaml tags are the names of the keys, the help tags their comments in config.yaml.
type Config struct {
	Model    spec.Config    `yaml:"model" help:"shape of the model"`
	Data     DataConfig     `yaml:"data" help:"the text and how it is cut"`
	Train    TrainConfig    `yaml:"train" help:"how long, how fast, what is kept"`
	Quant    QuantConfig    `yaml:"quant" help:"from full precision to ternary; the default is ternary from the first step on"`
	FineTune FineTuneConfig `yaml:"finetune" help:"training from the weights of a model; nothing here counts without from"`
	Distill  DistillConfig  `yaml:"distill" help:"learning from a teacher; nothing here counts without teacher or generations"`
	Sample   SampleConfig   `yaml:"sample" help:"the text written at the end"`
}

// DataConfig says which text is read and how it is cut into batches.
type DataConfig struct {
	Corpus      []string `yaml:"corpus" help:"files and folders of text, JSONL or Parquet, or one folder of shards (mmfree prepare); a path or a list; none = the built-in text"`
	Tokenizer   string   `yaml:"tokenizer" help:"bytes, chars, bpe (learned from the training part of the text), model (that of finetune.from), or the path of a tokenizer.json or .model file"`
	VocabSize   int      `yaml:"vocab_size" help:"bpe: tokens of its vocabulary, the 256 bytes among them; 0 otherwise"`
	SeqLen      int      `yaml:"seq_len" help:"tokens in a sequence, T"`
	BatchSize   int      `yaml:"batch_size" help:"sequences in a micro-batch, B"`
	Carry       int      `yaml:"carry_windows" help:"recurrent models: sequences of seq_len tokens in a row through which the state is carried, a step each; 1 = it begins at 0 in each"`
	ValFraction float64  `yaml:"val_fraction" help:"share of the text, at its end, kept for validation; 0 = none"`
}

// TrainConfig says how long a run lasts, how the optimiser (AdamW) moves, and what is saved when. Exactly one of Steps
// and Minutes is above zero.
type TrainConfig struct {
	Steps          int     `yaml:"steps" help:"optimiser steps; excludes minutes"`
	Minutes        float64 `yaml:"minutes" help:"wall-clock budget that the schedule follows; excludes steps; such a run need not repeat bit for bit"`
	LR             float64 `yaml:"lr" help:"largest learning rate"`
	Schedule       string  `yaml:"schedule" help:"constant, cosine, linear, wsd (stable, then decay), paper (cosine, halved midway) or two-stage (a line to two thirds midway, a steeper one from there)"`
	WarmupSteps    int     `yaml:"warmup_steps" help:"steps over which the rate rises linearly from 0; 0 = none"`
	MinLRRatio     float64 `yaml:"min_lr_ratio" help:"rate at the end as a share of lr"`
	DecayFraction  float64 `yaml:"decay_fraction" help:"wsd: share of the run, at its end, that decays"`
	WeightDecay    float64 `yaml:"weight_decay" help:"decoupled weight decay of matrices; 0 = none"`
	DecayUntil     float64 `yaml:"weight_decay_until" help:"share of the run from which on there is no weight decay; 1 = to the end"`
	Dropout        float64 `yaml:"dropout" help:"share of the values that each half of a block adds to the residual stream which training zeroes; against overfitting"`
	EmbeddingDrop  float64 `yaml:"embedding_dropout" help:"share of the embedded tokens' values which training zeroes; against overfitting"`
	Clip           float64 `yaml:"clip" help:"largest norm of the whole gradient; 0 = no clipping"`
	Beta1          float64 `yaml:"beta1" help:"AdamW: decay of the gradient's mean"`
	Beta2          float64 `yaml:"beta2" help:"AdamW: decay of the squared gradient's mean"`
	Eps            float64 `yaml:"eps" help:"AdamW: added to the root of the squared mean"`
	Accumulate     int     `yaml:"accumulate" help:"micro-batches summed into one step"`
	Fused          bool    `yaml:"fused" help:"true keeps int8 codes for the backward pass; false keeps floats, for comparison"`
	WeightGradient string  `yaml:"weight_gradient" help:"ternary tensors' gradients: int16 (exact sums of 16-bit integers, twice as fast; with fused only) or float32"`
	LogEvery       int     `yaml:"log_every" help:"steps between lines of metrics.jsonl"`
	HealthEvery    int     `yaml:"health_every" help:"steps between looks at the ternary tensors' health, in metrics.jsonl and the progress line; 0 = none"`
	EvalEvery      int     `yaml:"eval_every" help:"steps between evaluations; 0 = only at the end"`
	EvalTokens     int     `yaml:"eval_tokens" help:"tokens of an evaluation; 0 = the whole validation text"`
	SaveEvery      int     `yaml:"save_every" help:"steps between checkpoints; 0 = only at the end"`
	KeepLast       int     `yaml:"keep_last" help:"newest checkpoints that are kept"`
	Seed           uint64  `yaml:"seed" help:"first weights, order of data and sample all follow from it"`
}

// SampleConfig says what the finished model writes.
type SampleConfig struct {
	Prompt      string  `yaml:"prompt" help:"text that the sample continues"`
	Tokens      int     `yaml:"tokens" help:"tokens to write; 0 = no sample"`
	Temperature float64 `yaml:"temperature" help:"0 always takes the likeliest token"`
	TopK        int     `yaml:"top_k" help:"choose among the k likeliest tokens; 0 = all"`
}

// Default returns a complete, runnable configuration: a small model on the built-in text, a token a byte. The
// vocabulary's size is 0: what the tokenizer has.
func Default() Config {
	model := spec.Default()
	model.VocabSize = 0
	model.HiddenSize = 256
	model.NumHiddenLayers = 6
	// Loss curves under int16 cannot be told from float32's: docs/PERFORMANCE.md.
	return Config{
		Model: model,
		Data:  DataConfig{Tokenizer: TokenizerBytes, SeqLen: 256, BatchSize: 8, Carry: 1, ValFraction: 0.1},
		Train: TrainConfig{
			// Betas and clipping are those of the sister papers from the same training code; the paper names none. Ternary
			// models want rates an order above a float model's: the sign of a code flips only when its shadow crosses 0.5 m.
			Steps: 1000, LR: 4e-3, Schedule: schedulePaper, WarmupSteps: 50, DecayFraction: 0.2, WeightDecay: 0.01, DecayUntil: 1,
			Clip: 1, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Accumulate: 1, Fused: true, WeightGradient: gradientInt16, LogEvery: 10, HealthEvery: 50, EvalEvery: 200,
			EvalTokens: 32768, SaveEvery: 200, KeepLast: 2, Seed: 1,
		},
		Quant:    QuantConfig{Schedule: quantTernary, WeightsTo: 0.5, ActivationsTo: 0.5, Stages: 4},
		Distill:  DistillConfig{Generations: 1, Share: 0.9, Loss: distillForward, Temperature: 1, TopK: 64},
		FineTune: FineTuneConfig{Widen: 1, LayerDecay: 1, ReplayShare: 0.2},
		Sample:   SampleConfig{Prompt: "The ", Tokens: 200, Temperature: 0.8, TopK: 40},
	}
}

// ConfigError is one fault of a configuration: where it stands, the key, what is wrong, what to do. File and Line are
// empty for a value that came from no file.
type ConfigError struct {
	File              string
	Line              int
	Key, Problem, Fix string
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	return b.String() + e.Problem
}

// Unwrap makes errors.Is(err, ErrConfig) true.
func (e *ConfigError) Unwrap() error { return ErrConfig }

// Hint returns what to do about the fault.
func (e *ConfigError) Hint() string { return e.Fix }

// rows is the number of sequences in a step.
func (c *Config) rows() int { return c.Data.BatchSize * c.Train.Accumulate }

// Validate returns every fault at once (errors.Join of *ConfigError and *spec.ConfigError), or nil. A vocabulary of 0
// passes: the model is checked again once the tokenizer has filled it in.
func (c *Config) Validate() error {
	model := c.Model
	if model.VocabSize == 0 {
		model.VocabSize = 1
	}
	v := validator{}
	v.data(&c.Data)
	v.train(&c.Train)
	v.quant(&c.Quant, &c.Train)
	v.fineTune(&c.FineTune)
	v.distill(&c.Distill)
	v.sample(&c.Sample)
	if c.Data.Tokenizer == TokenizerModel && c.FineTune.From == "" {
		v.bad("data.tokenizer", "name a model with finetune.from, or choose bytes, chars or bpe", "is model, and there is none to take it from")
	}
	if c.FineTune.Match > 0 && c.Distill.Cache != "" {
		v.bad("distill.cache", "leave one of them out", "keeps probabilities, and finetune.match asks for the residual streams")
	}
	if c.Data.Carry > 1 && len(c.FineTune.Replay) > 0 {
		v.bad("data.carry_windows", "leave one of them out", "is %d, and finetune.replay mixes other sequences in", c.Data.Carry)
	}
	invalid := model.Validate()
	if invalid == nil {
		most := model.MaxPositions()
		if most > 0 && c.Data.Carry > 1 {
			v.bad("data.carry_windows", "leave it out, or raise data.seq_len", "is %d, and a %s has no state to carry", c.Data.Carry, model.Arch)
		}
		if most == 0 && c.Distill.Generations > 1 && c.Distill.Attention > 0 {
			v.bad("distill.attention", "leave it out", "is %g, and the generation before has no attention: it is a %s, too", c.Distill.Attention, model.Arch)
		}
		if most > 0 && c.Data.SeqLen > most {
			v.bad("data.seq_len", "raise model.max_position_embeddings, or cut shorter sequences", "is %d, the model looks back on at most %d", c.Data.SeqLen, most)
		}
	}
	return errors.Join(append([]error{invalid}, v.faults...)...)
}

// validator collects faults.
type validator struct{ faults []error }

func (v *validator) bad(key, fix, format string, args ...any) {
	v.faults = append(v.faults, &ConfigError{Key: key, Problem: fmt.Sprintf(format, args...), Fix: fix})
}

func (v *validator) whole(key string, n, lo, hi int) {
	if n < lo || n > hi {
		v.bad(key, fmt.Sprintf("choose a whole number from %d to %d", lo, hi), "is %d", n)
	}
}

// between refuses NaN too: the comparison is written so that NaN fails it.
func (v *validator) between(key string, x, lo, hi float64) {
	if !(x >= lo && x <= hi) {
		v.bad(key, fmt.Sprintf("choose a number from %g to %g", lo, hi), "is %g", x)
	}
}

func (v *validator) above0(key string, x, hi float64) {
	if !(x > 0 && x <= hi) {
		v.bad(key, fmt.Sprintf("choose a number above 0, at most %g", hi), "is %g", x)
	}
}

func (v *validator) text(key, s string) {
	switch {
	case len(s) > maxTextBytes:
		v.bad(key, "shorten the text", "is %d bytes long, at most %d are allowed", len(s), maxTextBytes)
	case !utf8.ValidString(s):
		v.bad(key, "write the text as UTF-8", "is not UTF-8: %q", s)
	}
}

func (v *validator) data(d *DataConfig) {
	for _, path := range d.Corpus {
		if path == "" {
			v.bad("data.corpus", "name a text file, or leave the list empty for the built-in text", "holds an empty path")
		}
		v.text("data.corpus", path)
	}
	switch d.Tokenizer {
	case TokenizerBytes, TokenizerChars:
		if d.VocabSize != 0 {
			v.bad("data.vocab_size", "leave it out, or choose data.tokenizer: bpe", "is %d, and %s has the vocabulary that it has", d.VocabSize, d.Tokenizer)
		}
	case TokenizerModel:
		if d.VocabSize != 0 {
			v.bad("data.vocab_size", "leave it out", "is %d, and a model has the vocabulary that it has", d.VocabSize)
		}
	case TokenizerBPE:
		v.whole("data.vocab_size", d.VocabSize, tokenizer.MinTrainedVocab, maxTrainedVocab)
	default:
		v.text("data.tokenizer", d.Tokenizer)
		if !isTokenizerPath(d.Tokenizer) {
			v.bad("data.tokenizer", "choose bytes, chars, bpe, or the path of a tokenizer's file, such as ./tokenizer.json", "%q is not known", d.Tokenizer)
		}
		if d.VocabSize != 0 {
			v.bad("data.vocab_size", "leave it out, or choose data.tokenizer: bpe", "is %d, and a file has the vocabulary that it has", d.VocabSize)
		}
	}
	v.whole("data.seq_len", d.SeqLen, 1, maxSeqLen)
	v.whole("data.batch_size", d.BatchSize, 1, maxBatch)
	if d.SeqLen > 0 && d.BatchSize > maxTokens/d.SeqLen {
		v.bad("data.batch_size", "lower one of them and raise train.accumulate",
			"%d sequences of %d tokens are more than %d tokens", d.BatchSize, d.SeqLen, maxTokens)
	}
	v.whole("data.carry_windows", d.Carry, 1, maxBatch)
	v.between("data.val_fraction", d.ValFraction, 0, 0.5)
}

func (v *validator) train(t *TrainConfig) {
	switch {
	case t.Steps == 0 && t.Minutes == 0:
		v.bad("train.steps", "set train.steps or train.minutes", "is 0, and so is train.minutes")
	case t.Steps > 0 && t.Minutes > 0:
		v.bad("train.steps", "set one of them, or the other to 0", "is %d, but train.minutes is %g: they exclude one another", t.Steps, t.Minutes)
	}
	v.whole("train.steps", t.Steps, 0, maxSteps)
	v.between("train.minutes", t.Minutes, 0, maxMinutes)
	v.above0("train.lr", t.LR, 10)
	switch t.Schedule {
	case scheduleConstant, scheduleCosine, scheduleLinear, scheduleWSD, schedulePaper, scheduleTwoStage:
	default:
		v.bad("train.schedule", "choose constant, cosine, linear, wsd, paper or two-stage", "%q is not known", t.Schedule)
	}
	v.whole("train.warmup_steps", t.WarmupSteps, 0, maxSteps)
	v.between("train.min_lr_ratio", t.MinLRRatio, 0, 1)
	v.above0("train.decay_fraction", t.DecayFraction, 1)
	v.between("train.weight_decay", t.WeightDecay, 0, 10)
	v.between("train.weight_decay_until", t.DecayUntil, 0, 1)
	v.between("train.dropout", t.Dropout, 0, 0.9)
	v.between("train.embedding_dropout", t.EmbeddingDrop, 0, 0.9)
	v.between("train.clip", t.Clip, 0, 1e6)
	// A beta of 1 never forgets, and its bias correction divides by zero.
	v.between("train.beta1", t.Beta1, 0, 0.999999)
	v.between("train.beta2", t.Beta2, 0, 0.999999)
	v.above0("train.eps", t.Eps, 1)
	v.whole("train.accumulate", t.Accumulate, 1, maxBatch)
	if t.WeightGradient != gradientFloat32 && t.WeightGradient != gradientInt16 {
		v.bad("train.weight_gradient", "choose float32 or int16", "%q is not known", t.WeightGradient)
	}
	v.whole("train.log_every", t.LogEvery, 1, maxSteps)
	v.whole("train.health_every", t.HealthEvery, 0, maxSteps)
	v.whole("train.eval_every", t.EvalEvery, 0, maxSteps)
	v.whole("train.eval_tokens", t.EvalTokens, 0, maxSteps)
	v.whole("train.save_every", t.SaveEvery, 0, maxSteps)
	v.whole("train.keep_last", t.KeepLast, 1, maxSteps)
}

func (v *validator) sample(s *SampleConfig) {
	v.text("sample.prompt", s.Prompt)
	v.whole("sample.tokens", s.Tokens, 0, maxSeqLen)
	v.between("sample.temperature", s.Temperature, 0, 100)
	v.whole("sample.top_k", s.TopK, 0, 1<<24)
}
