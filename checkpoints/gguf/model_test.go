package gguf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/format"
	"mmfree/checkpoints/gguf"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// foreignFile is a model as another program would write it: names, types and order of rows by the format's own text.
type foreignFile struct {
	keys    []gguf.Key
	tensors []gguf.Output
}

func (f *foreignFile) key(name string, value any) {
	f.keys = append(f.keys, gguf.Key{Name: name, Value: value})
}

func (f *foreignFile) tensor(name string, shape []int, t gguf.Type, data []byte) {
	f.tensors = append(f.tensors, gguf.Output{Name: name, Shape: shape, Type: t, Data: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}})
}

func (f *foreignFile) bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := gguf.Write(&b, f.keys, f.tensors)
	if err != nil || n != int64(b.Len()) {
		t.Fatal(n, err)
	}
	return b.Bytes()
}

// describe writes the keys of a configuration that every program knows.
func (f *foreignFile) describe(arch string, c *spec.Config) {
	heads, groups, _ := c.Attention()
	f.key("general.architecture", arch)
	for name, n := range map[string]int{
		"context_length": c.MaxPositionEmbeddings, "embedding_length": c.HiddenSize, "block_count": c.NumHiddenLayers,
		"feed_forward_length": c.IntermediateSize, "attention.head_count": heads, "attention.head_count_kv": groups,
	} {
		f.key(arch+"."+name, uint32(n))
	}
	f.key(arch+".attention.layer_norm_rms_epsilon", float32(c.RMSNormEps))
}

