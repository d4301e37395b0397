package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/safetensors"
)

func write(t testing.TB, tensors []safetensors.Tensor, metadata map[string]string, align int) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := safetensors.Write(&b, tensors, metadata, align)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("Write says %d bytes, wrote %d", n, b.Len())
	}
	return b.Bytes()
}

// TestBytes pins the bytes: those of the reference's writer for the same tensors.
func TestBytes(t *testing.T) {
	got := write(t, []safetensors.Tensor{
		safetensors.Float32Tensor("w", []int{1, 2}, []float32{1, -2}, dtype.F32),
		safetensors.Float32Tensor(`q"<é`, nil, []float32{1}, dtype.BF16),
	}, map[string]string{"format": "pt"}, 0)
	header := `{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"q\"<é":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	want := file(header, "\x00\x00\x80\x3f\x00\x00\x00\xc0\x80\x3f")
	if !bytes.Equal(got, want) {
		t.Fatalf("got\n%q, want\n%q", got, want)
	}
}

func TestOpen(t *testing.T) {
	values := make([]float32, 100_000) // more than one chunk of the converter
	for i := range values {
		values[i] = float32(i%512) - 256
	}
	words := []uint16{1, 0xffff, 3}
	b := write(t, []safetensors.Tensor{
		safetensors.Float32Tensor("f32", []int{100, 1000}, values, dtype.F32),
		safetensors.Uint16Tensor("u16", []int{3}, words),
		safetensors.Float32Tensor("bf16", []int{100_000}, values, dtype.BF16), // at an odd multiple of 2
		safetensors.Float32Tensor("late", []int{3}, values[:3], dtype.F32),    // not aligned
		safetensors.Float32Tensor("f16", []int{4}, values[:4], dtype.F16),
		{Name: "none", DType: "I64", Shape: []int{0, 5}, Data: func(io.Writer) error { return nil }},
	}, nil, 4096)
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.DataStart()%4096 != 0 || f.Metadata() != nil || len(f.Tensors()) != 6 {
		t.Errorf("data at %d, metadata %v, %d tensors", f.DataStart(), f.Metadata(), len(f.Tensors()))
	}
	for name, n := range map[string]int{"f32": 100_000, "bf16": 100_000, "late": 3, "f16": 4} {
		got, err := f.Float32s(name)
		if err != nil || !slices.Equal(got, values[:n]) {
			t.Errorf("%s: %v, or other values", name, err)
		}
		dst := make([]float32, n)
		if err := f.ReadFloat32(name, dst); err != nil || !slices.Equal(dst, values[:n]) {
			t.Errorf("ReadFloat32 %s: %v, or other values", name, err)
		}
	}
	if got, err := f.Uint16s("u16"); err != nil || !slices.Equal(got, words) {
		t.Errorf("u16: %v %v", got, err)
	}
	for _, err := range []error{
		second(f.Float32s("u16")), second(f.Float32s("absent")), second(f.Uint16s("f32")), second(f.Float32s("none")),
		f.ReadFloat32("late", make([]float32, 2)),
	} {
		var fe *format.Error
		if !errors.As(err, &fe) || fe.File != path || fe.Tensor == "" {
			t.Errorf("error %v", err)
		}
	}
	if info, ok := f.Info("f32"); !ok || info.Elements() != 100_000 || info.DType != dtype.F32 {
		t.Errorf("Info: %v %v", info, ok)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil || f.Bytes("f32") != nil {
		t.Errorf("Close: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := safetensors.Open(filepath.Join(dir, "absent"))
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, format.ErrFormat) || strings.Count(err.Error(), "absent") != 1 {
		t.Errorf("absent file: %v", err)
	}
	if _, err := safetensors.Open(dir); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("folder: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := safetensors.Open(empty); !errors.Is(err, format.ErrFormat) {
		t.Errorf("empty file: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	x := safetensors.Float32Tensor("x", []int{1}, []float32{1}, dtype.F32)
	with := func(change func(*safetensors.Tensor)) safetensors.Tensor { y := x; change(&y); return y }
	for name, c := range map[string]struct {
		tensors  []safetensors.Tensor
		metadata map[string]string
	}{
		"twice":         {tensors: []safetensors.Tensor{x, x}},
		"reserved name": {tensors: []safetensors.Tensor{with(func(y *safetensors.Tensor) { y.Name = "__metadata__" })}},
		"name not text": {tensors: []safetensors.Tensor{with(func(y *safetensors.Tensor) { y.Name = "\xff" })}},
		"type":          {tensors: []safetensors.Tensor{with(func(y *safetensors.Tensor) { y.DType = "F33" })}},
		"negative":      {tensors: []safetensors.Tensor{with(func(y *safetensors.Tensor) { y.Shape = []int{-1} })}},
		"overflow":      {tensors: []safetensors.Tensor{with(func(y *safetensors.Tensor) { y.Shape = []int{1 << 62, 16} })}},
		"too few bytes": {tensors: []safetensors.Tensor{with(func(y *safetensors.Tensor) { y.Shape = []int{2} })}},
		"metadata":      {metadata: map[string]string{"a": "\xff"}},
		"header size":   {metadata: map[string]string{"a": strings.Repeat("x", 100_000_000)}},
	} {
		if _, err := safetensors.Write(io.Discard, c.tensors, c.metadata, 0); !errors.Is(err, format.ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestRoundTrip writes and reads arbitrary tensors and metadata.
func TestRoundTrip(t *testing.T) {
	types := []dtype.Type{"BOOL", "I16", "C64", dtype.F32, dtype.BF16, "F64"}
	rapid.Check(t, func(t *rapid.T) {
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")
		names := rapid.SliceOfNDistinct(rapid.String().Filter(func(s string) bool { return s != "__metadata__" }), 0, 6, rapid.ID[string]).Draw(t, "names")
		var tensors []safetensors.Tensor
		content := map[string][]byte{}
		for _, name := range names {
			x := safetensors.Tensor{Name: name, DType: rapid.SampledFrom(types).Draw(t, "type"), Shape: rapid.SliceOfN(rapid.IntRange(0, 3), 0, 3).Draw(t, "shape")}
			b := rapid.SliceOfN(rapid.Byte(), int(x.Bytes()), int(x.Bytes())).Draw(t, "data")
			x.Data = func(w io.Writer) error { _, err := w.Write(b); return err }
			content[name] = b
			tensors = append(tensors, x)
		}
		align := rapid.SampledFrom([]int{0, 1, 64, 4096}).Draw(t, "align")
		var out, again bytes.Buffer
		if _, err := safetensors.Write(&out, tensors, metadata, align); err != nil {
			t.Fatal(err)
		}
		if _, err := safetensors.Write(&again, tensors, maps.Clone(metadata), align); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Fatal("the same tensors gave other bytes", err)
		}
		f, err := safetensors.Parse("F", out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if align > 0 && f.DataStart()%int64(align) != 0 || !maps.Equal(f.Metadata(), metadata) || len(f.Tensors()) != len(tensors) {
			t.Fatalf("data at %d, metadata %q, %d tensors", f.DataStart(), f.Metadata(), len(f.Tensors()))
		}
		for _, x := range tensors {
			info, ok := f.Info(x.Name)
			if !ok || info.DType != x.DType || !slices.Equal(info.Shape, x.Shape) || !bytes.Equal(f.Bytes(x.Name), content[x.Name]) {
				t.Fatalf("%q came back as %v", x.Name, info)
			}
		}
	})
}

// TestUnalignedCopy reads words and floats from every offset modulo 8.
func TestUnalignedCopy(t *testing.T) {
	b := write(t, []safetensors.Tensor{
		safetensors.Float32Tensor("f", []int{2}, []float32{1.5, float32(math.Inf(1))}, dtype.F32),
		safetensors.Uint16Tensor("u", []int{2}, []uint16{7, 9}),
	}, nil, 0)
	for shift := range 8 {
		f, err := safetensors.Parse("F", append(make([]byte, shift, shift+len(b)), b...)[shift:])
		if err != nil {
			t.Fatal(err)
		}
		v, err1 := f.Float32s("f")
		u, err2 := f.Uint16s("u")
		if err1 != nil || err2 != nil || v[0] != 1.5 || !math.IsInf(float64(v[1]), 1) || u[0] != 7 || u[1] != 9 {
			t.Fatalf("shift %d: %v %v %v %v", shift, v, u, err1, err2)
		}
		if raw := f.Bytes("u"); binary.LittleEndian.Uint16(raw) != 7 {
			t.Fatalf("shift %d: bytes % x", shift, raw)
		}
	}
}

// TestForeignFilesComeBack takes files of other programs apart and writes them again: the same bytes.
func TestForeignFilesComeBack(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; TestBytes pins the bytes of a small file")
	}
	files := 0
	for _, pattern := range []string{"data/models/*/*.safetensors", "data/models/*/*/*.safetensors", "goldens/*.safetensors"} {
		paths, err := filepath.Glob(filepath.Join(shared, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			files++
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := safetensors.Parse(path, want)
			if err != nil {
				t.Error(err)
				continue
			}
			var tensors []safetensors.Tensor
			for _, i := range f.Tensors() {
				b := f.Bytes(i.Name)
				tensors = append(tensors, safetensors.Tensor{Name: i.Name, DType: i.DType, Shape: i.Shape, Data: func(w io.Writer) error { _, err := w.Write(b); return err }})
			}
			if got := write(t, tensors, f.Metadata(), 0); !bytes.Equal(got, want) {
				t.Errorf("%s came back with other bytes", path)
			}
		}
	}
	if files == 0 {
		t.Error("no files found")
	}
}
