package train

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/data/tokenizer"
	"mmfree/ternary/spec"
)

// patient is a healthy folder: a small BitNet or transformer whose gains differ, with a tokenizer that puts BOS before a text.
func patient(t *testing.T, change func(c *spec.Config)) *spec.Weights {
	t.Helper()
	c := spec.Default()
	c.Arch, c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize, c.NumAttentionHeads = spec.ArchBitNet, 300, 24, 2, 40, 2
	if change != nil {
		change(&c)
	}
	w, err := spec.NewWeights(c)
	fatal(t, err)
	w.Init(2)
	for i := range w.Tensors {
		if w.Tensors[i].Kind == spec.Gain {
			for j := range w.At(i) {
				w.At(i)[j] = 1 + float32(j%7)/5
			}
		}
	}
	return w
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bytesJSON is the tokenizer.json of the words bytes.
func bytesJSON(t *testing.T) []byte {
	t.Helper()
	text, err := tokenizer.Bytes{}.JSON()
	fatal(t, err)
	return text
}

// bpeJSON is a byte-level tokenizer with the special token <s>.
func bpeJSON(t *testing.T) []byte {
	t.Helper()
	trainer, err := tokenizer.NewTrainer(tokenizer.TrainOptions{VocabSize: 260, MinFrequency: 2, Special: []string{"<s>"}, PreTokenizer: "gpt2", Threads: 1})
	fatal(t, err)
	trainer.Add([]byte(strings.Repeat("the cat and the dog ", 20)))
	trained, err := trainer.Train()
	fatal(t, err)
	text, err := trained.JSON()
	fatal(t, err)
	return text
}

func folderOf(t *testing.T, m *stored.Model, o hf.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "m")
	if o.Side == nil {
		o.Side = map[string][]byte{"tokenizer.json": bytesJSON(t)}
	}
	_, err := hf.Write(durable.OS{}, dir, m, o)
	fatal(t, err)
	return dir
}

func rewriteConfig(t *testing.T, dir, from, to string) {
	t.Helper()
	path := filepath.Join(dir, hf.ConfigName)
	text, err := os.ReadFile(path)
	fatal(t, err)
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("config.json does not hold %s: %s", from, text)
	}
	fatal(t, os.WriteFile(path, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600))
}

// tensorsOf writes model.safetensors anew with changed tensors.
func tensorsOf(t *testing.T, dir string, w *spec.Weights, change func(list []safetensors.Tensor) []safetensors.Tensor) {
	t.Helper()
	var list []safetensors.Tensor
	for i := range w.Tensors {
		list = append(list, safetensors.Float32Tensor(w.Tensors[i].Name, w.Tensors[i].Shape, w.At(i), dtype.F32))
	}
	var b bytes.Buffer
	_, err := safetensors.Write(&b, change(list), nil, 0)
	fatal(t, err)
	fatal(t, os.WriteFile(filepath.Join(dir, hf.ModelName), b.Bytes(), 0o600))
}

