package hf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/spec"
)

const configText = `{
  "architectures": ["HGRNBitForCausalLM"], "model_type": "hgrn_bit", "vocab_size": 11, "hidden_size": 8,
  "num_hidden_layers": 2, "intermediate_size": 12, "num_heads": 2, "use_cache": true, "hidden_act": "swish",
  "torch_dtype": %q, "transformers_version": "4.40.1", "x": {"nested": [1, 2.50, "<é>"], "big": 12345678901234567890}
}`

// model returns small weights whose values fit typ.
func model(t testing.TB, typ dtype.Type, torchDType string) *spec.Weights {
	t.Helper()
	var c spec.Config
	must(t, json.Unmarshal(fmt.Appendf(nil, configText, torchDType), &c))
	w, err := spec.NewWeights(c)
	must(t, err)
	w.Init(7)
	for i := range w.Tensors {
		v := w.At(i)
		b := make([]byte, len(v)*typ.Bits()/8)
		must(t, dtype.Encode(b, v, typ))
		must(t, dtype.Decode(v, b, typ))
	}
	return w
}

// writeFolder makes a folder as a foreign program would: the given shards of tensors, in typ.
func writeFolder(t testing.TB, w *spec.Weights, typ dtype.Type, torchDType string, shards int) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), fmt.Appendf(nil, configText, torchDType), 0o644))
	for _, name := range []string{"tokenizer.json", "generation_config.json", "merges.txt"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("{ \"of\": \""+name+"\" }\n"), 0o644))
	}
	weightMap := map[string]string{}
	parts := make([][]safetensors.Tensor, shards)
	for i := range w.Tensors {
		s := i % shards
		parts[s] = append(parts[s], safetensors.Float32Tensor(w.Tensors[i].Name, w.Tensors[i].Shape, w.At(i), typ))
		weightMap[w.Tensors[i].Name] = fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, shards)
	}
	for s := range parts {
		name := hf.ModelName
		if shards > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", s+1, shards)
		}
		put(t, dir, name, parts[s])
	}
	if shards > 1 {
		putIndex(t, dir, weightMap)
	}
	return dir
}

func put(t testing.TB, dir, name string, tensors []safetensors.Tensor) {
	t.Helper()
	var b bytes.Buffer
	_, err := safetensors.Write(&b, tensors, map[string]string{"format": "pt"}, 0)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
}

func putIndex(t testing.TB, dir string, weightMap map[string]string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": weightMap})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, hf.IndexName), b, 0o644))
}

// TestInAndOut reads folders of each type, whole and sharded, writes them, and compares every byte that has a meaning.
func TestInAndOut(t *testing.T) {
	for _, typ := range []struct {
		t     dtype.Type
		torch string
	}{{dtype.F32, "float32"}, {dtype.BF16, "bfloat16"}, {dtype.F16, "float16"}, {dtype.BF16, "float32"}} {
		for _, shards := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s as %s in %d", typ.t, typ.torch, shards), func(t *testing.T) {
				w := model(t, typ.t, typ.torch)
				in := writeFolder(t, w, typ.t, typ.torch, shards)
				got, info, err := hf.Load(in)
				must(t, err)
				if len(info.Warnings) != 0 || !slices.Equal(bits(got.Flat()), bits(w.Flat())) {
					t.Fatalf("warnings %v, or other values", info.Warnings)
				}
				out := filepath.Join(t.TempDir(), "out")
				warnings, err := hf.Save(durable.OS{}, out, got, hf.Options{Types: info.Types, Side: info.Side})
				must(t, err)
				if len(warnings) != 0 {
					t.Errorf("warnings %q", warnings)
				}
				sameTensors(t, in, out)
				for _, name := range []string{"tokenizer.json", "generation_config.json", "merges.txt"} {
					if !bytes.Equal(read(t, in, name), read(t, out, name)) {
						t.Errorf("%s differs", name)
					}
				}
				var a, b map[string]any
				unmarshal(t, read(t, in, hf.ConfigName), &a)
				unmarshal(t, read(t, out, hf.ConfigName), &b)
				for key := range a {
					if d := cmp.Diff(a[key], b[key]); d != "" {
						t.Errorf("config field %s: %s", key, d)
					}
				}
				if !bytes.Contains(read(t, out, hf.ConfigName), []byte("12345678901234567890")) {
					t.Error("a large number was rounded")
				}
				// Once in our order, a folder comes out byte for byte.
				got, info, err = hf.Load(out)
				must(t, err)
				again := filepath.Join(t.TempDir(), "again")
				if _, err := hf.Save(durable.OS{}, again, got, hf.Options{Types: info.Types, Side: info.Side}); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{hf.ConfigName, hf.ModelName} {
					if !bytes.Equal(read(t, out, name), read(t, again, name)) {
						t.Errorf("%s differs the second time", name)
					}
				}
			})
		}
	}
}

