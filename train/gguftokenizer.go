package train

import (
	"encoding/json"
	"errors"
	"fmt"

	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/stored"
	"mmfree/data/tokenizer"
)

// under is where a GGUF file keeps its vocabulary.
const under = "tokenizer.ggml."

// takeVocabulary makes tokenizer.json of the vocabulary in the model's GGUF file. That this program cannot run it is a warning.
func (m *Model) takeVocabulary(s *stored.Model) (err error) {
	file, err := gguf.Open(m.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if v, ok := file.Value(templateKey); ok {
		if text, ok := v.Text(); ok {
			s.Side[chatTemplate] = []byte(text)
		}
	}
	v, _ := file.Value(under + "model")
	if kind, _ := v.Text(); s.Side[tokenizerJSON] == nil && (kind == "" || kind == noVocabulary || kind == "none") {
		return nil
	}
	t, err := ggufTokenizer(m.Path, file)
	if err != nil {
		delete(s.Side, tokenizerJSON)
		s.Warnings = append(s.Warnings, err.Error()+": the model is without a tokenizer")
		return nil
	}
	s.Side[tokenizerJSON], err = t.JSON()
	return err
}

// Names of side files.
const (
	tokenizerJSON = "tokenizer.json"
	chatTemplate  = "chat_template.jinja"
)

// templateKey holds the template of a chat.
const templateKey = "tokenizer.chat_template"

// noVocabulary is the tokenizer.ggml.model of a file without a tokenizer.
const noVocabulary = "no_vocab"

// ggufTokenizer hands the vocabulary of a GGUF file to data/tokenizer, which knows no files of weights: its tokenizer.json, where
// it has one that this program runs, else the keys of the llama.cpp family.
func ggufTokenizer(path string, file *gguf.File) (tokenizer.Tokenizer, error) {
	if v, ok := file.Value(gguf.TokenizerKey); ok {
		if text, ok := v.Text(); ok {
			if t, err := tokenizer.Parse([]byte(text), path); err == nil {
				return t, nil
			}
		}
	}
	value := func(key string) gguf.Value {
		v, _ := file.Value(under + key)
		return v
	}
	id := func(key string) int32 {
		if v, ok := file.Value(under + key); ok {
			if n, ok := v.Int(); ok && n >= 0 && n < 1<<31 {
				return int32(n)
			}
		}
		return -1
	}
	flag := func(key string, absent bool) bool {
		if v, ok := file.Value(under + key); ok {
			n, ok := v.Int()
			return ok && n != 0
		}
		return absent
	}
	var g tokenizer.GGUF
	g.Model, _ = value("model").Text()
	g.Pre, _ = value("pre").Text()
	g.Tokens, _ = value("tokens").Strings()
	g.Scores, _ = value("scores").Float32s()
	g.Types, _ = value("token_type").Int32s()
	g.Merges, _ = value("merges").Strings()
	g.BOS, g.EOS, g.Unknown, g.Pad = id("bos_token_id"), id("eos_token_id"), id("unknown_token_id"), id("padding_token_id")
	g.AddSpacePrefix = flag("add_space_prefix", g.Model != "gpt2")
	g.AddBOS = flag("add_bos_token", g.Model == "llama" || g.Pre == "llama-bpe")
	g.AddEOS = flag("add_eos_token", false)
	g.RemoveExtra = flag("remove_extra_whitespaces", false)
	var mapped bool
	if g.Charsmap, mapped = value("precompiled_charsmap").Bytes(); mapped && g.Model == "llama" {
		g.Model = "llama with a precompiled_charsmap"
	}
	return tokenizer.FromGGUF(&g, path)
}

// templateKeys returns the template of a chat as a key, if the model has one: in a file of its own, or in tokenizer_config.json, where it
// may also be a list of several.
func (m *Model) templateKeys() []gguf.Key {
	if m.Info == nil {
		return nil
	}
	text, ok := m.Info.Side[chatTemplate]
	if !ok {
		var config struct {
			Template any `json:"chat_template"`
		}
		json.Unmarshal(m.Info.Side["tokenizer_config.json"], &config) // what is no such file has no template
		only, _ := config.Template.(string)
		text = []byte(only)
	}
	if len(text) == 0 {
		return nil
	}
	return []gguf.Key{{Name: templateKey, Value: string(text)}}
}

// vocabularyKeys returns the tokenizer as keys of a GGUF file. Where there is none, or none that the llama.cpp family could run, the
// file says so; why is a warning.
func (m *Model) vocabularyKeys() (keys []gguf.Key, warning string) {
	const idsAlone = ": programs of the llama.cpp family take ids of tokens alone"
	none, size := []gguf.Key{{Name: under + "model", Value: noVocabulary}}, m.Config.VocabSize
	if m.tokenizerJSON == nil {
		return none, "the model has no tokenizer" + idsAlone
	}
	t, err := m.Tokenizer()
	if err != nil {
		return none, err.Error() + idsAlone
	}
	g, err := tokenizer.ToGGUF(t)
	if err != nil {
		return none, err.Error() + idsAlone
	}
	if len(g.Tokens) > size {
		return none, fmt.Sprintf("the tokenizer has %d tokens, the model %d%s", len(g.Tokens), size, idsAlone)
	}
	g.Extend(size)
	given := func(id *int32, config *int) {
		if *id < 0 && config != nil && *config < size {
			*id = int32(*config)
		}
	}
	g.AddBOS = g.AddBOS && m.begin(t) >= 0 // else another program's text would begin with a token that this model's never did
	given(&g.BOS, m.Config.BOSTokenID)     // what the tokenizer leaves to the model
	given(&g.EOS, m.Config.EOSTokenID)
	given(&g.Pad, m.Config.PadTokenID)
	add := func(key string, value any) { keys = append(keys, gguf.Key{Name: under + key, Value: value}) }
	add("model", g.Model)
	if g.Pre != "" {
		add("pre", g.Pre)
	}
	add("tokens", g.Tokens)
	if g.Scores != nil {
		add("scores", g.Scores)
	}
	add("token_type", g.Types)
	if g.Merges != nil {
		add("merges", g.Merges)
	}
	for _, id := range []struct {
		key string
		id  int32
	}{{"bos", g.BOS}, {"eos", g.EOS}, {"unknown", g.Unknown}, {"padding", g.Pad}} {
		if id.id >= 0 {
			add(id.key+"_token_id", uint32(id.id))
		}
	}
	if g.Model != "gpt2" {
		add("add_space_prefix", g.AddSpacePrefix)
	}
	add("add_bos_token", g.AddBOS)
	add("add_eos_token", g.AddEOS)
	if g.RemoveExtra {
		add("remove_extra_whitespaces", true)
	}
	if len(g.Charsmap) > 0 {
		add("precompiled_charsmap", g.Charsmap)
	}
	if g.RemoveExtra && g.Model == "llama" {
		warning = "the tokenizer takes several spaces for one, which llama.cpp does not: texts with such give other tokens there"
	}
	if g.EOS < 0 {
		warning = "the tokenizer has no token that ends a text: llama.cpp then takes one of its own choice for it (id 2, or 11 of byte-level vocabularies)"
	}
	return keys, warning
}
