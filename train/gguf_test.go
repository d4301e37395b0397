package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mmfree/checkpoints/gguf"
	"mmfree/data/tokenizer"
	"mmfree/ternary/spec"
)

// TestSharedModelsThroughGGUF: the real models go out to GGUF and in again, give their goldens, and no bit of them changes.
func TestSharedModelsThroughGGUF(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; checkpoints/gguf tests the format on models of its own")
	}
	for _, c := range []struct {
		model, form, ternary string
		tolerance            tolerance
	}{
		{"stories260K", "stories260K.bin", "", floatTolerance},
		{"bitnet-1M", "", "", codeTolerance},
		{"bitnet-1M", "bit_model.bin", "i2_s", codeTolerance},
	} {
		dir := filepath.Join(shared, "data", "models", c.model)
		text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		var g goldenModel
		if err := json.Unmarshal(text, &g); err != nil {
			t.Fatal(err)
		}
		source, err := OpenToConvert(filepath.Join(dir, c.form))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { source.Close() })
		if err := source.UseTokenizer(filepath.Join(shared, "data", "tokenizers", "tok512")); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "m.gguf")
		if _, err := source.Export(t.Context(), ExportRequest{Format: FormatGGUF, Out: out, Ternary: c.ternary}); err != nil {
			t.Fatal(err)
		}
		m, original := open(t, out), open(t, filepath.Join(dir, c.form))
		checkGolden(t, m, &g, c.tolerance)
		a, err1 := m.Packed()
		b, err2 := original.Packed()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, x := range b.Tensors {
			if w := b.Matrix(x.Name); x.Kind == spec.Ternary {
				if got := a.Matrix(x.Name); got.Scale != w.Scale || !slices.Equal(got.Words, w.Words) {
					t.Errorf("%s: %s has other codes, or the scale %v instead of %v", c.model, x.Name, got.Scale, w.Scale)
				}
			} else if !slices.Equal(a.Dense(x.Name), b.Dense(x.Name)) {
				t.Errorf("%s: %s has other values", c.model, x.Name)
			}
		}
		tok, err := m.Tokenizer()
		if err != nil {
			t.Fatal(err)
		}
		want, err := source.Tokenizer()
		if err != nil {
			t.Fatal(err)
		}
		x, err1 := tok.EncodeSpecial(nil, []byte("Once upon a time"))
		y, err2 := want.EncodeSpecial(nil, []byte("Once upon a time"))
		if err1 != nil || err2 != nil || !slices.Equal(x, y) || x[0] != 1 {
			t.Errorf("%s: tokens %v, want %v", c.model, x, y)
		}
	}
}

// TestVocabularyAsPublished: the vocabularies that llama.cpp's own conversion wrote for two tokenizers are those written here.
func TestVocabularyAsPublished(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	dir := filepath.Join(shared, "data", "tokenizers")
	for path, published := range map[string]string{
		"llama-2/tokenizer.model": "llama-2/ggml-vocab-llama-spm.gguf", "gpt2/tokenizer.json": "gpt2/ggml-vocab-gpt-2.gguf",
	} {
		tok, err := LoadTokenizer(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		g, err := tokenizer.ToGGUF(tok)
		if err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Open(filepath.Join(dir, published))
		if err != nil {
			t.Fatal(err)
		}
		value := func(key string) gguf.Value {
			v, _ := f.Value(under + key)
			return v
		}
		tokens, _ := value("tokens").Strings()
		types, _ := value("token_type").Int32s()
		model, _ := value("model").Text()
		if len(tokens) == 0 || !slices.Equal(tokens, g.Tokens) || !slices.Equal(types, g.Types) || model != g.Model {
			t.Errorf("%s: model %s, tokens equal %v, types equal %v", path, g.Model, slices.Equal(tokens, g.Tokens), slices.Equal(types, g.Types))
		}
		if scores, ok := value("scores").Float32s(); ok && !slices.Equal(scores, g.Scores) {
			t.Errorf("%s: other scores", path)
		}
		if merges, ok := value("merges").Strings(); ok && !slices.Equal(merges, g.Merges) {
			t.Errorf("%s: other merges", path)
		}
		for key, id := range map[string]int32{"bos_token_id": g.BOS, "eos_token_id": g.EOS} {
			if v, ok := f.Value(under + key); ok && id >= 0 { // GPT-2's BOS is its model's word, not its tokenizer's
				if n, _ := v.Int(); n != int64(id) {
					t.Errorf("%s: %s is %d, published %d", path, key, id, n)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBeginOfText: a text in another program begins with BOS only where one begins with it here: the tokenizer puts it there and
// the configuration names it. Models that this program trained do not.
func TestBeginOfText(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set: no tokenizer that puts BOS before a text")
	}
	m, err := OpenToConvert(filepath.Join(shared, "data", "models", "stories260K", "stories260K.bin"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.UseTokenizer(filepath.Join(shared, "data", "tokenizers", "tok512")); err != nil {
		t.Fatal(err)
	}
	bos := 1
	for _, c := range []struct {
		bos  *int
		want bool
	}{{&bos, true}, {nil, false}} {
		m.Config.BOSTokenID = c.bos
		keys, _ := m.vocabularyKeys()
		i := slices.IndexFunc(keys, func(k gguf.Key) bool { return k.Name == "tokenizer.ggml.add_bos_token" })
		if i < 0 || keys[i].Value != c.want {
			t.Errorf("configured %v: key %d of %v, want %v", c.bos, i, keys[max(i, 0)], c.want)
		}
	}
}
