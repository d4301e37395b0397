package llama2c

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// small has head widths of 4, so that pairs differ from halves, and 2 query heads for each key head.
func small(tied bool) shape {
	s := plain()
	s.Dim, s.Hidden, s.Layers, s.Heads, s.KVHeads, s.Vocab, s.Positions, s.Tied = 16, 8, 2, 4, 2, 12, 6, tied
	return s
}

// build writes a file in a layout, tensor after tensor by the order of the format's own table; value gives element i of a
// tensor. It returns the file's values by llama2.c's names.
func build(t testing.TB, s shape, l layout, version int32) (file []byte, values map[string][]float32) {
	t.Helper()
	var b bytes.Buffer
	put := func(v any) { must(t, binary.Write(&b, binary.LittleEndian, v)) }
	vocab := int32(s.Vocab)
	if l.header == shortHeader && !s.Tied {
		vocab = -vocab
	}
	if l.header == longHeader {
		put(uint32(magic))
		put(version)
	}
	put([]int32{int32(s.Dim), int32(s.Hidden), int32(s.Layers), int32(s.Heads), int32(s.KVHeads), vocab, int32(s.Positions)})
	if l.header == longHeader {
		put(s.Tied)
		if l.group > 0 {
			put(int32(l.group))
		}
		put(make([]byte, longHeader-b.Len()))
	}
	c, err := s.config()
	must(t, err)
	sizes := map[string]int{}
	for _, x := range spec.Tensors(c) {
		sizes[foreign(x.Name)] = x.Elements()
	}
	values = map[string][]float32{}
	one := func(name string) {
		if name == ropeTable {
			put(make([]float32, s.Positions*s.Dim/s.Heads/2))
			return
		}
		n := sizes[name]
		if n == 0 {
			return
		}
		v := make([]float32, n)
		matrix := !isNorm(name) && (name != "tok_embeddings" || !l.bit)
		for i := range v {
			k := (i*7 + len(name)*3 + i/5) % 5
			v[i] = float32(k-2) / 4
			if l.bit && matrix {
				v[i] = float32(k%3 - 1)
			}
		}
		values[name] = v
		switch {
		case l.bit && matrix:
			put(float32(2))
			for q := range slices.Chunk(v, bitCodes) {
				put(byte(q[0])&3<<6 | byte(q[1])&3<<4 | byte(q[2])&3<<2 | byte(q[3])&3)
			}
		case l.group > 0 && matrix:
			for _, x := range v {
				put(int8(x * 4))
			}
			for range n / l.group {
				put(float32(0.25))
			}
		default:
			put(v)
		}
	}
	for _, name := range l.order {
		if name[0] != '*' {
			one(name)
			continue
		}
		for n := range s.Layers {
			one(fmt.Sprintf("layers.%d.%s", n, name[1:]))
		}
	}
	return b.Bytes(), values
}

func layouts() []layout {
	return []layout{
		{name: "0", header: shortHeader, order: order0},
		{name: "1", header: longHeader, order: order1},
		{name: "2", header: longHeader, order: order1, group: 4},
		{name: "bit", header: longHeader, order: orderBit, bit: true},
	}
}

func versionOf(l layout) int32 { return map[string]int32{"0": 0, "1": 1, "2": 2, "bit": 1}[l.name] }

// TestVersions reads every layout, tied and not, and compares every value with what was put there. The rotary rows are
// checked against the definition: our channels j and j + 2 of a head of 4 are a pair, llama2.c's 2j and 2j + 1.
func TestVersions(t *testing.T) {
	for _, l := range layouts() {
		for _, tied := range []bool{true, false} {
			if l.bit && !tied {
				continue
			}
			s := small(tied)
			if l.bit {
				s.ModelType = BitModelType
			}
			file, values := build(t, s, l, versionOf(l))
			if !Recognise(file[:min(len(file), HeadBytes)], int64(len(file))) {
				t.Errorf("%s, tied %v: not recognised", l.name, tied)
			}
			m, err := Parse("F", file)
			must(t, err)
			if m.Config.TieWordEmbeddings != tied || m.IsCodes() != l.bit {
				t.Errorf("%s: tied %v, codes %v", l.name, m.Config.TieWordEmbeddings, m.IsCodes())
			}
			for _, x := range m.Tensors {
				compare(t, l, x, values[foreign(x.Name)])
			}
		}
	}
}

