package gguf

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"mmfree/checkpoints/format"
	"mmfree/ternary/spec"
)

// TokenizerKey is the key whose value is a whole tokenizer.json.
const TokenizerKey = "tokenizer.huggingface.json"

// Keys outside the architecture's own. configKey holds config.json as this program writes it: what the other keys cannot say.
const (
	archKey   = "general.architecture"
	configKey = "mmfree.config"
	bosKey    = "tokenizer.ggml.bos_token_id"
	eosKey    = "tokenizer.ggml.eos_token_id"
	padKey    = "tokenizer.ggml.padding_token_id"
	tiedName  = "output" + weightSuffix // absent where the head is the embedding
	embedName = "token_embd" + weightSuffix
)

// archName returns the value of general.architecture, "" for an architecture that has none.
func archName(c *spec.Config) string {
	switch {
	case c.Arch == spec.ArchTransformer:
		return archLlama
	case c.Arch == spec.ArchBitNet && c.HiddenAct == spec.ActReLU2:
		return archBitNetReLU
	case c.Arch == spec.ArchBitNet:
		return archBitNet
	case c.Arch == spec.ArchMatMulFree:
		return archMatMulFree
	}
	return ""
}

// configKeys returns the metadata that describes a model.
func configKeys(c *spec.Config) []Key {
	arch := archName(c)
	of := func(key string, n int) Key { return Key{arch + "." + key, uint32(n)} }
	keys := []Key{
		{archKey, arch},
		of("vocab_size", c.VocabSize),
		of("embedding_length", c.HiddenSize),
		of("block_count", c.NumHiddenLayers),
		of("feed_forward_length", c.MLPWidth()),
		{arch + ".attention.layer_norm_rms_epsilon", float32(normEps(c))},
	}
	if c.Arch == spec.ArchMatMulFree {
		return append(keys, of("recurrence_length", c.RecurrenceWidth()),
			Key{arch + ".bitlinear.layer_norm_rms_epsilon", float32(c.BitLinearEps)},
			Key{arch + ".bitlinear.activation_rounding", c.ActivationRounding},
			Key{arch + ".use_lower_bound", c.UseLowerBound},
			Key{arch + ".down_proj", c.DownProj})
	}
	heads, groups, width := c.Attention()
	return append(keys, of("context_length", c.MaxPositionEmbeddings), of("attention.head_count", heads), of("attention.head_count_kv", groups),
		of("attention.key_length", width), of("attention.value_length", width), of("rope.dimension_count", width),
		Key{arch + ".rope.freq_base", float32(c.RopeTheta)})
}

// normEps returns the epsilon of most norms: other programs have one for all.
func normEps(c *spec.Config) float64 {
	if c.Arch == spec.ArchBitNet && c.NormPlacement == spec.NormBitLinear {
		return c.BitLinearEps
	}
	return c.RMSNormEps
}

// config reads the configuration: configKey where it is there, which must agree with the other keys, else those.
func (f *File) config() (c spec.Config, err error) {
	arch, _ := f.values[archKey].Text()
	text, own := f.values[configKey].Text()
	if !own {
		switch arch {
		case archLlama, archBitNet, archBitNetReLU:
			return f.foreignConfig(arch)
		case archMatMulFree:
			return c, f.keyFault(configKey, "is missing: a file of this architecture states its whole configuration there", fixFaulty)
		case "":
			return c, f.keyFault(archKey, "is missing", "the file holds no model, or was written by a faulty program")
		}
		return c, f.keyFault(archKey, fmt.Sprintf("is %s, which this program does not know", quoted(arch)),
			fmt.Sprintf("models of %s, %s, %s and %s are read", archLlama, archBitNet, archBitNetReLU, archMatMulFree))
	}
	if !json.Valid([]byte(text)) {
		return c, f.keyFault(configKey, "is not JSON", fixCopy)
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("%s: key %s: %w", f.path, configKey, err)
	}
	if archName(&c) == "" {
		return c, f.keyFault(configKey, "states the architecture "+c.Arch+", which GGUF files do not hold", fixFaulty)
	}
	for _, want := range configKeys(&c) {
		if v, ok := f.values[want.Name]; ok && !want.equals(v) || !ok && want.Name == archKey {
			return c, f.keyFault(want.Name, fmt.Sprintf("contradicts %s, which says %v", configKey, want.Value), "the file was changed by another program: convert the model again")
		}
	}
	return c, nil
}

