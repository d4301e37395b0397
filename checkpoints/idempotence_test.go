package checkpoints_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/packed"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// passage is one way of writing a model and reading it again.
type passage struct {
	name string
	do   func(t testing.TB, m *stored.Model) *stored.Model
}

func passages() []passage {
	folder := func(o hf.Options) func(testing.TB, *stored.Model) *stored.Model {
		return func(t testing.TB, m *stored.Model) *stored.Model {
			dir := filepath.Join(t.TempDir(), "m")
			_, err := hf.Write(durable.OS{}, dir, m, o)
			must(t, err)
			m, err = hf.Open(dir)
			must(t, err)
			t.Cleanup(func() { m.Close() })
			return m
		}
	}
	file := func(kind gguf.Type) func(testing.TB, *stored.Model) *stored.Model {
		return func(t testing.TB, m *stored.Model) *stored.Model {
			path := filepath.Join(t.TempDir(), "m")
			_, err := gguf.Save(durable.OS{}, path, m, gguf.Options{Ternary: kind})
			must(t, err)
			m, err = gguf.OpenModel(path)
			must(t, err)
			t.Cleanup(func() { m.Close() })
			return m
		}
	}
	return []passage{
		{"as GGUF", file(0)},
		{"as GGUF in I2_S", file(gguf.I2S)},
		{"as values", folder(hf.Options{})},
		{"as values in shards", folder(hf.Options{MaxShard: 100})},
		{"as packed bytes", folder(hf.Options{Packed: hf.Multiply})},
		{"as a packed file", func(t testing.TB, m *stored.Model) *stored.Model {
			path := filepath.Join(t.TempDir(), "p")
			_, err := packed.WriteStored(durable.OS{}, path, m, packed.Meta{}, nil)
			must(t, err)
			f, err := packed.Open(path)
			must(t, err)
			t.Cleanup(func() { f.Close() })
			return stored.OfPacked(f.Model())
		}},
		{"through memory", func(t testing.TB, m *stored.Model) *stored.Model {
			w, err := m.Weights()
			must(t, err)
			return stored.Of(w)
		}},
		{"quantised in memory", func(t testing.TB, m *stored.Model) *stored.Model {
			p, err := m.Packed()
			must(t, err)
			return stored.OfPacked(p)
		}},
	}
}

// fillings are kinds of tensors, degenerate ones among them.
var fillings = map[string]func(r *rapid.T, v []float32){
	"normal": func(r *rapid.T, v []float32) {
		for j := range v {
			v[j] = float32(rapid.IntRange(-1000, 1000).Draw(r, "v")) / 700
		}
	},
	"ternary": func(r *rapid.T, v []float32) {
		a := rapid.Float32Range(1e-5, 1e6).Draw(r, "a")
		for j := range v {
			v[j] = float32(rapid.IntRange(-1, 1).Draw(r, "t")) * a
		}
	},
	"all zero": func(_ *rapid.T, v []float32) { clear(v) },
	"minus zero": func(_ *rapid.T, v []float32) {
		for j := range v {
			v[j] = float32(math.Copysign(0, -1))
		}
	},
	"one value": func(r *rapid.T, v []float32) {
		clear(v)
		v[rapid.IntRange(0, len(v)-1).Draw(r, "at")] = rapid.Float32Range(1e-6, 100).Draw(r, "x")
	},
	"all equal": func(r *rapid.T, v []float32) {
		x := rapid.Float32Range(-10, 10).Draw(r, "x")
		for j := range v {
			v[j] = x
		}
	},
	"denormal": func(r *rapid.T, v []float32) {
		for j := range v {
			v[j] = math.Float32frombits(rapid.Uint32Range(0, 0x7fffff).Draw(r, "bits"))
		}
	},
	"small": func(r *rapid.T, v []float32) {
		for j := range v {
			v[j] = rapid.Float32Range(-2e-5, 2e-5).Draw(r, "x")
		}
	},
	"huge": func(r *rapid.T, v []float32) {
		for j := range v {
			v[j] = rapid.Float32Range(-1e29, 1e29).Draw(r, "x")
		}
	},
}

// TestIdempotence quantises models of random shapes and degenerate tensors, and then writes and reads them in every form, in
// any order and any number of times: codes and scales never change in any bit.
func TestIdempotence(t *testing.T) {
	all := passages()
	var kinds []string
	for name := range fillings {
		kinds = append(kinds, name)
	}
	rapid.Check(t, func(r *rapid.T) {
		c := spec.Default()
		c.HiddenSize = rapid.IntRange(1, 20).Draw(r, "hidden")
		c.VocabSize, c.NumHiddenLayers = rapid.IntRange(1, 9).Draw(r, "vocabulary"), 1
		c.IntermediateSize = rapid.IntRange(1, 140).Draw(r, "width")
		c.TieWordEmbeddings = rapid.Bool().Draw(r, "tied")
		if rapid.Bool().Draw(r, "bitnet") {
			c.Arch, c.NumAttentionHeads, c.HeadDim = spec.ArchBitNet, 1, 2
			c.NormPlacement = rapid.SampledFrom([]string{spec.NormSubLN, spec.NormBitLinear}).Draw(r, "norms")
			c.LMHead = rapid.SampledFrom([]string{spec.HeadDense, spec.HeadBitLinear}).Draw(r, "head")
		}
		w, err := spec.NewWeights(c)
		must(t, err)
		w.Init(1)
		for i := range w.Tensors {
			if w.Tensors[i].Kind == spec.Ternary {
				fillings[rapid.SampledFrom(kinds).Draw(r, w.Tensors[i].Name)](r, w.At(i))
			}
		}
		want, err := pack.Build(w)
		must(t, err)
		m := stored.Of(w)
		history := "shadow weights"
		for range rapid.IntRange(1, 6).Draw(r, "steps") {
			s := rapid.SampledFrom(all).Draw(r, "step")
			m = s.do(t, m)
			history += ", " + s.name
			got, err := m.Packed()
			must(t, err)
			for _, x := range want.Tensors {
				a, b := want.Matrix(x.Name), got.Matrix(x.Name)
				if a == nil {
					continue
				}
				if math.Float32bits(a.Scale) != math.Float32bits(b.Scale) || fmt.Sprint(a.Words) != fmt.Sprint(b.Words) {
					r.Fatalf("%s: %s %v: scale %v, was %v; codes equal: %v", history, x.Name, x.Shape, b.Scale, a.Scale, fmt.Sprint(a.Words) == fmt.Sprint(b.Words))
				}
			}
		}
	})
}
