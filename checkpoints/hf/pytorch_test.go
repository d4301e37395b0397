package hf_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/hf"
	"mmfree/ternary/spec"
)

// torchFile is what torch.save writes of some tensors of w, as float32.
func torchFile(t testing.TB, w *spec.Weights, names []string) []byte {
	t.Helper()
	var b, p bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte) {
		e, err := z.CreateHeader(&zip.FileHeader{Name: "m/" + name, Method: zip.Store})
		must(t, err)
		_, err = e.Write(data)
		must(t, err)
	}
	text := func(s string) string { return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s }
	number := func(n int) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
	p.WriteString("\x80\x02}(")
	for i, name := range names {
		v := w.Get(name)
		data := make([]byte, 4*len(v))
		must(t, dtype.Encode(data, v, dtype.F32))
		put(fmt.Sprintf("data/%d", i), data)
		at, _ := w.Index(name)
		shape := w.Tensors[at].Shape
		sizes, strides, step := "", "", 1
		for k := len(shape) - 1; k >= 0; k-- {
			sizes, strides = number(shape[k])+sizes, number(step)+strides
			step *= shape[k]
		}
		p.WriteString(text(name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\nFloatStorage\n" + text(fmt.Sprint(i)) +
			text("cpu") + number(len(v)) + "tQ" + number(0) + "(" + sizes + "t(" + strides + "t\x89ccollections\nOrderedDict\n)RtR")
	}
	p.WriteString("u.")
	put("data.pkl", p.Bytes())
	must(t, z.Close())
	return b.Bytes()
}

// TestPyTorch reads pytorch_model.bin, whole and in shards.
func TestPyTorch(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	var names []string
	for i := range w.Tensors {
		names = append(names, w.Tensors[i].Name)
	}
	for _, shards := range []int{1, 2} {
		dir := writeFolder(t, w, dtype.F32, "float32", 1)
		must(t, os.Remove(filepath.Join(dir, hf.ModelName)))
		weightMap := map[string]string{}
		for n := range shards {
			part := names[n*len(names)/shards : (n+1)*len(names)/shards]
			file := fmt.Sprintf("pytorch_model-%05d-of-%05d.bin", n+1, shards)
			if shards == 1 {
				file = "pytorch_model.bin"
			}
			for _, name := range part {
				weightMap[name] = file
			}
			must(t, os.WriteFile(filepath.Join(dir, file), torchFile(t, w, part), 0o644))
		}
		if shards > 1 {
			text, err := json.Marshal(map[string]any{"weight_map": weightMap})
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "pytorch_model.bin.index.json"), text, 0o644))
		}
		got, info, err := hf.Load(dir)
		must(t, err)
		if len(info.Warnings) > 0 || !slices.Equal(bits(got.Flat()), bits(w.Flat())) {
			t.Errorf("%d shards: other values, warnings %q", shards, info.Warnings)
		}
		if shards > 1 {
			must(t, os.Truncate(filepath.Join(dir, "pytorch_model-00002-of-00002.bin"), 200))
			if _, _, err := hf.Load(dir); err == nil || !strings.Contains(err.Error(), "pytorch_model-00002-of-00002.bin: is no whole archive") {
				t.Errorf("a shard cut short: %v", err)
			}
		}
	}
}