// TestDoctorFinds makes each of the common faults, and one at a time: the check of that name fails and says what to do, and
// no other does.
func TestDoctorFinds(t *testing.T) {
	plain := func(t *testing.T) string { return folderOf(t, stored.Of(patient(t, nil)), hf.Options{}) }
	for _, c := range []struct {
		name, check, detail, fix string
		make                     func(t *testing.T) string
	}{
		{"nothing", "", "", "", plain},
		{"scale convention", "scales", "config.json says linear_class bitlinear", "linear_class", func(t *testing.T) string {
			dir := folderOf(t, stored.Of(patient(t, nil)), hf.Options{Packed: hf.Multiply})
			rewriteConfig(t, dir, "autobitlinear", "bitlinear")
			return dir
		}},
		{"scales imported as their inverses", "scales", "looks like one over it", "scale_convention", func(t *testing.T) string {
			w := patient(t, nil)
			for i := range w.Tensors {
				if w.Tensors[i].Kind == spec.Ternary {
					for j, v := range w.At(i) {
						w.At(i)[j] = v * 5000
					}
				}
			}
			return folderOf(t, stored.Of(w), hf.Options{})
		}},
		{"norms folded twice", "norms", "applied twice", "set those gains to 1", func(t *testing.T) string {
			w := patient(t, func(c *spec.Config) { c.Arch = spec.ArchTransformer })
			fold(w)
			return folderOf(t, stored.Of(w), hf.Options{})
		}},
		{"head tied, and another is there", "head", "lm_head.weight is another", `"tie_word_embeddings": false`, func(t *testing.T) string {
			dir := plain(t)
			rewriteConfig(t, dir, `"tie_word_embeddings": false`, `"tie_word_embeddings": true`)
			return dir
		}},
		{"head not tied, and none is there", "head", "is not there", `"tie_word_embeddings": true`, func(t *testing.T) string {
			dir := folderOf(t, stored.Of(patient(t, func(c *spec.Config) { c.TieWordEmbeddings = true })), hf.Options{})
			rewriteConfig(t, dir, `"tie_word_embeddings": true`, `"tie_word_embeddings": false`)
			return dir
		}},
		{"transposed", "shapes", "6 matrices are transposed, the first is model.layers.0.mlp.gate_proj.weight", "[out, in]", func(t *testing.T) string {
			dir := plain(t)
			tensorsOf(t, dir, patient(t, nil), func(list []safetensors.Tensor) []safetensors.Tensor {
				for i := range list {
					if strings.Contains(list[i].Name, "mlp.") && len(list[i].Shape) == 2 {
						list[i].Shape = []int{list[i].Shape[1], list[i].Shape[0]}
					}
				}
				return list
			})
			return dir
		}},
		{"tokenizer too large", "tokenizer", "256 tokens, the model 200", "trained with", func(t *testing.T) string {
			return folderOf(t, stored.Of(patient(t, func(c *spec.Config) { c.VocabSize = 200 })), hf.Options{})
		}},
		{"tokenizer too small", "tokenizer", "256 tokens, the model 4000", "trained with", func(t *testing.T) string {
			return folderOf(t, stored.Of(patient(t, func(c *spec.Config) { c.VocabSize = 4000 })), hf.Options{})
		}},
		{"no tokenizer", "tokenizer", "has none", "tokenizer.json", func(t *testing.T) string {
			dir := plain(t)
			fatal(t, os.Remove(filepath.Join(dir, "tokenizer.json")))
			return dir
		}},
		{"tokenizer damaged", "tokenizer", "", "", func(t *testing.T) string {
			return folderOf(t, stored.Of(patient(t, nil)), hf.Options{Side: map[string][]byte{"tokenizer.json": []byte("{")}})
		}},
		{"BOS missing", "bos", "does not put it there", "add_bos_token", func(t *testing.T) string {
			return folderOf(t, stored.Of(patient(t, func(c *spec.Config) { c.BOSTokenID = new(int) })), hf.Options{Side: map[string][]byte{"tokenizer.json": bpeJSON(t)}})
		}},
		{"BOS is another token", "bos", "config.json says token 7", "agree", func(t *testing.T) string {
			id := 7
			return folderOf(t, stored.Of(patient(t, func(c *spec.Config) { c.BOSTokenID = &id })), hf.Options{Side: map[string][]byte{"tokenizer.json": bpeJSON(t)}})
		}},
		{"BOS outside the vocabulary", "bos", "bos_token_id is 999", "correct bos_token_id", func(t *testing.T) string {
			id := 999
			return folderOf(t, stored.Of(patient(t, func(c *spec.Config) { c.BOSTokenID = &id })), hf.Options{})
		}},
		{"shard cut short", "files", "model-00002-of-0000", "copy it again", func(t *testing.T) string {
			dir := folderOf(t, stored.Of(patient(t, nil)), hf.Options{MaxShard: 20000})
			shards, err := filepath.Glob(filepath.Join(dir, "model-00002-of-*.safetensors"))
			if err != nil || len(shards) != 1 {
				t.Fatal(shards, err)
			}
			info, err := os.Stat(shards[0])
			fatal(t, err)
			fatal(t, os.Truncate(shards[0], info.Size()-5))
			return dir
		}},
		{"NaN", "values", "model.norm.weight: value 3 is NaN", "damaged", func(t *testing.T) string {
			w := patient(t, nil)
			w.Get(spec.FinalNormName)[3] = float32(math.NaN())
			dir := plain(t)
			tensorsOf(t, dir, w, func(list []safetensors.Tensor) []safetensors.Tensor { return list })
			return dir
		}},
		{"never loaded", "values", "1 tensors are all zero, the first is model.layers.1.mlp.up_proj.weight", "get the model again", func(t *testing.T) string {
			w := patient(t, nil)
			clear(w.Get("model.layers.1.mlp.up_proj.weight"))
			return folderOf(t, stored.Of(w), hf.Options{})
		}},
		{"configuration damaged", "config", "not JSON", "get it again", func(t *testing.T) string {
			dir := plain(t)
			fatal(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), []byte("{"), 0o600))
			return dir
		}},
		{"no model", "format", "is no model", "name a run folder", func(t *testing.T) string { return t.TempDir() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			checks, err := Doctor(c.make(t))
			fatal(t, err)
			found := false
			for _, check := range checks {
				if check.OK {
					continue
				}
				if check.Name != c.check || !strings.Contains(check.Detail, c.detail) || !strings.Contains(check.Fix, c.fix) || check.Fix == "" {
					t.Errorf("%+v, want %s: %s; %s", check, c.check, c.detail, c.fix)
				}
				found = true
			}
			if found != (c.check != "") || len(checks) == 0 {
				t.Errorf("checks %+v", checks)
			}
		})
	}
}

