package tokenizer

import (
	hf "github.com/sugarme/tokenizer"

	"mmfree/data/tokenizer/split"
)

// JSON returns the tokenizer.json of the vocabulary, in the structure that Hugging Face's trainer saves. Merges are
// written as "left right", which every version of their library reads; no token has a space in it, for the byte is Ġ.
func (t *Trained) JSON() ([]byte, error) {
	added := make([]hf.TokenConfig, t.specials)
	for id := range added {
		added[id] = hf.TokenConfig{Id: int64(id), Content: t.Tokens[id], Special: true}
	}
	merges := make([]string, len(t.Merges))
	for i, m := range t.Merges {
		merges[i] = m[0] + " " + m[1]
	}
	byteLevel := func(regex bool) map[string]any {
		return map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex}
	}
	preTokenizer := byteLevel(true) // which is GPT-2's pattern
	if t.pattern != split.GPT2 {
		preTokenizer = map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": t.pattern}, "behavior": "Isolated", "invert": false},
			byteLevel(false),
		}}
	}
	return writeAdded(added, preTokenizer, byteLevel(true), map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
		"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary(t.Tokens), "merges": merges,
	})
}
