package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// jsonField is one key of config.json and the field of a Config that it stands for.
type jsonField struct {
	key  string
	at   any  // *int, *float64, *bool, *string, or **int: an id, for which null means none
	null bool // null stands for 0 and is written for it; elsewhere null means the default
}

// commonFields lists the keys of every architecture.
func (c *Config) commonFields() []jsonField {
	return []jsonField{
		{key: "vocab_size", at: &c.VocabSize},
		{key: "hidden_size", at: &c.HiddenSize},
		{key: "num_hidden_layers", at: &c.NumHiddenLayers},
		{key: "intermediate_size", at: &c.IntermediateSize, null: true},
		{key: "rms_norm_eps", at: &c.RMSNormEps},
		{key: "initializer_range", at: &c.InitializerRange},
		{key: "pad_token_id", at: &c.PadTokenID},
		{key: "bos_token_id", at: &c.BOSTokenID},
		{key: "eos_token_id", at: &c.EOSTokenID},
		{key: "tie_word_embeddings", at: &c.TieWordEmbeddings},
	}
}

// UnmarshalJSON reads a config.json, of the architecture that its model_type names. Absent fields take the defaults of
// that model type's own code: for "hgrn_bit" also the fused profile, which is what the reference runs (spec §3.3). Fields
// without a meaning here are kept in Extra. Options that are not defined are refused. The result is validated.
func (c *Config) UnmarshalJSON(data []byte) error {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return &ConfigError{Key: "json", Problem: err.Error(), Fix: "the file must be one JSON object, as transformers writes it"}
	}
	var modelType string
	r := fieldReader{fields: fields}
	r.take("model_type", &modelType)
	var a *architecture
	for _, row := range architectures() {
		if row.modelType == modelType {
			a = row
		}
	}
	if r.err == nil && a == nil {
		return &ConfigError{
			Key: "model_type", Problem: fmt.Sprintf("%.60q is not a model that this build knows", modelType),
			Fix: "this build reads model_type " + listed(func(a *architecture) string { return a.modelType }),
		}
	}
	if r.err != nil {
		return r.err
	}
	delete(fields, "architectures")
	*c = Default()
	c.Arch = a.name
	a.read(c)
	for _, f := range append(c.commonFields(), a.fields(c)...) {
		r.field(f)
	}
	if r.err != nil {
		return r.err
	}
	if err := a.refuse(c, &r); err != nil {
		return err
	}
	if len(fields) > 0 {
		c.Extra = fields
	}
	return c.Validate()
}

// MarshalJSON writes config.json: the architecture's fields, this project's among them, and Extra, with sorted keys, so
// that equal configurations give equal bytes.
func (c Config) MarshalJSON() ([]byte, error) {
	a := c.architecture()
	if a == nil {
		return nil, c.Validate()
	}
	out := map[string]any{}
	for k, v := range c.Extra {
		out[k] = v
	}
	if a.resolve != nil {
		a.resolve(&c)
	}
	out["model_type"], out["architectures"] = a.modelType, []string{a.class}
	for _, f := range append(c.commonFields(), a.fields(&c)...) {
		out[f.key] = f.at
		if n, ok := f.at.(*int); ok && f.null && *n == 0 {
			out[f.key] = nil
		}
	}
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

// field takes the field; see jsonField for what null means.
func (r *fieldReader) field(f jsonField) {
	if raw, ok := r.fields[f.key]; ok && bytes.Equal(raw, []byte("null")) {
		switch at := f.at.(type) {
		case **int:
			*at = nil
		case *int:
			if f.null {
				*at = 0
			}
		}
	}
	r.take(f.key, f.at)
}

func ptr(v int) *int { return &v }