// foreignConfig reads what other programs write.
func (f *File) foreignConfig(arch string) (c spec.Config, err error) {
	c = spec.Default()
	c.Arch, c.IntermediateSize = spec.ArchBitNet, 0
	c.NormPlacement, c.LMHead, c.HiddenAct = spec.NormSubLN, spec.HeadDense, spec.ActSilu
	switch arch {
	case archLlama:
		c.Arch = spec.ArchTransformer
	case archBitNetReLU:
		c.HiddenAct = spec.ActReLU2
	}
	r := keyReader{f: f, prefix: arch + "."}
	c.NumHiddenLayers = r.int("block_count", -1)
	c.HiddenSize = r.int("embedding_length", -1)
	c.IntermediateSize = r.int("feed_forward_length", -1)
	c.MaxPositionEmbeddings = r.int("context_length", -1)
	c.NumAttentionHeads = r.int("attention.head_count", -1)
	c.NumKeyValueHeads = r.int("attention.head_count_kv", c.NumAttentionHeads)
	c.RMSNormEps = r.float("attention.layer_norm_rms_epsilon", 0)
	c.RopeTheta = r.float("rope.freq_base", 10000)
	width := r.int("attention.key_length", 0)
	if width == 0 && c.NumAttentionHeads > 0 {
		width = c.HiddenSize / c.NumAttentionHeads
	}
	if width*c.NumAttentionHeads != c.HiddenSize {
		c.HeadDim = width
	}
	r.only("attention.value_length", width)
	r.only("rope.dimension_count", width)
	r.only("expert_count", 0)
	if scaling, ok := f.values[arch+".rope.scaling.type"].Text(); ok && scaling != "none" && scaling != "linear" {
		r.bad("rope.scaling.type", fmt.Sprintf("is %s; only plain rotary positions are defined", quoted(scaling)))
	}
	if factor := r.float("rope.scaling.factor", 1); factor != 0 && factor != 1 {
		r.bad("rope.scaling.factor", fmt.Sprintf("is %g; only plain rotary positions are defined", factor))
	}
	embed, ok := f.Tensor(embedName)
	if r.err == nil && (!ok || len(embed.Shape) != 2) {
		r.err = f.keyFault(archKey, "is "+arch+", but there is no matrix "+embedName, fixFaulty)
	}
	if r.err != nil {
		return c, r.err
	}
	c.VocabSize = embed.Shape[0]
	_, untied := f.Tensor(tiedName)
	c.TieWordEmbeddings = !untied
	c.BOSTokenID, c.EOSTokenID, c.PadTokenID = f.id(bosKey), f.id(eosKey), f.id(padKey)
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%s: %w", f.path, err)
	}
	return c, nil
}

// id returns a token's id, or nil where the file gives none of the vocabulary's.
func (f *File) id(key string) *int {
	v, ok := f.values[key]
	if !ok || v.Kind == Bool {
		return nil
	}
	n, ok := v.Int()
	if !ok || n < 0 || n > math.MaxInt32 {
		return nil
	}
	id := int(n)
	return &id
}

func (f *File) keyFault(key, problem, fix string) error {
	return &format.Error{File: f.path, Offset: -1, Problem: "key " + key + " " + problem, Fix: fix}
}

// keyReader reads the keys of an architecture and remembers the first fault.
type keyReader struct {
	f      *File
	prefix string
	err    error
}

func (r *keyReader) bad(key, problem string) {
	if r.err == nil {
		r.err = r.f.keyFault(r.prefix+key, problem, "this program has no model of that form")
	}
}

// int reads a whole number below 2^31; absent −1: the key must be there.
func (r *keyReader) int(key string, absent int) int {
	v, ok := r.f.values[r.prefix+key]
	if !ok {
		if absent < 0 {
			r.bad(key, "is missing")
		}
		return absent
	}
	n, ok := v.Int()
	if !ok || v.Kind == Bool || n < 0 || n > math.MaxInt32 {
		r.bad(key, "is no whole number from 0 to 2^31 for all layers")
		return absent
	}
	return int(n)
}

// only accepts one value, or none.
func (r *keyReader) only(key string, want int) {
	if n := r.int(key, want); n != want {
		r.bad(key, fmt.Sprintf("is %d; only %d is defined here", n, want))
	}
}

// float reads a number; absent 0: the key must be there. Of a float32 it is the shortest decimal that is meant: 1e-05.
func (r *keyReader) float(key string, absent float64) float64 {
	v, ok := r.f.values[r.prefix+key]
	if !ok {
		if absent == 0 {
			r.bad(key, "is missing")
		}
		return absent
	}
	x, ok := v.Float()
	if !ok {
		r.bad(key, "is no number")
		return absent
	}
	if v.Kind == Float32 {
		x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', -1, 32), 64) // of what FormatFloat wrote
	}
	return x
}
