package checkpoints_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/pack"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
)

// inspectable returns weights whose widths leave padding in every direction of a packed matrix, and 16-bit values.
func inspectable(t *testing.T, tied bool) *spec.Weights {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize, c.TieWordEmbeddings = 150, 40, 2, 31, tied
	w, err := spec.NewWeights(c)
	must(t, err)
	w.Init(3)
	for i, v := range w.Flat() {
		w.Flat()[i] = math.Float32frombits(math.Float32bits(v) &^ 0xffff) // fits BF16
	}
	return w
}

// TestInspectCounts compares shares of zeros and scales with those of the codes themselves, in every form of a model.
func TestInspectCounts(t *testing.T) {
	for _, tied := range []bool{false, true} {
		w := inspectable(t, tied)
		dir := t.TempDir()
		m, err := pack.Build(w)
		must(t, err)
		packedPath, wide, narrow := filepath.Join(dir, "p"), filepath.Join(dir, "wide"), filepath.Join(dir, "narrow")
		_, err = packed.Write(durable.OS{}, packedPath, m, packed.Meta{})
		must(t, err)
		_, err = hf.Save(durable.OS{}, wide, w, hf.Options{})
		must(t, err)
		w.Config.Extra = map[string]json.RawMessage{"torch_dtype": json.RawMessage(`"bfloat16"`)}
		_, err = hf.Save(durable.OS{}, narrow, w, hf.Options{})
		must(t, err)

		parameters, _ := spec.Parameters(w.Config)
		for path, bits := range map[string]float64{packedPath: packed.BitsPerWeight(m), wide: 32, narrow: 16} {
			in, err := checkpoints.Inspect(path, true)
			must(t, err)
			if in.Parameters != parameters || in.BitsPerWeight != bits || len(in.Warnings) > 0 || in.Config.HiddenSize != 40 {
				t.Errorf("tied %t, %s: %d parameters, %v bits, %q; want %d, %v", tied, path, in.Parameters, in.BitsPerWeight, in.Warnings, parameters, bits)
			}
			for _, got := range in.Tensors {
				if got.Kind != spec.Ternary {
					if got.Scale != nil || got.ZeroFraction == nil {
						t.Errorf("%s: scale %v, zeros %v", got.Name, got.Scale, got.ZeroFraction)
					}
					continue
				}
				shadow := w.Get(spec.ShadowName(w.Config, got.Name))
				codes := make([]int8, len(shadow))
				scale, err := quant.Ternarize(codes, shadow)
				must(t, err)
				zeros := 0
				for _, c := range codes {
					if c == 0 {
						zeros++
					}
				}
				want := float64(zeros) / float64(len(codes))
				if got.ZeroFraction == nil || *got.ZeroFraction != want || got.Scale == nil || *got.Scale != float64(scale) {
					t.Errorf("tied %t, %s, %s: zeros %v, scale %v; want %v, %v", tied, path, got.Name, got.ZeroFraction, got.Scale, want, scale)
				}
			}
			heads, err := checkpoints.Inspect(path, false)
			must(t, err)
			if heads.Parameters != parameters || heads.Tensors[0].ZeroFraction != nil {
				t.Errorf("heads alone: %d parameters, zeros %v", heads.Parameters, heads.Tensors[0].ZeroFraction)
			}
		}
	}
}

func TestInspectSharded(t *testing.T) {
	w := inspectable(t, false)
	dir := t.TempDir()
	config, err := hf.ConfigJSON(w.Config)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), config, 0o644))
	var lists [2][]safetensors.Tensor
	var index []string
	names := [2]string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
	for i, tensor := range w.Tensors {
		lists[i%2] = append(lists[i%2], safetensors.Float32Tensor(tensor.Name, tensor.Shape, w.At(i), "F32"))
		index = append(index, `"`+tensor.Name+`":"`+names[i%2]+`"`)
	}
	for i, list := range lists {
		f, err := os.Create(filepath.Join(dir, names[i]))
		must(t, err)
		_, err = safetensors.Write(f, list, nil, 0)
		must(t, errors.Join(err, f.Close()))
	}
	must(t, os.WriteFile(filepath.Join(dir, hf.IndexName), []byte(`{"weight_map":{`+strings.Join(index, ",")+`}}`), 0o644))
	in, err := checkpoints.Inspect(dir, true)
	must(t, err)
	for i, got := range in.Tensors {
		if got.Name != w.Tensors[i].Name {
			t.Fatalf("tensor %d is %s, want the order of the configuration: %s", i, got.Name, w.Tensors[i].Name)
		}
	}
	if all, _ := spec.Parameters(w.Config); in.Parameters != all || len(in.Warnings) > 0 {
		t.Errorf("%d parameters, %q", in.Parameters, in.Warnings)
	}
}

func TestInspectDamage(t *testing.T) {
	w := inspectable(t, false)
	dir := t.TempDir()
	m, err := pack.Build(w)
	must(t, err)
	path := filepath.Join(dir, "p")
	_, err = packed.Write(durable.OS{}, path, m, packed.Meta{})
	must(t, err)
	f, err := safetensors.Open(path)
	must(t, err)
	name := spec.Layer(1) + "mlp.down_proj.weight"
	info, _ := f.Info(name)
	at := f.DataStart() + info.Begin + 6
	must(t, f.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	b[at], b[at+1] = 0xff, 0xff
	must(t, os.WriteFile(path, b, 0o644))
	_, err = checkpoints.Inspect(path, true)
	if !errors.Is(err, checkpoints.ErrCheckpoint) || !strings.Contains(err.Error(), name+": word 3 ") {
		t.Errorf("a word that is no code: %v", err)
	}

	w.Get(name)[5] = float32(math.NaN())
	folder := filepath.Join(dir, "h")
	_, err = hf.Save(durable.OS{}, folder, w, hf.Options{})
	must(t, err)
	in, err := checkpoints.Inspect(folder, true)
	must(t, err)
	for _, got := range in.Tensors {
		if got.Kind == spec.Ternary && (got.Scale == nil) != (got.Name == name) {
			t.Errorf("%s: scale %v", got.Name, got.Scale)
		}
	}
}
