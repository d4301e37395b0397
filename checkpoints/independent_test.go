package checkpoints_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// plainTensor is a tensor as readPlainly finds it.
type plainTensor struct {
	DType   string   `json:"dtype"`
	Shape   []uint64 `json:"shape"`
	Offsets []uint64 `json:"data_offsets"`
	bytes   []byte
}

// readPlainly reads a safetensors file by the format's text alone and shares nothing with the package that writes it: 8 bytes,
// an unsigned little-endian number N; N bytes of JSON that begin with "{" and may be filled up with spaces; the rest is one
// buffer, into which data_offsets point. Tensors cover the buffer without holes; values are little-endian, rows one after
// another; no tensor is named twice. docs/FORMATS.md has the same in Python.
func readPlainly(path string) (map[string]plainTensor, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(file) < 8 {
		return nil, fmt.Errorf("%d bytes", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if n > uint64(len(file)-8) || n > 100_000_000 || file[8] != '{' {
		return nil, fmt.Errorf("a header of %d bytes that begins with %q", n, file[8])
	}
	text, buffer := file[8:8+n], file[8+n:]
	if strings.Count(string(text), "\n") > 0 || strings.TrimRight(string(text), " ") != strings.TrimSpace(string(text)) {
		return nil, fmt.Errorf("a header filled up with something else than spaces")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	if raw, ok := fields["__metadata__"]; ok {
		var metadata map[string]string // texts alone
		if err := json.Unmarshal(raw, &metadata); err != nil {
			return nil, err
		}
		delete(fields, "__metadata__")
	}
	size := map[string]uint64{"F32": 4, "F16": 2, "BF16": 2, "U16": 2, "U8": 1, "I8": 1, "I32": 4, "I64": 8, "F64": 8, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}
	out := map[string]plainTensor{}
	var order []plainTensor
	for name, raw := range fields {
		var t plainTensor
		if err := json.Unmarshal(raw, &t); err != nil || len(t.Offsets) != 2 || size[t.DType] == 0 {
			return nil, fmt.Errorf("%s: %s, %v", name, raw, err)
		}
		elements := uint64(1)
		for _, s := range t.Shape {
			elements *= s
		}
		if t.Offsets[1] > uint64(len(buffer)) || t.Offsets[1]-t.Offsets[0] != elements*size[t.DType] {
			return nil, fmt.Errorf("%s: %d values of %s at %v", name, elements, t.DType, t.Offsets)
		}
		t.bytes = buffer[t.Offsets[0]:t.Offsets[1]]
		out[name] = t
		order = append(order, t)
	}
	sort.Slice(order, func(i, j int) bool {
		if order[i].Offsets[0] == order[j].Offsets[0] {
			return order[i].Offsets[1] < order[j].Offsets[1]
		}
		return order[i].Offsets[0] < order[j].Offsets[0]
	})
	end := uint64(0)
	for _, t := range order {
		if t.Offsets[0] != end {
			return nil, fmt.Errorf("a hole or an overlap at %d", end)
		}
		end = t.Offsets[1]
	}
	if end != uint64(len(buffer)) {
		return nil, fmt.Errorf("%d bytes behind the last tensor", uint64(len(buffer))-end)
	}
	return out, nil
}

// value returns value i of a float tensor by the definition of its type.
func (t *plainTensor) value(i int) float64 {
	switch t.DType {
	case "F32":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(t.bytes[4*i:])))
	case "BF16": // the upper half of an F32
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.bytes[2*i:])) << 16))
	case "F16":
		h := binary.LittleEndian.Uint16(t.bytes[2*i:])
		sign, exp, man := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
		if exp == 0 {
			return sign * math.Ldexp(man, -24)
		}
		return sign * math.Ldexp(1024+man, exp-25)
	}
	return math.NaN()
}

