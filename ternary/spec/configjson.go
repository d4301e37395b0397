package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

const (
	hgrnBitType  = "hgrn_bit"
	hgrnBitClass = "HGRNBitForCausalLM"
)

// UnmarshalJSON reads a config.json of the reference implementation (model_type "hgrn_bit"). Absent fields take the
// reference's defaults; absent bitlinear_eps and activation_rounding mean the fused profile, which is what the
// reference runs (spec §3.3). Fields without a meaning here are kept in Extra. Options that the reference cannot run
// are refused. The result is validated.
func (c *Config) UnmarshalJSON(data []byte) error {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return &ConfigError{Key: "json", Problem: err.Error(), Fix: "the file must be one JSON object, as transformers writes it"}
	}
	*c = Default()
	c.BitLinearEps, c.ActivationRounding = BitLinearEpsFused, HalfAway
	c.BOSTokenID, c.EOSTokenID = ptr(1), ptr(2)

	var modelType string
	r := fieldReader{fields: fields}
	r.take("model_type", &modelType)
	if r.err == nil && modelType != hgrnBitType {
		return &ConfigError{
			Key: "model_type", Problem: fmt.Sprintf("%q is not a MatMul-free model", modelType),
			Fix: "this build reads model_type " + hgrnBitType,
		}
	}
	delete(fields, "architectures")
	r.take("vocab_size", &c.VocabSize)
	r.take("hidden_size", &c.HiddenSize)
	r.take("num_hidden_layers", &c.NumHiddenLayers)
	r.take("hidden_ratio", &c.HiddenRatio)
	r.take("intermediate_size", &c.IntermediateSize)
	r.take("num_heads", &c.NumHeads)
	r.take("expand_ratio", &c.ExpandRatio)
	r.take("use_lower_bound", &c.UseLowerBound)
	r.take("rms_norm_eps", &c.RMSNormEps)
	r.take("initializer_range", &c.InitializerRange)
	r.takeID("pad_token_id", &c.PadTokenID)
	r.takeID("bos_token_id", &c.BOSTokenID)
	r.takeID("eos_token_id", &c.EOSTokenID)
	r.take("tie_word_embeddings", &c.TieWordEmbeddings)
	r.take("bitlinear_eps", &c.BitLinearEps)
	r.take("activation_rounding", &c.ActivationRounding)
	r.take("down_proj", &c.DownProj)

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
	if len(fields) > 0 {
		c.Extra = fields
	}
	return c.Validate()
}

// MarshalJSON writes config.json: the reference's fields, this project's three, and Extra, with sorted keys, so that
// equal configurations give equal bytes.
func (c Config) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for k, v := range c.Extra {
		out[k] = v
	}
	var intermediate any // null lets the reader compute it, as the reference does
	if c.IntermediateSize > 0 {
		intermediate = c.IntermediateSize
	}
	var expand any = c.ExpandRatio
	if whole := int(c.ExpandRatio); float64(whole) == c.ExpandRatio {
		expand = whole
	}
	maps.Copy(out, map[string]any{
		"model_type": hgrnBitType, "architectures": []string{hgrnBitClass}, "vocab_size": c.VocabSize,
		"hidden_size": c.HiddenSize, "num_hidden_layers": c.NumHiddenLayers, "hidden_ratio": c.HiddenRatio,
		"intermediate_size": intermediate, "num_heads": c.NumHeads, "expand_ratio": expand,
		"use_lower_bound": c.UseLowerBound, "rms_norm_eps": c.RMSNormEps, "initializer_range": c.InitializerRange,
		"pad_token_id": c.PadTokenID, "bos_token_id": c.BOSTokenID, "eos_token_id": c.EOSTokenID,
		"tie_word_embeddings": c.TieWordEmbeddings, "bitlinear_eps": c.BitLinearEps,
		"activation_rounding": c.ActivationRounding, "down_proj": c.DownProj,
	})
	return json.Marshal(out)
}

// fieldReader takes typed fields out of a JSON object and remembers the first fault.
type fieldReader struct {
	fields map[string]json.RawMessage
	err    error
}

// peek reads the field into dst and leaves it among the fields; null and absent leave dst as it is.
func (r *fieldReader) peek(key string, dst any) {
	raw, ok := r.fields[key]
	if !ok || r.err != nil || bytes.Equal(raw, []byte("null")) {
		return
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		r.err = &ConfigError{Key: key, Problem: fmt.Sprintf("is %.40s: %v", raw, err), Fix: "correct the field in config.json"}
	}
}

// take is peek, and removes the field.
func (r *fieldReader) take(key string, dst any) {
	r.peek(key, dst)
	delete(r.fields, key)
}

// takeID reads an optional token id; null means that there is none, absent leaves the default.
func (r *fieldReader) takeID(key string, dst **int) {
	if raw, ok := r.fields[key]; ok && bytes.Equal(raw, []byte("null")) {
		*dst = nil
	}
	r.take(key, dst)
}

func ptr(v int) *int { return &v }
