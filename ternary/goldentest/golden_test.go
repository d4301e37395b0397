package goldentest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestEveryGoldenLoads(t *testing.T) {
	for _, name := range Names("") {
		t.Run(name, func(t *testing.T) {
			g := Load(t, name)
			if g.Kind == "" {
				t.Error("no kind")
			}
			for _, tensor := range g.Tensors("output", "grad") {
				if m := g.Meta(tensor); !(m.Atol > 0) && g.Raw()[tensor+"_atol_per_step"] == nil {
					t.Errorf("%s: atol %v", tensor, m.Atol)
				}
			}
		})
	}
}

func TestEnvironmentReplacesTheFiles(t *testing.T) {
	folder := t.TempDir()
	header := `{"y":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"q":{"dtype":"I8","shape":[2],"data_offsets":[16,18]}}`
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	file = append(file, header...)
	for _, v := range []float32{1, 2, 3, 4} {
		file = binary.LittleEndian.AppendUint32(file, math.Float32bits(v))
	}
	file = append(file, 0xff, 7)
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("op_x.safetensors", file)
	write("op_x.json", []byte(`{"kind":"op","config":{"eps":0.5},"tensors":{
		"y":{"role":"output","dtype":"F32","shape":[2,2],"atol":0.1},"q":{"role":"codes","dtype":"I8","shape":[2]}}}`))
	t.Setenv(Environment, folder)
	if names := Names("op"); len(names) != 1 || names[0] != "op_x" {
		t.Fatalf("names %v", names)
	}
	g := Load(t, "op_x")
	g.CheckOutput(t, "y", []float32{1.05, 2, 3, 3.95})
	g.CheckCodes(t, "q", []int8{-1, 7})
	nan := float32(math.NaN())
	for _, bad := range [][]float32{{1, 2, 3}, {1, 2, 3.2, 4}, {nan, 2, 3, 4}} {
		var fails recorder
		g.CheckOutput(&fails, "y", bad)
		if fails.message == "" {
			t.Errorf("%v passed", bad)
		}
	}
	var fails recorder
	g.CheckCodes(&fails, "q", []int8{-1, 8})
	if want := "golden op_x: q: 1 of 2 codes differ; first at [1]: got 8, want 7"; fails.message != want {
		t.Errorf("got %q, want %q", fails.message, want)
	}
}

// recorder stands in for a test that is expected to fail.
type recorder struct {
	testing.TB
	message string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.message = fmt.Sprintf(format, args...) }
