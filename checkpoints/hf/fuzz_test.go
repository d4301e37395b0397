package hf_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/hf"
	"mmfree/ternary/spec"
)

// FuzzLoad reads folders of true shards under any configuration and index.
func FuzzLoad(f *testing.F) {
	w := model(f, dtype.F32, "float32")
	dir := writeFolder(f, w, dtype.F32, "float32", 2)
	config := fmt.Appendf(nil, configText, "float32")
	index, err := os.ReadFile(filepath.Join(dir, hf.IndexName))
	must(f, err)
	f.Add(config, index)
	f.Add([]byte(`{"model_type":"hgrn_bit","num_hidden_layers":4096,"hidden_size":132103}`), index)
	f.Add([]byte(`{"model_type":"hgrn_bit","hidden_ratio":1e9}`), []byte(`{"weight_map":{"a":"../b"}}`))
	f.Add([]byte(`null`), []byte(`{"weight_map":{"a":"model-00001-of-00002.safetensors"}}`))
	f.Fuzz(func(t *testing.T, config, index []byte) {
		must(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), config, 0o644))
		must(t, os.WriteFile(filepath.Join(dir, hf.IndexName), index, 0o644))
		w, _, err := hf.Load(dir)
		if err == nil && len(w.Flat()) > 1<<20 {
			t.Fatal("more values than the files hold")
		}
		if err != nil && !errors.Is(err, hf.ErrFolder) && !errors.Is(err, spec.ErrConfig) && !errors.Is(err, format.ErrFormat) {
			t.Fatalf("error of no class: %v", err)
		}
	})
}