func compare(t *testing.T, l layout, x stored.Tensor, want []float32) {
	t.Helper()
	rows, cols := x.Rows()
	for r := range rows {
		got := make([]float32, cols)
		must(t, x.ReadRows(got, r))
		from := r
		if strings.Contains(x.Name, "q_proj.weight") || strings.Contains(x.Name, "k_proj.weight") {
			from = r/4*4 + []int{0, 2, 1, 3}[r%4]
		}
		for j, v := range got {
			expect := float32(1) // gains that the format lacks
			if want != nil {
				expect = want[from*cols+j]
			}
			if x.IsCodes() {
				expect *= 2 / float32(cols)
			}
			if v != expect {
				t.Fatalf("%s, %s [%d, %d]: %v, want %v", l.name, x.Name, r, j, v, expect)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, l := range layouts() {
		file, _ := build(t, small(true), l, versionOf(l))
		for _, c := range []struct {
			name  string
			spoil func(b []byte) []byte
		}{
			{"cut by one", func(b []byte) []byte { return b[:len(b)-1] }},
			{"one more", func(b []byte) []byte { return append(b, 0) }},
			{"header only", func(b []byte) []byte { return b[:l.header] }},
			{"cut in the header", func(b []byte) []byte { return b[:l.header-1] }},
			{"dim 0", func(b []byte) []byte { clear(b[at(l):][:4]); return b }},
			{"dim negative", func(b []byte) []byte { b[at(l)+3] = 0x80; return b }},
			{"layers huge", func(b []byte) []byte { copy(b[at(l)+8:], "\xff\xff\xff\x7f"); return b }},
			{"more key heads", func(b []byte) []byte { b[at(l)+16] = 7; return b }},
		} {
			_, err := Parse("F", c.spoil(bytes.Clone(file)))
			var h interface{ Hint() string }
			if !errors.Is(err, format.ErrFormat) || !errors.As(err, &h) || h.Hint() == "" || !strings.HasPrefix(err.Error(), "F: ") {
				t.Errorf("layout %s, %s: got %v", l.name, c.name, err)
			}
		}
	}
	long, _ := build(t, small(true), layouts()[1], 1)
	for name, spoil := range map[string]func(b []byte){
		"version":      func(b []byte) { b[4] = 3 },
		"filling":      func(b []byte) { b[longHeader-1] = 1 },
		"tied is 2":    func(b []byte) { b[8+shortHeader] = 2 },
		"groups of 0":  func(b []byte) { b[4] = 2 },
		"another kind": func(b []byte) { b[0] = 'x' },
	} {
		b := bytes.Clone(long)
		spoil(b)
		if _, err := Parse("F", b); !errors.Is(err, format.ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	bit, _ := build(t, small(true), layouts()[3], 1)
	bit[len(bit)-1] = 0b10
	m, err := Parse("F", bit)
	must(t, err)
	if _, err := m.Packed(); !errors.Is(err, format.ErrFormat) || !strings.Contains(err.Error(), "10 in binary") || !strings.Contains(err.Error(), fmt.Sprintf("byte %d", len(bit)-1)) {
		t.Errorf("an illegal code: got %v", err)
	}
}

// at is where the seven numbers begin.
func at(l layout) int { return map[int64]int{shortHeader: 0, longHeader: 8}[l.header] }

func TestNotOurs(t *testing.T) {
	for _, text := range []string{"", "GGUF", "{}", strings.Repeat("a line of text\n", 100), string(make([]byte, 1000))} {
		if Recognise([]byte(text)[:min(len(text), HeadBytes)], int64(len(text))) {
			t.Errorf("%.20q was taken for a model", text)
		}
	}
}

func TestConfig(t *testing.T) {
	good := `{"model_type":"llama2.c","dim":16,"hidden_dim":8,"n_layers":2,"n_heads":4,"n_kv_heads":2,"vocab_size":12,"max_seq_len":6,"norm_eps":1e-6,"rope_theta":5000,"rope":"interleaved pairs","tie_word_embeddings":false}`
	c, err := ParseConfig([]byte(good))
	must(t, err)
	if c.Arch != spec.ArchTransformer || c.HiddenSize != 16 || c.RopeTheta != 5000 || c.RMSNormEps != 1e-6 || c.TieWordEmbeddings {
		t.Errorf("%+v", c)
	}
	for from, to := range map[string]string{
		`"dim":16`: `"dim":-1`, `"n_heads":4`: `"n_heads":3`, `interleaved pairs`: `halves`, `"llama2.c"`: `"llama3.c"`, `"dim":16,`: `"dim":"x",`, `"vocab_size":12,`: ``,
	} {
		if _, err := ParseConfig([]byte(strings.Replace(good, from, to, 1))); !errors.Is(err, spec.ErrConfig) {
			t.Errorf("%s: got %v", to, err)
		}
	}
}

// TestTensorsRefuse gives the tensors of a file with one fault.
func TestTensorsRefuse(t *testing.T) {
	s := small(true)
	s.ModelType = BitModelType
	c, err := s.config()
	must(t, err)
	all := func() map[string]stored.Raw {
		raw := map[string]stored.Raw{}
		for _, x := range spec.Tensors(c) {
			name := foreign(x.Name)
			if x.Kind == spec.Ternary {
				raw[name+".ternary"] = stored.Raw{DType: "I8", Shape: x.Shape, Bytes: make([]byte, x.Elements())}
				raw[name+".scale"] = stored.Raw{DType: dtype.F32, Bytes: []byte{0, 0, 128, 63}}
			} else if name != "" {
				raw[name+".weight"] = stored.Raw{DType: dtype.F32, Shape: x.Shape, Bytes: make([]byte, 4*x.Elements())}
			}
		}
		return raw
	}
	const wq = "layers.1.attention.wq"
	for want, spoil := range map[string]func(raw map[string]stored.Raw){
		"":                     func(map[string]stored.Raw) {},
		"norm: is missing":     func(raw map[string]stored.Raw) { delete(raw, "norm.weight") },
		"is missing, or its":   func(raw map[string]stored.Raw) { delete(raw, wq+".scale") },
		"is [16], not [16 16]": func(raw map[string]stored.Raw) { raw[wq+".ternary"] = raw["norm.weight"] },
		"is F32 with a scale": func(raw map[string]stored.Raw) {
			raw[wq+".ternary"] = stored.Raw{DType: dtype.F32, Shape: []int{16, 16}}
		},
		"is [12 16], not [16]": func(raw map[string]stored.Raw) { raw["norm.weight"] = raw["tok_embeddings.weight"] },
		"no positive number": func(raw map[string]stored.Raw) {
			raw[wq+".scale"] = stored.Raw{DType: dtype.F32, Bytes: make([]byte, 4)}
		},
		"dtype I32":              func(raw map[string]stored.Raw) { raw["norm.weight"] = stored.Raw{DType: "I32", Shape: []int{16}} },
		"has a code that is not": func(raw map[string]stored.Raw) { raw[wq+".ternary"].Bytes[9] = 2 },
	} {
		raw := all()
		spoil(raw)
		list, err := Tensors("F", c, func(name string) (stored.Raw, bool) { r, ok := raw[name]; return r, ok })
		for i := range list {
			if list[i].Kind == spec.Ternary && err == nil {
				_, err = list[i].Matrix()
			}
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// linear is one product of golden-linear.json.
type linear struct {
	Tensor     string  `json:"tensor"`
	Rows, Cols int     // by name, whatever the case
	Scale      float32 `json:"scale"`
	X          []int32 `json:"x_int8"`
	Y          []int32 `json:"y_int32"`
	SHA        string  `json:"packed_sha256"`
	Minus      int     `json:"count_minus"`
	Zero       int     `json:"count_zero"`
	Plus       int     `json:"count_plus"`
}

// TestGoldenLinear: exact products of the real model's matrices, from both files of it.
func TestGoldenLinear(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set; TestVersions reads the same layout")
	}
	dir := filepath.Join(shared, "data", "models", "bitnet-1M")
	text, err := os.ReadFile(filepath.Join(dir, "golden-linear.json"))
	must(t, err)
	var golden struct{ Cases []linear }
	must(t, json.Unmarshal(text, &golden))
	if len(golden.Cases) == 0 {
		t.Fatal("no cases")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "bit_model.bin"))
	must(t, err)
	bin, err := Parse("bit_model.bin", raw)
	must(t, err)
	unpacked, err := safetensors.Open(filepath.Join(dir, "unpacked.safetensors"))
	must(t, err)
	defer unpacked.Close()
	listed, err := Tensors("unpacked", bin.Config, func(name string) (stored.Raw, bool) {
		i, ok := unpacked.Info(name)
		return stored.Raw{DType: i.DType, Shape: i.Shape, Bytes: unpacked.Bytes(name)}, ok
	})
	must(t, err)
	for form, list := range map[string][]stored.Tensor{"bin": bin.Tensors, "unpacked": listed} {
		for _, c := range golden.Cases {
			at := slices.IndexFunc(list, func(x stored.Tensor) bool { return foreign(x.Name) == c.Tensor })
			checkLinear(t, form, &list[at], &c)
		}
	}
	s, l, _, _ := readHeader(raw[:longHeader], int64(len(raw)))
	places, _, _ := l.places(&s, &bin.Config)
	for _, c := range golden.Cases {
		b := raw[places[c.Tensor]:][:floatSize+c.Rows*c.Cols/bitCodes]
		if sum := sha256.Sum256(b[floatSize:]); hex.EncodeToString(sum[:]) != c.SHA {
			t.Errorf("%s: its codes lie elsewhere", c.Tensor)
		}
		if scale := math.Float32frombits(binary.LittleEndian.Uint32(b)); scale != c.Scale {
			t.Errorf("%s: scale %v, want %v", c.Tensor, scale, c.Scale)
		}
	}
}

func checkLinear(t *testing.T, form string, x *stored.Tensor, c *linear) {
	t.Helper()
	m, err := x.Matrix()
	must(t, err)
	if m.Scale != c.Scale/float32(c.Cols) {
		t.Errorf("%s, %s: scale %v, want %v / %d", form, c.Tensor, m.Scale, c.Scale, c.Cols)
	}
	width := c.Rows
	if strings.HasSuffix(c.Tensor, "wq") || strings.HasSuffix(c.Tensor, "wk") {
		width = 16 // of a head; the rows of others stay where they are
	}
	codes, counts := make([]int8, c.Cols), map[int8]int{}
	for r := range c.Rows {
		m.DecodeRow(codes, r)
		sum := int32(0)
		for j, code := range codes {
			sum += int32(code) * c.X[j]
			counts[code]++
		}
		from := r
		if width != c.Rows {
			from = stored.RotaryPairs(width)(r)
		}
		if sum != c.Y[from] {
			t.Fatalf("%s, %s: row %d gives %d, want %d", form, c.Tensor, r, sum, c.Y[from])
		}
	}
	if counts[-1] != c.Minus || counts[0] != c.Zero || counts[1] != c.Plus {
		t.Errorf("%s, %s: %v", form, c.Tensor, counts)
	}
}

func FuzzParse(f *testing.F) {
	for _, l := range layouts() {
		file, _ := build(f, small(true), l, versionOf(l))
		f.Add(file)
		f.Add(file[:l.header])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse("F", b)
		if err != nil {
			if !errors.Is(err, format.ErrFormat) && !errors.Is(err, spec.ErrConfig) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		for i := range m.Tensors { // what was accepted can be read to its end
			if err := m.Tensors[i].Each(func([]float32, int) error { return nil }); err != nil && !errors.Is(err, format.ErrFormat) && !errors.Is(err, spec.ErrConfig) {
				t.Fatalf("error of no class: %v", err)
			}
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