func unmarshal(t *testing.T, b []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	must(t, d.Decode(v))
}

// sameTensors compares type, shape and bytes of all tensors of two folders.
func sameTensors(t *testing.T, a, b string) {
	t.Helper()
	x, y := tensors(t, a), tensors(t, b)
	if d := cmp.Diff(x, y); d != "" {
		t.Fatalf("tensors differ: %.2000s", d)
	}
}

func tensors(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	must(t, err)
	for _, p := range paths {
		f, err := safetensors.Open(p)
		must(t, err)
		for _, i := range f.Tensors() {
			out[i.Name] = fmt.Sprintf("%s %v %x", i.DType, i.Shape, f.Bytes(i.Name))
		}
		must(t, f.Close())
	}
	return out
}

func TestChangedWeightsAreNotRounded(t *testing.T) {
	w := model(t, dtype.BF16, "bfloat16")
	w.Get(spec.FinalNormName)[0] = 1 + 0x1p-20
	out := filepath.Join(t.TempDir(), "out")
	warnings, err := hf.Save(durable.OS{}, out, w, hf.Options{})
	must(t, err)
	if len(warnings) != 1 || !strings.Contains(warnings[0], spec.FinalNormName) {
		t.Errorf("warnings %q", warnings)
	}
	got, info, err := hf.Load(out)
	must(t, err)
	if !slices.Equal(bits(got.Flat()), bits(w.Flat())) || info.Types[spec.FinalNormName] != dtype.F32 || info.Types[spec.HeadName] != dtype.BF16 {
		t.Error("values or types are not as expected")
	}
	if s := string(got.Config.Extra["torch_dtype"]); s != `"float32"` {
		t.Errorf("torch_dtype is %s", s)
	}
	if s := string(w.Config.Extra["torch_dtype"]); s != `"bfloat16"` {
		t.Errorf("the caller's configuration was changed: %s", s)
	}
}

func TestUnexpectedTensorIsAWarning(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	dir := writeFolder(t, w, dtype.F32, "float32", 1)
	put(t, dir, hf.ModelName, append(all(w), safetensors.Float32Tensor("more", nil, []float32{1}, dtype.F32)))
	_, info, err := hf.Load(dir)
	must(t, err)
	if len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], `"more"`) {
		t.Errorf("warnings %q", info.Warnings)
	}
}

func all(w *spec.Weights) (list []safetensors.Tensor) {
	for i := range w.Tensors {
		list = append(list, safetensors.Float32Tensor(w.Tensors[i].Name, w.Tensors[i].Shape, w.At(i), dtype.F32))
	}
	return list
}