// fold multiplies the gains of norms into the matrices behind them, and leaves the gains.
func fold(w *spec.Weights) {
	list := stored.Of(w).Tensors
	at := map[string]*stored.Tensor{}
	for i := range list {
		at[list[i].Name] = &list[i]
	}
	for i := range w.Tensors {
		if gain := w.Get(gainOf(w.Tensors[i].Name, at)); gain != nil && len(w.Tensors[i].Shape) == 2 {
			for j := range w.At(i) {
				w.At(i)[j] *= gain[j%len(gain)]
			}
		}
	}
}

// TestDoctorOnTheRealModel: a trained model is well, and is not when its norms have been folded twice.
func TestDoctorOnTheRealModel(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; TestDoctorFinds folds a model of its own")
	}
	m := open(t, filepath.Join(shared, "data", "models", "stories260K", "stories260K.bin"))
	for _, folded := range []bool{false, true} {
		if folded {
			fold(m.Weights)
		}
		checks, err := Doctor(folderOf(t, stored.Of(m.Weights), hf.Options{}))
		fatal(t, err)
		text, err := json.Marshal(checks)
		fatal(t, err)
		for _, check := range checks {
			if check.Name == "norms" && check.OK == folded || check.Name != "norms" && !check.OK {
				t.Errorf("folded %v: %s", folded, text)
			}
		}
	}
}

func TestDoctorRuns(t *testing.T) {
	if _, err := Doctor(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a path that is not there")
	}
	m := open(t, folderOf(t, stored.Of(patient(t, nil)), hf.Options{}))
	out := filepath.Join(t.TempDir(), "p")
	_, err := m.Export(t.Context(), ExportRequest{Format: FormatPacked, Out: out})
	fatal(t, err)
	checks, err := Doctor(out)
	fatal(t, err)
	for _, check := range checks {
		if !check.OK {
			t.Errorf("%+v", check)
		}
	}
	b, err := os.ReadFile(out)
	fatal(t, err)
	b[len(b)-5000] ^= 1
	fatal(t, os.WriteFile(out, b, 0o600))
	checks, err = Doctor(out)
	fatal(t, err)
	if checks[0].OK {
		t.Errorf("a damaged packed file: %+v", checks)
	}
}