// TestIndependentReader reads every kind of file that is written here, and the real ones of the shared data, with a reader of
// its own, and compares names, types, shapes and every value with what went in.
func TestIndependentReader(t *testing.T) {
	w := inspectable(t, false) // values that BF16 holds
	for i, v := range w.Flat() {
		if math.Abs(float64(v)) < 0x1p-14 {
			w.Flat()[i] = 0 // and F16 too
		}
	}
	m := stored.Of(w)
	dir := t.TempDir()
	for name, o := range map[string]hf.Options{
		"f32": {}, "bf16": {DType: dtype.BF16}, "f16": {DType: dtype.F16}, "shards": {MaxShard: 3000}, "bitnet": {Packed: hf.Multiply},
	} {
		_, err := hf.Write(durable.OS{}, filepath.Join(dir, name), m, o)
		must(t, err)
	}
	_, err := packed.WriteStored(durable.OS{}, filepath.Join(dir, "packed.safetensors"), m, packed.Meta{Tokenizer: []byte(`{"é\n":"\u0001"}`)}, nil)
	must(t, err)
	files := 0
	found := map[string]map[string]plainTensor{}
	check := func(root string) {
		must(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".safetensors" {
				return err
			}
			files++
			plain, err := readPlainly(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			sameAsOurs(t, path, plain)
			group := filepath.Base(filepath.Dir(path))
			if found[group] == nil {
				found[group] = map[string]plainTensor{}
			}
			for name, x := range plain {
				found[group][name] = x
			}
			return nil
		}))
	}
	check(dir)
	if shared := os.Getenv("MMFREE_SHARED"); shared != "" {
		check(filepath.Join(shared, "data", "models"))
	}
	if files < 7 {
		t.Fatalf("%d files were looked at", files)
	}
	for _, group := range []string{"f32", "bf16", "f16", "shards"} {
		for i, x := range w.Tensors {
			have := found[group][x.Name]
			if fmt.Sprint(have.Shape) != fmt.Sprint(x.Shape) {
				t.Fatalf("%s: %s is %v, not %v", group, x.Name, have.Shape, x.Shape)
			}
			for j, v := range w.At(i) {
				if have.value(j) != float64(v) && (group != "f16" || math.Abs(have.value(j)-float64(v)) > math.Abs(float64(v))/1024) {
					t.Fatalf("%s: %s[%d] is %v, not %v", group, x.Name, j, have.value(j), v)
				}
			}
		}
	}
	for _, x := range w.Tensors { // of the packed form: transformers' order of codes, unpacked by its definition
		if x.Kind != spec.Ternary {
			continue
		}
		s := found["bitnet"][x.Name+"_scale"]
		scale, codes := s.value(0), found["bitnet"][x.Name]
		q := int(codes.Shape[0])
		want, err := stored.Of(w).Packed()
		must(t, err)
		row := make([]int8, x.Shape[1])
		for r := range x.Shape[0] {
			want.Matrix(x.Name).DecodeRow(row, r)
			for c, code := range row {
				if got := int8(codes.bytes[r%q*x.Shape[1]+c]>>(2*(r/q))&3) - 1; got != code {
					t.Fatalf("%s [%d, %d] is %d, not %d", x.Name, r, c, got, code)
				}
			}
		}
		if float64(want.Matrix(x.Name).Scale) != scale {
			t.Errorf("%s: scale %v", x.Name, scale)
		}
		break
	}
}

// sameAsOurs compares what the two readers find in one file.
func sameAsOurs(t *testing.T, path string, plain map[string]plainTensor) {
	t.Helper()
	f, err := safetensors.Open(path)
	must(t, err)
	defer f.Close()
	if len(f.Tensors()) != len(plain) {
		t.Errorf("%s: %d tensors, and %d", path, len(f.Tensors()), len(plain))
	}
	for _, info := range f.Tensors() {
		x := plain[info.Name]
		if x.DType != string(info.DType) || fmt.Sprint(x.Shape) != fmt.Sprint(info.Shape) || string(x.bytes) != string(f.Bytes(info.Name)) {
			t.Errorf("%s: %s differs", path, info.Name)
		}
	}
}