func TestRefusals(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	for _, c := range []struct {
		name   string
		shards int
		spoil  func(dir string)
		class  error
		want   []string
	}{
		{"no folder", 1, func(dir string) { must(t, os.RemoveAll(dir)) }, fs.ErrNotExist, []string{"config.json"}},
		{"no config", 1, func(dir string) { must(t, os.Remove(filepath.Join(dir, "config.json"))) }, hf.ErrFolder, []string{"config.json", "no such file"}},
		{"config not JSON", 1, func(dir string) { must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o644)) }, hf.ErrFolder, []string{"not JSON"}},
		{"config of another model", 1, func(dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type":"gpt2"}`), 0o644))
		}, spec.ErrConfig, []string{"config.json", "gpt2"}},
		{"config of a giant", 1, func(dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type":"hgrn_bit","vocab_size":16777216,"hidden_size":131072,"intermediate_size":131072,"num_hidden_layers":4096}`), 0o644))
		}, hf.ErrFolder, []string{"missing", "and"}},
		{"no weights", 1, func(dir string) { must(t, os.Remove(filepath.Join(dir, hf.ModelName))) }, hf.ErrFolder, []string{hf.ModelName, hf.IndexName}},
		{"only pytorch_model.bin", 1, func(dir string) {
			must(t, os.Rename(filepath.Join(dir, hf.ModelName), filepath.Join(dir, "pytorch_model.bin")))
		}, format.ErrFormat, []string{"pytorch_model.bin", "no archive of PyTorch"}},
		{"weights cut", 1, func(dir string) { must(t, os.Truncate(filepath.Join(dir, hf.ModelName), 4000)) }, format.ErrFormat, []string{hf.ModelName}},
		{"tensors missing", 1, func(dir string) { put(t, dir, hf.ModelName, all(w)[3:]) }, hf.ErrFolder, []string{"3 missing tensors: model.embeddings.weight, model.lower_bounds,"}},
		{"tensors misshapen", 1, func(dir string) {
			list := all(w)
			list[0].Shape = []int{8, 11}
			put(t, dir, hf.ModelName, list)
		}, hf.ErrFolder, []string{"model.embeddings.weight is [8 11], not [11 8]"}},
		{"type", 1, func(dir string) {
			list := all(w)
			list[0].DType = "I32"
			put(t, dir, hf.ModelName, list)
		}, hf.ErrFolder, []string{"model.embeddings.weight has dtype I32"}},
		{"index leads outside", 2, func(dir string) { putIndex(t, dir, map[string]string{"a": "../x.safetensors"}) }, hf.ErrFolder, []string{"not a file of this folder"}},
		{"index leads to a device", 2, func(dir string) { putIndex(t, dir, map[string]string{"a": "/dev/zero"}) }, hf.ErrFolder, []string{"not a file of this folder"}},
		{"index is false", 2, func(dir string) {
			putIndex(t, dir, map[string]string{"a": "model-00001-of-00002.safetensors"})
		}, hf.ErrFolder, []string{"does not hold it"}},
		{"index empty", 2, func(dir string) { putIndex(t, dir, nil) }, hf.ErrFolder, []string{"no tensors"}},
		{"index not JSON", 2, func(dir string) { must(t, os.WriteFile(filepath.Join(dir, hf.IndexName), nil, 0o644)) }, hf.ErrFolder, []string{"not an index"}},
		{"shard missing", 2, func(dir string) {
			must(t, os.Remove(filepath.Join(dir, "model-00002-of-00002.safetensors")))
		}, format.ErrFormat, []string{"model-00002-of-00002.safetensors"}},
	} {
		dir := writeFolder(t, w, dtype.F32, "float32", c.shards)
		c.spoil(dir)
		_, _, err := hf.Load(dir)
		if !errors.Is(err, c.class) {
			t.Errorf("%s: got %v", c.name, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", c.name, err, part)
			}
		}
		var h interface{ Hint() string }
		if !errors.As(err, &h) || h.Hint() == "" {
			t.Errorf("%s: no hint", c.name)
		}
	}
}

