package train

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints"
	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// smallFolder writes a Hugging Face folder whose matrices are BF16 and whose gains are F32.
func smallFolder(t *testing.T) (dir string, w *spec.Weights) {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 40, 24, 1, 20
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(5)
	types := map[string]dtype.Type{}
	for i := range w.Tensors {
		types[w.Tensors[i].Name] = dtype.F32
		if len(w.Tensors[i].Shape) == 2 {
			types[w.Tensors[i].Name] = dtype.BF16
			for j, v := range w.At(i) {
				w.At(i)[j] = math.Float32frombits(math.Float32bits(v) &^ 0xffff)
			}
		}
	}
	dir = filepath.Join(t.TempDir(), "h")
	side := map[string][]byte{"special_tokens_map.json": []byte(`{"x":1}`)}
	if _, err := hf.Save(durable.OS{}, dir, w, hf.Options{Types: types, Side: side}); err != nil {
		t.Fatal(err)
	}
	return dir, w
}

func open(t *testing.T, path string) *Model {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestImportKeepsBits imports a folder of mixed types: every file comes out as it was.
func TestImportKeepsBits(t *testing.T) {
	dir, _ := smallFolder(t)
	out := filepath.Join(t.TempDir(), "i")
	e, err := open(t, dir).Import(t.Context(), ExportRequest{Out: out})
	if err != nil || e.Format != "hf" || e.BitsPerWeight != 16 || len(e.Warnings) > 0 || e.ScaleConvention != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	for _, name := range []string{hf.ConfigName, hf.ModelName, "special_tokens_map.json"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
}

func TestLogitsLimit(t *testing.T) {
	dir, _ := smallFolder(t)
	row := make([]int32, 1<<20)
	rows := make([][]int32, 1<<10)
	for i := range rows {
		rows[i] = row
	}
	out := filepath.Join(t.TempDir(), "l")
	_, err := open(t, dir).Logits(t.Context(), LogitsRequest{Path: PathPacked, IDs: rows, Source: "f.json", Out: out, Prefill: -1})
	if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "f.json: 1024 x 1048576 tokens give 40 logits each") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was begun")
	}
}

// TestLogitsNLL compares the loss that Logits reports with a plain computation from the logits it wrote.
func TestLogitsNLL(t *testing.T) {
	dir, _ := smallFolder(t)
	pool := par.New(1)
	defer pool.Close()
	ids := [][]int32{RandomIDs(300, 40, 1), RandomIDs(300, 40, 2)} // more than one chunk
	out := filepath.Join(t.TempDir(), "l")
	for _, path := range []string{PathPacked, PathTraining} {
		r, err := open(t, dir).Logits(t.Context(), LogitsRequest{
			Path: path, IDs: ids, Source: "ids", Out: out, Prefill: 270, Machine: Machine{Set: kernel.Generic(), Pool: pool},
		})
		if err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := f.Float32s("logits")
		if err != nil {
			t.Fatal(err)
		}
		var want float64
		for b, row := range ids {
			for at, next := range row[1:] {
				values := logits[(b*len(row)+at)*40:][:40]
				var sum float64
				for _, v := range values {
					sum += math.Exp(float64(v))
				}
				want += math.Log(sum) - float64(values[next])
			}
		}
		want /= float64(2 * 299)
		// Exponentials are summed in float32 there: 40 terms, each rounded once, and one logarithm.
		if math.Abs(r.NLL-want) > 1e-5 {
			t.Errorf("%s: loss %v, want %v", path, r.NLL, want)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNaNWeights are a fault of the folder, named by tensor, for whatever the model is used for.
func TestNaNWeights(t *testing.T) {
	_, w := smallFolder(t)
	w.Get(spec.FinalNormName)[3] = float32(math.NaN())
	dir := filepath.Join(t.TempDir(), "n")
	if _, err := hf.Save(durable.OS{}, dir, w, hf.Options{}); err != nil {
		t.Fatal(err)
	}
	m := open(t, dir)
	_, packed := m.Packed()
	_, session := m.Session(Machine{})
	for _, err := range []error{packed, session} {
		if !errors.Is(err, checkpoints.ErrCheckpoint) || !strings.Contains(err.Error(), spec.FinalNormName) {
			t.Errorf("error %v", err)
		}
	}
}
