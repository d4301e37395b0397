package packed

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

func model(t testing.TB, change func(*spec.Config)) *pack.Model {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 37, 20, 2, 50
	c.Extra = map[string]json.RawMessage{"x": json.RawMessage(`[1]`)}
	if change != nil {
		change(&c)
	}
	w, err := spec.NewWeights(c)
	must(t, err)
	w.Init(3)
	m, err := pack.Build(w)
	must(t, err)
	return m
}

var meta = Meta{Tokenizer: []byte(`{"model":{"vocab":{"<é>":0}}}` + "\n"), Source: "a test"}

func TestRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*spec.Config){
		"plain":   nil,
		"tied":    func(c *spec.Config) { c.TieWordEmbeddings = true },
		"dense":   func(c *spec.Config) { c.DownProj = spec.DownDenseUnnormed; c.UseLowerBound = false },
		"aligned": func(c *spec.Config) { c.HiddenSize, c.IntermediateSize = 32, 64 },
	} {
		t.Run(name, func(t *testing.T) {
			m := model(t, change)
			path := filepath.Join(t.TempDir(), "packed.safetensors")
			n, err := Write(durable.OS{}, path, m, meta)
			must(t, err)
			raw, err := os.ReadFile(path)
			must(t, err)
			if int64(len(raw)) != n {
				t.Errorf("Write says %d bytes, the file has %d", n, len(raw))
			}
			f, err := Open(path)
			must(t, err)
			defer f.Close()
			must(t, f.Verify())
			same(t, m, f.Model())
			if got := f.Meta(); !bytes.Equal(got.Tokenizer, meta.Tokenizer) || got.Source != meta.Source {
				t.Errorf("meta is %q", got)
			}
			for _, info := range f.file.Tensors() {
				if info.Begin%tensorAlign != 0 && !strings.HasPrefix(info.Name, paddingPrefix) || f.file.DataStart()%dataAlign != 0 {
					t.Errorf("%s begins at %d + %d", info.Name, f.file.DataStart(), info.Begin)
				}
			}
			again := path + "2"
			if _, err := Write(durable.OS{}, again, f.Model(), f.Meta()); err != nil {
				t.Fatal(err)
			}
			if second, err := os.ReadFile(again); err != nil || !bytes.Equal(raw, second) {
				t.Error("written again, the bytes differ", err)
			}
		})
	}
}

func same(t *testing.T, want, got *pack.Model) {
	t.Helper()
	a, _ := json.Marshal(want.Config)
	b, _ := json.Marshal(got.Config)
	if !bytes.Equal(a, b) {
		t.Errorf("configuration\n%s, want\n%s", b, a)
	}
	for _, x := range want.Tensors {
		if x.Kind != spec.Ternary {
			if !slices.EqualFunc(want.Dense(x.Name), got.Dense(x.Name), func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
				t.Errorf("%s differs", x.Name)
			}
			continue
		}
		a, b := want.Matrix(x.Name), got.Matrix(x.Name)
		if a.Rows != b.Rows || a.Cols != b.Cols || a.Scale != b.Scale || !slices.Equal(a.Words, b.Words) {
			t.Errorf("%s differs", x.Name)
		}
	}
}

func TestBitsPerWeight(t *testing.T) {
	m := model(t, func(c *spec.Config) { c.HiddenSize, c.IntermediateSize, c.VocabSize = 288, 576, 128 })
	if got := BitsPerWeight(m); got < 16.0/9 || got > 1.79 {
		t.Errorf("%v bits a weight where 9 divides all widths and 32 all heights; want 1.778 and the scales", got)
	}
}

// parts takes a file apart and puts it together again with changes.
type parts struct {
	metadata map[string]string
	tensors  []safetensors.Tensor
	content  map[string][]byte
}

func takeApart(t testing.TB, m *pack.Model) *parts {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	_, err := Write(durable.OS{}, path, m, meta)
	must(t, err)
	f, err := safetensors.Open(path)
	must(t, err)
	defer f.Close()
	p := &parts{metadata: maps.Clone(f.Metadata()), content: map[string][]byte{}}
	for _, i := range f.Tensors() {
		name := i.Name
		p.content[name] = bytes.Clone(f.Bytes(name))
		p.tensors = append(p.tensors, safetensors.Tensor{Name: name, DType: i.DType, Shape: i.Shape, Data: func(w io.Writer) error { _, err := w.Write(p.content[name]); return err }})
	}
	return p
}

func (p *parts) join(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := safetensors.Write(&b, p.tensors, p.metadata, dataAlign)
	must(t, err)
	return b.Bytes()
}

func (p *parts) rename(from, to string) {
	for i := range p.tensors {
		if p.tensors[i].Name == from {
			p.tensors[i].Name = to
		}
	}
}

func parse(b []byte) (*File, error) {
	s, err := safetensors.Parse("F", b)
	if err != nil {
		return nil, err
	}
	return open("F", s)
}

