package gguf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

func save(t testing.TB, m *stored.Model, o gguf.Options) (path string, warnings []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "m.gguf")
	warnings, err := gguf.Save(durable.OS{}, path, m, o)
	if err != nil {
		t.Fatal(err)
	}
	return path, warnings
}

func reopen(t testing.TB, path string) *stored.Model {
	t.Helper()
	m, err := gguf.OpenModel(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// samePacked compares configuration, codes, scales and all other values, bit for bit.
func samePacked(t *testing.T, got, want *pack.Model) {
	t.Helper()
	a, err1 := json.Marshal(got.Config)
	b, err2 := json.Marshal(want.Config)
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("configuration %s, want %s", a, b)
	}
	for _, x := range want.Tensors {
		if w := want.Matrix(x.Name); w != nil {
			g := got.Matrix(x.Name)
			if math.Float32bits(g.Scale) != math.Float32bits(w.Scale) || !slices.Equal(g.Words, w.Words) {
				t.Errorf("%s: other codes, or scale %v instead of %v", x.Name, g.Scale, w.Scale)
			}
			continue
		}
		if !slices.Equal(bitsOf(got.Dense(x.Name)), bitsOf(want.Dense(x.Name))) {
			t.Errorf("%s: other values", x.Name)
		}
	}
}

func bitsOf(v []float32) []uint32 {
	out := make([]uint32, len(v))
	for i, x := range v {
		out[i] = math.Float32bits(x)
	}
	return out
}

// forms are models of every architecture and option that changes the list of tensors.
func forms() map[string]spec.Config {
	list := map[string]spec.Config{}
	add := func(name, arch string, edit func(*spec.Config)) {
		c := attentionConfig(arch)
		c.VocabSize, c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads, c.NumKeyValueHeads = 13, 64, 96, 4, 2
		edit(&c)
		list[name] = c
	}
	for _, tied := range []bool{false, true} {
		name := map[bool]string{true: " tied"}[tied]
		add("transformer"+name, spec.ArchTransformer, func(c *spec.Config) { c.TieWordEmbeddings = tied })
		add("bitnet"+name, spec.ArchBitNet, func(c *spec.Config) { c.TieWordEmbeddings = tied })
		add("bitnet relu2"+name, spec.ArchBitNet, func(c *spec.Config) { c.TieWordEmbeddings, c.HiddenAct = tied, spec.ActReLU2 })
		add("bitnet inner"+name, spec.ArchBitNet, func(c *spec.Config) {
			c.TieWordEmbeddings, c.NormPlacement, c.LMHead = tied, spec.NormBitLinear, spec.HeadBitLinear
		})
		add("matmulfree"+name, spec.ArchMatMulFree, func(c *spec.Config) { c.TieWordEmbeddings = tied })
	}
	add("wide", spec.ArchMatMulFree, func(c *spec.Config) { c.HiddenSize, c.IntermediateSize = 256, 512 })
	add("odd", spec.ArchMatMulFree, func(c *spec.Config) { c.HiddenSize, c.IntermediateSize = 39, 31 })
	add("April 2024", spec.ArchMatMulFree, func(c *spec.Config) { c.DownProj, c.UseLowerBound = spec.DownDenseUnnormed, false })
	return list
}

// TestThereAndBack writes models of every form with every ternary type, from shadow weights and from codes, and reads them.
func TestThereAndBack(t *testing.T) {
	for name, c := range forms() {
		w := weights(t, c)
		for i := range w.Tensors { // gains that differ
			if w.Tensors[i].Kind == spec.Gain {
				for j, v := range w.At(i) {
					w.At(i)[j] = v + float32(i+j)/512
				}
			}
		}
		want, err := pack.Build(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []gguf.Type{0, gguf.TQ1, gguf.TQ2, gguf.I2S} {
			path, _ := save(t, stored.Of(w), gguf.Options{Ternary: kind})
			first, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m := reopen(t, path)
			if c.Arch == spec.ArchTransformer {
				got, err := m.Weights()
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(bitsOf(got.Flat()), bitsOf(w.Flat())) {
					t.Errorf("%s: other weights", name)
				}
				continue
			}
			got, err := m.Packed()
			if err != nil {
				t.Fatalf("%s as %s: %v", name, kind, err)
			}
			samePacked(t, got, want)
			for from, source := range map[string]*stored.Model{"the file": m, "codes": stored.OfPacked(want)} {
				path, _ := save(t, source, gguf.Options{Ternary: kind})
				if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, first) {
					t.Errorf("%s as %s: %s gives other bytes: %v", name, kind, from, err)
				}
			}
		}
	}
}

// TestCodesOfAnyShape: codes and scales of random matrices come back from every type in every bit.
func TestCodesOfAnyShape(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		c := spec.Default()
		c.VocabSize, c.NumHiddenLayers = rapid.IntRange(1, 9).Draw(t, "V"), 1
		c.HiddenSize = rapid.SampledFrom([]int{1, 8, 32, 128, 256, 384}).Draw(t, "d")
		c.IntermediateSize = rapid.SampledFrom([]int{1, 16, 128, 256, 300}).Draw(t, "I")
		w, err := spec.NewWeights(c)
		if err != nil {
			t.Fatal(err)
		}
		w.Init(uint64(rapid.IntRange(1, 1000).Draw(t, "seed")))
		want, err := pack.Build(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range want.Tensors {
			if m := want.Matrix(x.Name); m != nil {
				m.Scale = rapid.SampledFrom([]float32{1e-5, 1, 0.1, math.MaxFloat32, math.SmallestNonzeroFloat32, 0x1.fffffep-7}).Draw(t, "scale")
				if rapid.Bool().Draw(t, "zeros") {
					zeros := pack.New(m.Rows, m.Cols)
					zeros.Encode(make([]int8, m.Rows*m.Cols), 0, zeros.Superblocks())
					copy(m.Words, zeros.Words)
				}
			}
		}
		path := filepath.Join(dir, "m")
		kind := rapid.SampledFrom([]gguf.Type{0, gguf.TQ1, gguf.TQ2, gguf.I2S}).Draw(t, "type")
		if _, err := gguf.Save(durable.OS{}, path, stored.OfPacked(want), gguf.Options{Ternary: kind}); err != nil {
			t.Fatal(err)
		}
		m, err := gguf.OpenModel(path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		got, err := m.Packed()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range want.Tensors {
			if a, b := got.Matrix(x.Name), want.Matrix(x.Name); b != nil && (a.Scale != b.Scale || !slices.Equal(a.Words, b.Words)) {
				t.Fatalf("%s changed: scale %v, was %v", x.Name, a.Scale, b.Scale)
			}
		}
	})
}

// TestSavedForm holds what other programs look for: names, types, keys, and the order of rotated rows.
func TestSavedForm(t *testing.T) {
	c := attentionConfig(spec.ArchTransformer)
	c.NumHiddenLayers = 1
	w := weights(t, c)
	path, warnings := save(t, stored.Of(w), gguf.Options{Values: dtype.BF16, Tokenizer: []byte("{}"), Vocabulary: []gguf.Key{{Name: "tokenizer.ggml.model", Value: "no_vocab"}}})
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for _, x := range f.Tensors() {
		names = append(names, x.Name+" "+x.Type.String())
	}
	want := "token_embd.weight BF16 blk.0.attn_norm.weight F32 blk.0.attn_q.weight BF16 blk.0.attn_k.weight BF16 blk.0.attn_v.weight BF16 " +
		"blk.0.attn_output.weight BF16 blk.0.ffn_norm.weight F32 blk.0.ffn_gate.weight BF16 blk.0.ffn_up.weight BF16 blk.0.ffn_down.weight BF16 " +
		"output_norm.weight F32 output.weight BF16"
	if got := strings.Join(names, " "); got != want || len(warnings) > 0 {
		t.Errorf("tensors %s\nwant    %s\nwarnings %q", got, want, warnings)
	}
	for key, want := range map[string]any{
		"general.architecture": "llama", "llama.attention.head_count_kv": int64(4), "llama.rope.freq_base": 10000.0, "llama.rope.dimension_count": int64(32),
		"llama.context_length": int64(64), "llama.vocab_size": int64(11), "tokenizer.ggml.model": "no_vocab", "general.file_type": int64(32),
	} {
		v, _ := f.Value(key)
		var got any
		switch want.(type) {
		case string:
			got, _ = v.Text()
		case int64:
			got, _ = v.Int()
		default:
			got, _ = v.Float()
		}
		if got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	q := w.Get("model.layers.0.self_attn.q_proj.weight")
	rounded, got := make([]byte, 2*len(q)), f.Bytes("blk.0.attn_q.weight")
	if err := dtype.Encode(rounded, interleave(q, 256, 256, 32), dtype.BF16); err != nil || !bytes.Equal(rounded, got) {
		t.Errorf("rows of the query are in another order: %v", err)
	}
}

// TestSavedBitNet holds the form of ternary tensors: codes in blocks of scale 1, and the scale beside them.
func TestSavedBitNet(t *testing.T) {
	c := attentionConfig(spec.ArchBitNet)
	c.NumHiddenLayers, c.TieWordEmbeddings, c.NumKeyValueHeads, c.IntermediateSize = 1, true, 8, 288
	w := weights(t, c)
	path, warnings := save(t, stored.Of(w), gguf.Options{})
	if len(warnings) != 1 || !strings.Contains(warnings[0], "1 ternary tensors") || !strings.Contains(warnings[0], "blk.0.ffn_down") {
		t.Errorf("warnings %q", warnings)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if x, _ := f.Tensor("blk.0.ffn_down.weight"); x.Type != gguf.Q8_0 {
		t.Errorf("rows of 288 are stored as %s", x.Type)
	}
	q, _ := f.Tensor("blk.0.attn_q.weight")
	codes := make([]int8, q.Elements)
	one, err := gguf.DecodeTernary(codes, f.Bytes(q.Name), q.Type)
	var scale [1]float32
	if err2 := f.ReadFloat32("blk.0.attn_q.scale", scale[:]); err != nil || err2 != nil || one != 1 {
		t.Fatal(one, err, err2)
	}
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	m := p.Matrix("model.layers.0.self_attn.q_proj.weight")
	want := make([]int8, len(codes))
	m.Decode(want, 0, m.Superblocks())
	if !slices.Equal(codes, want) || scale[0] != m.Scale { // BitNet's rows keep their order: its readers turn halves
		t.Error("other codes or scale")
	}
	c.HiddenAct = spec.ActReLU2
	path, _ = save(t, stored.Of(weights(t, c)), gguf.Options{})
	g, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	arch, _ := g.Value("general.architecture")
	_, beside := g.Tensor("blk.0.attn_q.scale")
	if x, _ := g.Tensor("blk.0.attn_q.weight"); x.Type != gguf.I2S || beside {
		t.Errorf("squared ReLU: %s, scale beside it %v", x.Type, beside)
	}
	if name, _ := arch.Text(); name != "bitnet-b1.58" {
		t.Errorf("squared ReLU: architecture %s", name)
	}
}

// TestSharedNorms: norms inside projections become BitNet's own where they can, and otherwise that is said.
func TestSharedNorms(t *testing.T) {
	c := attentionConfig(spec.ArchBitNet)
	c.NormPlacement, c.BitLinearEps, c.TieWordEmbeddings = spec.NormBitLinear, 1e-5, true
	w := weights(t, c)
	for _, equal := range []bool{true, false} {
		if !equal {
			w.Get("model.layers.1.self_attn.k_proj.norm.weight")[3] = 2
		}
		path, warnings := save(t, stored.Of(w), gguf.Options{})
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, shared := f.Tensor("blk.1.attn_norm.weight")
		_, own := f.Tensor("blk.1.attn_k.norm.weight")
		if shared != equal || own == equal || (len(warnings) == 0) != equal {
			t.Errorf("equal gains %v: shared %v, own %v, warnings %q", equal, shared, own, warnings)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := reopen(t, path).Packed()
		if err != nil {
			t.Fatal(err)
		}
		want, err := pack.Build(w)
		if err != nil {
			t.Fatal(err)
		}
		samePacked(t, got, want)
	}
}

// TestSaveIsWhole fails each call of a write over another file: there is the former file or the new one.
func TestSaveIsWhole(t *testing.T) {
	w := weights(t, forms()["matmulfree"])
	path, _ := save(t, stored.Of(w), gguf.Options{})
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "m")
			if err := os.WriteFile(path, []byte("former"), 0o600); err != nil {
				t.Fatal(err)
			}
			fsys := &faults.FS{FailAt: n, Mode: mode}
			_, err := gguf.Save(fsys, path, stored.Of(w), gguf.Options{})
			if crash := fsys.Crash(); crash != nil {
				t.Fatal(crash)
			}
			got, rerr := os.ReadFile(path)
			if rerr != nil || !bytes.Equal(got, want) && (err == nil || string(got) != "former") {
				t.Fatalf("%v at call %d: %d bytes, %v", mode, n, len(got), rerr)
			}
			if fsys.Calls < n {
				break
			}
		}
	}
}

func TestSaveStops(t *testing.T) {
	stop := errors.New("stop")
	path := filepath.Join(t.TempDir(), "m")
	calls, last := 0, int64(0)
	w := weights(t, forms()["wide"])
	_, err := gguf.Save(durable.OS{}, path, stored.Of(w), gguf.Options{Progress: func(done, all int64) error {
		if calls++; done < last || done > all {
			t.Errorf("%d of %d after %d", done, all, last)
		}
		last = done
		if done > all/2 {
			return stop
		}
		return nil
	}})
	entries, _ := os.ReadDir(filepath.Dir(path))
	if !errors.Is(err, stop) || calls < 2 || len(entries) > 0 {
		t.Errorf("%v after %d calls, %d files left", err, calls, len(entries))
	}
	w.Get(spec.FinalNormName)[2] = float32(math.NaN())
	var v *spec.ValueError
	if _, err := gguf.Save(durable.OS{}, path, stored.Of(w), gguf.Options{}); !errors.As(err, &v) || v.Index != 2 {
		t.Errorf("a NaN: %v", err)
	}
}

// A model whose attention is another one than any reader would run is refused.
func TestTernaryAttentionIsRefused(t *testing.T) {
	c := attentionConfig(spec.ArchBitNet)
	c.TernaryAttention = true
	path := filepath.Join(t.TempDir(), "m.gguf")
	_, err := gguf.Save(durable.OS{}, path, stored.Of(weights(t, c)), gguf.Options{})
	if err == nil || !strings.Contains(err.Error(), "ternary_attention") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was written")
	}
}