func TestSaveRefusesAndReplaces(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "mine"), nil, 0o644))
	if _, err := hf.Save(durable.OS{}, dir, w, hf.Options{}); !errors.Is(err, fs.ErrExist) || !errors.Is(err, durable.ErrWrite) {
		t.Errorf("existing folder: %v", err)
	}
	if _, err := hf.Save(durable.OS{}, dir, w, hf.Options{Side: map[string][]byte{"../x": nil}, Replace: true}); !errors.Is(err, hf.ErrFolder) {
		t.Errorf("side file outside: %v", err)
	}
	if _, err := hf.Save(durable.OS{}, dir, w, hf.Options{Replace: true}); err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(listing(t, dir)))
	if !slices.Equal(names, []string{"config.json", "mine", "model.safetensors"}) {
		t.Errorf("folder holds %v", names)
	}
}

// TestReplaceIsWhole fails every call of a Save over another model in shards: the folder holds the former model or the new
// one, never parts of both, and the user's own file in either case.
func TestReplaceIsWhole(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		for n := 1; ; n++ {
			parent := t.TempDir()
			dir := filepath.Join(parent, "m")
			must(t, os.Mkdir(dir, 0o755))
			for name, text := range map[string]string{"mine": "my notes", "config.json": "{}", "model.safetensors.index.json": "{}", "model-00001-of-00001.safetensors": "old"} {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
			}
			fsys := &faults.FS{FailAt: n, Mode: mode, Seed: uint64(n % 3)} // 0: nothing unsynced is left
			_, err := hf.Save(fsys, dir, w, hf.Options{Replace: true})
			must(t, fsys.Crash())
			must(t, durable.CleanTempsOf(durable.OS{}, dir))
			names := slices.Sorted(maps.Keys(listing(t, dir)))
			switch {
			case slices.Equal(names, []string{"config.json", "mine", "model-00001-of-00001.safetensors", "model.safetensors.index.json"}):
				if err == nil {
					t.Fatalf("mode %d, call %d: no error, and the former model", mode, n)
				}
			case slices.Equal(names, []string{"config.json", "mine", "model.safetensors"}):
				if got, _, err := hf.Load(dir); err != nil || !slices.Equal(bits(got.Flat()), bits(w.Flat())) {
					t.Fatalf("mode %d, call %d: the new model is damaged: %v", mode, n, err)
				}
			default:
				t.Fatalf("mode %d, call %d: folder holds %v", mode, n, names)
			}
			if text, err := os.ReadFile(filepath.Join(dir, "mine")); err != nil || string(text) != "my notes" {
				t.Fatalf("mode %d, call %d: the user's file holds %q, %v", mode, n, text, err)
			}
			if left := listing(t, parent); len(left) != 1 {
				t.Fatalf("mode %d, call %d: beside the folder lies %v", mode, n, left)
			}
			if fsys.Calls < n {
				break
			}
		}
	}
}

func listing(t *testing.T, dir string) map[string]bool {
	entries, err := os.ReadDir(dir)
	must(t, err)
	out := map[string]bool{}
	for _, e := range entries {
		out[e.Name()] = true
	}
	return out
}

// TestSaveFaults fails every call of a Save: the folder is absent or whole.
func TestSaveFaults(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			fsys := &faults.FS{FailAt: n, Mode: mode, Seed: uint64(n % 3)} // 0: nothing unsynced is left
			_, err := hf.Save(fsys, out, w, hf.Options{Side: map[string][]byte{"tokenizer.json": []byte("{}")}})
			must(t, fsys.Crash())
			must(t, durable.CleanTemps(durable.OS{}, dir))
			if _, serr := os.Stat(out); serr == nil {
				if got, _, lerr := hf.Load(out); lerr != nil || !slices.Equal(bits(got.Flat()), bits(w.Flat())) {
					t.Fatalf("mode %d, call %d: folder is there but %v", mode, n, lerr)
				}
			} else if err == nil {
				t.Fatalf("mode %d, call %d: no error and no folder", mode, n)
			}
			if fsys.Calls < n {
				break
			}
		}
	}
}

func bits(v []float32) []uint32 {
	out := make([]uint32, len(v))
	for i := range v {
		out[i] = math.Float32bits(v[i])
	}
	return out
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