func TestRefusals(t *testing.T) {
	m := model(t, nil)
	proj := spec.Layer(1) + "attn.o_proj.weight"
	if _, err := parse(takeApart(t, m).join(t)); err != nil {
		t.Fatalf("the unchanged file: %v", err)
	}
	for _, c := range []struct {
		name  string
		spoil func(p *parts)
		want  string
	}{
		{"no metadata", func(p *parts) { p.metadata = nil }, "not a packed model"},
		{"other format", func(p *parts) { p.metadata["format"] = "pt" }, "not a packed model"},
		{"newer version", func(p *parts) { p.metadata["version"] = "2" }, `version "2"`},
		{"other layout", func(p *parts) { p.metadata["layout"] = "T4" }, `layout "T4"`},
		{"no config", func(p *parts) { delete(p.metadata, "config") }, "not JSON"},
		{"config of another model", func(p *parts) { p.metadata["config"] = `{"model_type":"gpt2"}` }, "gpt2"},
		{"config of a giant", func(p *parts) {
			p.metadata["config"] = `{"model_type":"hgrn_bit","vocab_size":16777216,"hidden_size":131072,"intermediate_size":131072,"num_hidden_layers":4096}`
		}, "ternary_scales: has shape"},
		{"config of a wider model", func(p *parts) {
			p.metadata["config"] = strings.Replace(p.metadata["config"], `"hidden_size":20`, `"hidden_size":21`, 1)
		}, "has shape"},
		{"matrix missing", func(p *parts) { p.rename(proj, "padding.x") }, proj + ": is not in the file"},
		{"matrix of another type", func(p *parts) {
			for i := range p.tensors {
				if p.tensors[i].Name == proj {
					p.tensors[i].DType = "BF16"
				}
			}
		}, "has dtype BF16"},
		{"vector missing", func(p *parts) { p.rename(spec.FinalNormName, "padding.x") }, spec.FinalNormName + ": is not in the file"},
		{"scales missing", func(p *parts) { p.rename(ScalesName, "padding.x") }, ScalesName + ": is not in the file"},
		{"one more", func(p *parts) { p.rename("padding.0", "surplus") }, "surplus: is not part"},
		{"illegal code", func(p *parts) { p.content[proj][0] = 0x1f }, proj + ": packed matrix: word 0"},
		{"scale not a number", func(p *parts) { copy(p.content[ScalesName][4:], "\xff\xff\xff\x7f") }, "scale NaN"},
		{"scale negative", func(p *parts) { copy(p.content[ScalesName][4:], "\x00\x00\x80\xbf") }, "scale -1"},
	} {
		p := takeApart(t, m)
		c.spoil(p)
		_, err := parse(p.join(t))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "F: ") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if !errors.Is(err, format.ErrFormat) && !errors.Is(err, spec.ErrConfig) {
			t.Errorf("%s: error of no class: %v", c.name, err)
		}
	}
}

func TestVerify(t *testing.T) {
	p := takeApart(t, model(t, nil))
	p.content[spec.EmbeddingsName][5] ^= 1 // a value like any other: only the checksum sees it
	f, err := parse(p.join(t))
	must(t, err)
	if err := f.Verify(); !errors.Is(err, format.ErrFormat) {
		t.Errorf("got %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	m := model(t, nil)
	m.Matrix(spec.HeadName).Scale = 0
	dir := t.TempDir()
	if _, err := Write(durable.OS{}, filepath.Join(dir, "p"), m, meta); !errors.Is(err, format.ErrFormat) || !strings.Contains(err.Error(), spec.HeadName) {
		t.Errorf("scale 0: %v", err)
	}
	if _, err := Write(durable.OS{}, filepath.Join(dir, "p"), model(t, nil), Meta{Tokenizer: []byte{0xff}}); !errors.Is(err, format.ErrFormat) {
		t.Errorf("tokenizer not text: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestWriteFaults fails every call: the former file or the new one opens.
func TestWriteFaults(t *testing.T) {
	m := model(t, nil)
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			path := filepath.Join(dir, "p")
			_, err := Write(durable.OS{}, path, m, Meta{Source: "old"})
			must(t, err)
			fsys := &faults.FS{FailAt: n, Mode: mode}
			_, err = Write(fsys, path, m, Meta{Source: "new"})
			must(t, fsys.Crash())
			must(t, durable.CleanTemps(durable.OS{}, dir))
			f, oerr := Open(path)
			if oerr != nil {
				t.Fatalf("mode %d, call %d: %v", mode, n, oerr)
			}
			if s := f.Meta().Source; err == nil && s != "new" || s != "old" && s != "new" {
				t.Fatalf("mode %d, call %d: error %v, source %q", mode, n, err, s)
			}
			must(t, errors.Join(f.Verify(), f.Close()))
			if fsys.Calls < n {
				break
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := takeApart(f, model(f, func(c *spec.Config) {
		c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 3, 2, 1, 2
	}))
	f.Add(p.join(f))
	p.metadata["config"] = `{"model_type":"hgrn_bit"}`
	f.Add(p.join(f))
	delete(p.metadata, "tokenizer")
	p.metadata["config"] = `{"model_type":"hgrn_bit","num_hidden_layers":4096,"hidden_size":132103}`
	f.Add(p.join(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse(b)
		if err != nil {
			if !errors.Is(err, format.ErrFormat) && !errors.Is(err, spec.ErrConfig) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		_ = file.Verify()
		for _, x := range file.Model().Tensors { // what was accepted can be decoded
			if m := file.Model().Matrix(x.Name); m != nil && m.Rows*m.Cols < 1<<20 {
				m.Decode(make([]int8, m.Rows*m.Cols), 0, m.Superblocks())
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
