package train

import (
	"mmfree/checkpoints/gguf"
	"mmfree/data/tokenizer"
)

// ggufTokenizer hands the vocabulary of a GGUF file to data/tokenizer, which knows no files of weights.
func ggufTokenizer(path string, file *gguf.File) (tokenizer.Tokenizer, error) {
	const under = "tokenizer.ggml."
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
	if _, ok := file.Value(under + "precompiled_charsmap"); ok && g.Model == "llama" {
		g.Model = "llama with a precompiled_charsmap"
	}
	return tokenizer.FromGGUF(&g, path)
}