func floatBytes(v []float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// ggmlName is the test's own list of names.
func ggmlName(name string) string {
	r := strings.NewReplacer(
		"model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output", "model.layers.", "blk.",
		"input_layernorm", "attn_norm", "self_attn.attn_sub_norm", "attn_sub_norm", "mlp.ffn_sub_norm", "ffn_sub_norm",
		"self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output",
		"post_attention_layernorm", "ffn_norm", "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down",
	)
	return r.Replace(name)
}

// interleave is transformers' permute for GGUF: reshape [heads, 2, width/2], swap the last two, and back.
func interleave(v []float32, rows, cols, width int) []float32 {
	out := make([]float32, 0, len(v))
	for h := range rows / width {
		for j := range width / 2 {
			for i := range 2 {
				row := h*width + i*width/2 + j
				out = append(out, v[row*cols:][:cols]...)
			}
		}
	}
	return out
}

func attentionConfig(arch string) spec.Config {
	c := spec.Default()
	c.Arch, c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = arch, 11, 256, 2, 256
	c.NumAttentionHeads, c.NumKeyValueHeads, c.MaxPositionEmbeddings, c.RMSNormEps = 8, 4, 64, 1e-5
	return c
}

func weights(t testing.TB, c spec.Config) *spec.Weights {
	t.Helper()
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(5)
	return w
}

// llamaFile is a transformer as the llama.cpp family has it.
func llamaFile(w *spec.Weights) *foreignFile {
	var f foreignFile
	c := &w.Config
	f.describe("llama", c)
	f.key("tokenizer.ggml.bos_token_id", uint32(1))
	f.key("tokenizer.ggml.eos_token_id", uint32(2))
	_, _, width := c.Attention()
	for i, t := range w.Tensors {
		v := w.At(i)
		if strings.Contains(t.Name, "q_proj") || strings.Contains(t.Name, "k_proj") {
			v = interleave(v, t.Shape[0], t.Shape[1], width)
		}
		f.tensor(ggmlName(t.Name), t.Shape, gguf.F32, floatBytes(v))
	}
	return &f
}

func model(t testing.TB, file []byte) (*stored.Model, error) {
	t.Helper()
	f, err := gguf.Parse("F", file)
	if err != nil {
		t.Fatal(err)
	}
	return f.Model()
}

func TestForeignLlama(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := attentionConfig(spec.ArchTransformer)
		c.TieWordEmbeddings = tied
		w := weights(t, c)
		m, err := model(t, llamaFile(w).bytes(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Weights()
		if err != nil {
			t.Fatal(err)
		}
		if g := got.Config; g.Arch != c.Arch || g.TieWordEmbeddings != tied || g.RMSNormEps != 1e-5 || g.VocabSize != 11 || *g.BOSTokenID != 1 || *g.EOSTokenID != 2 || g.PadTokenID != nil {
			t.Errorf("configuration %+v", g)
		}
		for i, want := range w.Tensors {
			if !slices.Equal(got.Get(want.Name), w.At(i)) {
				t.Errorf("tied %v: %s has other values", tied, want.Name)
			}
		}
	}
}

// TestForeignBitNet reads codes of every type, with the scale in the blocks, beside the tensor, or in both.
func TestForeignBitNet(t *testing.T) {
	c := attentionConfig(spec.ArchBitNet)
	c.TieWordEmbeddings = true
	w := weights(t, c)
	const half, two = 0x3800, 0x4000 // 0.5 and 2 as float16
	var f foreignFile
	f.describe("bitnet", &c)
	codes, scales := map[string][]int8{}, map[string]float32{}
	for i, tensor := range w.Tensors {
		name, n := ggmlName(tensor.Name), tensor.Elements()
		if tensor.Kind != spec.Ternary {
			f.tensor(name, tensor.Shape, gguf.F32, floatBytes(w.At(i)))
			continue
		}
		q := make([]int8, n)
		for j := range q {
			q[j] = int8((j*7+i*3+j/5)%3) - 1
		}
		codes[tensor.Name] = q
		var b []byte
		kind, scale, beside := gguf.TQ2, float32(0.5), float32(0)
		switch i % 5 {
		case 0:
			for at := 0; at < n; at += 256 {
				b = append(b, encodeTQ2(q[at:][:256], half)...)
			}
		case 1:
			kind, scale, beside = gguf.TQ1, 0.6, 0.3
			for at := 0; at < n; at += 256 {
				b = append(b, encodeTQ1(q[at:][:256], two)...)
			}
		case 2:
			kind, scale, b = gguf.I2S, 0.3, encodeI2S(q, 0.3)
		case 3: // whole numbers beside a scale
			kind, scale, beside = gguf.F32, 0.7, 0.7
			for _, v := range q {
				b = append(b, floatBytes([]float32{float32(v)})...)
			}
		case 4: // zeros, which have no scale
			q = make([]int8, n)
			codes[tensor.Name], scale = q, 1e-5
			for at := 0; at < n; at += 256 {
				b = append(b, encodeTQ2(q[at:][:256], 0)...)
			}
		}
		scales[tensor.Name] = scale
		f.tensor(name, tensor.Shape, kind, b)
		if beside != 0 {
			f.tensor(strings.TrimSuffix(name, "weight")+"scale", []int{1}, gguf.F32, floatBytes([]float32{beside}))
		}
	}
	m, err := model(t, f.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	if m.Scales == "" || m.Config.HiddenAct != spec.ActSilu || m.Config.NormPlacement != spec.NormSubLN {
		t.Errorf("%q, %+v", m.Scales, m.Config)
	}
	p, err := m.Packed()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range codes {
		x := p.Matrix(name)
		got := make([]int8, x.Rows*x.Cols)
		x.Decode(got, 0, x.Superblocks())
		if !slices.Equal(got, want) || x.Scale != scales[name] {
			t.Errorf("%s: codes equal %v, scale %v, want %v", name, slices.Equal(got, want), x.Scale, scales[name])
		}
	}
}

// TestRefusedModels: what this program would compute otherwise than the file means is an error that says what it is.
func TestRefusedModels(t *testing.T) {
	w := weights(t, attentionConfig(spec.ArchTransformer))
	set := func(key string, value any) func(*foreignFile) {
		return func(f *foreignFile) {
			for i := range f.keys {
				if f.keys[i].Name == key {
					f.keys[i].Value = value
					return
				}
			}
			f.key(key, value)
		}
	}
	other := weights(t, attentionConfig(spec.ArchTransformer)).Config
	other.RopeTheta = 20000
	text, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	recurrent := spec.Default()
	recurrent.Arch = spec.ArchRWKV4
	foreign, err := json.Marshal(recurrent)
	if err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*foreignFile){
		"general.architecture is \"gptj\"": set("general.architecture", "gptj"),
		"general.architecture is missing":  func(f *foreignFile) { f.keys = f.keys[1:] },
		"llama.context_length is missing": func(f *foreignFile) {
			f.keys = slices.DeleteFunc(f.keys, func(k gguf.Key) bool { return k.Name == "llama.context_length" })
		},
		"llama.attention.head_count_kv is no whole": set("llama.attention.head_count_kv", []int32{4, 2}),
		"llama.expert_count is 8":                   set("llama.expert_count", uint32(8)),
		"llama.rope.dimension_count is 16":          set("llama.rope.dimension_count", uint32(16)),
		"llama.rope.scaling.type is \"yarn\"":       set("llama.rope.scaling.type", "yarn"),
		"llama.rope.scaling.factor is 4":            set("llama.rope.scaling.factor", float32(4)),
		"llama.attention.layer_norm_rms_epsilon":    set("llama.attention.layer_norm_rms_epsilon", "small"),
		"model.rms_norm_eps":                        set("llama.attention.layer_norm_rms_epsilon", float32(math.Inf(1))),
		"llama.rope.freq_base contradicts": func(f *foreignFile) {
			f.key("llama.rope.freq_base", float32(10000))
			f.key("mmfree.config", string(text))
		},
		"mmfree.config states the architecture rwkv4": func(f *foreignFile) { f.key("mmfree.config", string(foreign)) },
		"key mmfree.config":                           set("mmfree.config", "{"),
		"\"blk.1.attn_q.weight\" is missing": func(f *foreignFile) {
			f.tensors = slices.DeleteFunc(f.tensors, func(o gguf.Output) bool { return o.Name == "blk.1.attn_q.weight" })
		},
		"\"blk.0.attn_q.bias\" is no part": func(f *foreignFile) { f.tensor("blk.0.attn_q.bias", []int{2}, gguf.F32, make([]byte, 8)) },
		"\"output_norm.weight\" is [1 256], not [256]": func(f *foreignFile) {
			for i := range f.tensors {
				if f.tensors[i].Name == "output_norm.weight" {
					f.tensors[i].Shape = []int{1, 256}
				}
			}
		},
	} {
		f := llamaFile(w)
		spoil(f)
		m, err := model(t, f.bytes(t))
		var h interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &h) || h.Hint() == "" {
			t.Errorf("want %q, got %v, %v", want, m != nil, err)
		}
		if err != nil && !errors.Is(err, format.ErrFormat) && !errors.Is(err, spec.ErrConfig) {
			t.Errorf("%v is of no class", err)
		}
	}
}

// TestRefusedCodes: faults that lie in the data of a ternary tensor.
func TestRefusedCodes(t *testing.T) {
	c := attentionConfig(spec.ArchBitNet)
	c.NumHiddenLayers, c.TieWordEmbeddings = 1, true
	w := weights(t, c)
	trits := make([]int8, 256)
	trits[3] = 1
	block := func(scale uint16) []byte { return encodeTQ2(trits, scale) }
	build := func(data func(rows int) (gguf.Type, []byte), scale []float32) []byte {
		var f foreignFile
		f.describe("bitnet", &c)
		for i, tensor := range w.Tensors {
			name := ggmlName(tensor.Name)
			if strings.Contains(name, "ffn_down") {
				kind, b := data(tensor.Shape[0])
				f.tensor(name, tensor.Shape, kind, b)
				if scale != nil {
					f.tensor("blk.0.ffn_down.scale", []int{len(scale)}, gguf.F32, floatBytes(scale))
				}
				continue
			}
			f.tensor(name, tensor.Shape, gguf.F32, floatBytes(w.At(i)))
		}
		return f.bytes(t)
	}
	repeat := func(last uint16) func(int) (gguf.Type, []byte) {
		return func(rows int) (gguf.Type, []byte) {
			return gguf.TQ2, append(bytes.Repeat(block(0x3800), rows-1), block(last)...)
		}
	}
	for want, file := range map[string][]byte{
		"":                      build(repeat(0x3800), nil),
		"another scale":         build(repeat(0x3c00), nil),
		"its scale is 0":        build(repeat(0x3800), []float32{0}),
		"its scale is -0.5":     build(func(rows int) (gguf.Type, []byte) { return gguf.TQ2, bytes.Repeat(block(0xb800), rows) }, nil),
		"its scale is +Inf":     build(repeat(0x3800), []float32{float32(math.Inf(1))}),
		"its scale is NaN":      build(repeat(0x3800), []float32{float32(math.NaN())}),
		".scale is not one F32": build(repeat(0x3800), []float32{1, 1}),
		"value 65535 is 0.5": build(func(rows int) (gguf.Type, []byte) {
			return gguf.F32, append(make([]byte, 4*(256*rows-1)), floatBytes([]float32{0.5})...)
		}, []float32{1}),
		"block 255 holds a code": build(func(rows int) (gguf.Type, []byte) {
			b := bytes.Repeat(block(0x3800), rows)
			b[len(b)-10] = 0xff
			return gguf.TQ2, b
		}, nil),
	} {
		m, err := model(t, file)
		if err == nil {
			_, err = m.Packed()
		}
		if fmt.Sprint(err) == "<nil>" && want == "" {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) || !errors.Is(err, format.ErrFormat) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// FuzzModel opens models in files of any bytes; what is opened can be read.
func FuzzModel(f *testing.F) {
	c := attentionConfig(spec.ArchTransformer)
	c.VocabSize, c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads = 3, 4, 4, 1, 1, 1
	f.Add(llamaFile(weights(f, c)).bytes(f))
	f.Add(whole())
	if shared := os.Getenv("MMFREE_SHARED"); shared != "" {
		names, _ := filepath.Glob(filepath.Join(shared, "data", "robustness", "gguf", "*.gguf"))
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Parse("F", b)
		if err != nil {
			if !errors.Is(err, format.ErrFormat) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		m, err := file.Model()
		if err != nil {
			if !errors.Is(err, format.ErrFormat) && !errors.Is(err, spec.ErrConfig) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		for i := range m.Tensors {
			rows, cols := m.Tensors[i].Rows()
			if err := m.Tensors[i].ReadRows(make([]float32, cols), rows-1); err != nil && !errors.Is(err, format.ErrFormat) {
				t.Fatal(err)
			}
		}
	})
}
