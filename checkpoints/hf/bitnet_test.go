package hf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
)

// bitnet returns the weights of a small BitNet whose matrices have rows that are no multiple of four.
func bitnet(t testing.TB) *spec.Weights {
	t.Helper()
	var c spec.Config
	must(t, json.Unmarshal([]byte(`{"model_type":"bitnet","vocab_size":11,"hidden_size":12,"intermediate_size":14,"num_hidden_layers":2,
		"num_attention_heads":3,"num_key_value_heads":3,"tie_word_embeddings":true,"x":1}`), &c))
	w, err := spec.NewWeights(c)
	must(t, err)
	w.Init(3)
	return w
}

// byHand packs codes as spec §11 words it: row block i of four sits in bits 2i and 2i+1 as code plus one.
func byHand(w *spec.Weights, scale func(m float32) float32) (tensors []safetensors.Tensor) {
	p, err := pack.Build(w)
	if err != nil {
		panic(err)
	}
	for i, x := range w.Tensors {
		m := p.Matrix(x.Name)
		if m == nil {
			tensors = append(tensors, safetensors.Float32Tensor(x.Name, x.Shape, w.At(i), dtype.F32))
			continue
		}
		codes := make([]int8, m.Rows*m.Cols)
		m.Decode(codes, 0, m.Superblocks())
		q := (m.Rows + 3) / 4
		b := make([]byte, q*m.Cols)
		for r := range m.Rows {
			for k := range m.Cols {
				b[r%q*m.Cols+k] |= byte(codes[r*m.Cols+k]+1) << (2 * (r / q))
			}
		}
		tensors = append(tensors, bytesTensor(x.Name, []int{q, m.Cols}, b),
			safetensors.Float32Tensor(x.Name+"_scale", []int{1}, []float32{scale(m.Scale)}, dtype.F32))
	}
	return tensors
}

// packedFolder writes a folder of a foreign program.
func packedFolder(t testing.TB, w *spec.Weights, quantization string, scale func(float32) float32, spoil func([]safetensors.Tensor)) string {
	t.Helper()
	dir := t.TempDir()
	c := w.Config
	c.Extra = map[string]json.RawMessage{"x": json.RawMessage("1")}
	if quantization != "" {
		c.Extra["quantization_config"] = json.RawMessage(quantization)
	}
	text, err := json.Marshal(c)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), text, 0o644))
	tensors := byHand(w, scale)
	if spoil != nil {
		spoil(tensors)
	}
	put(t, dir, hf.ModelName, tensors)
	return dir
}

func times(m float32) float32 { return m }
func over(m float32) float32  { return 1 / m }

const (
	saysTimes = `{"quant_method":"bitnet","linear_class":"autobitlinear"}`
	saysOver  = `{"quant_method":"bitnet","linear_class":"bitlinear"}`
)

// TestConventions reads folders in both conventions, with and without a statement, and with a false one: always the same
// codes, and the same scales but for the rounding of 1/(1/m).
func TestConventions(t *testing.T) {
	w := bitnet(t)
	for i := range w.Tensors { // powers of two: their inverses are exact
		if w.Tensors[i].Kind == spec.Ternary {
			for j := range w.At(i) {
				w.At(i)[j] = float32(j%3-1) * 0x1p-6
			}
		}
	}
	want, err := pack.Build(w)
	must(t, err)
	for _, c := range []struct {
		name, says, because, warning string
		scale                        func(float32) float32
	}{
		{"stated times", saysTimes, "code * weight_scale (stated by linear_class autobitlinear", "", times},
		{"stated over", saysOver, "code / weight_scale (stated by linear_class bitlinear", "", over},
		{"not stated, small", "", "code * weight_scale (config.json does not say; by their size: the middle of 14 scales is 0.01562", "", times},
		{"not stated, large", "", "code / weight_scale (config.json does not say; by their size", "", over},
		{"class not stated, small", `{"quant_method":"bitnet"}`, "code * weight_scale", "", times},
		{"class not stated, large", `{"quant_method":"bitnet"}`, "code / weight_scale", "", over},
		{"falsely times", saysTimes, "code / weight_scale (by their size", "config.json says linear_class autobitlinear", over},
		{"stated twice, and right whatever the sizes", `{"linear_class":"bitlinear","weight_scale_convention":"divide"}`, "code / weight_scale (stated by", "", over},
		{"stated twice, and not the same", `{"linear_class":"bitlinear","weight_scale_convention":"multiply"}`, "code * weight_scale (by their size", "config.json says linear_class bitlinear", times},
		{"falsely over", saysOver, "code * weight_scale (by their size", "config.json says linear_class bitlinear", times},
	} {
		m, err := hf.Open(packedFolder(t, w, c.says, c.scale, nil))
		must(t, err)
		if m.Format != hf.FormatBitNet || !strings.Contains(m.Scales, c.because) {
			t.Errorf("%s: format %q, scales %q", c.name, m.Format, m.Scales)
		}
		if c.warning == "" && len(m.Warnings) > 0 || c.warning != "" && !strings.Contains(strings.Join(m.Warnings, "\n"), c.warning) {
			t.Errorf("%s: warnings %q", c.name, m.Warnings)
		}
		if _, kept := m.Config.Extra["quantization_config"]; kept || string(m.Config.Extra["x"]) != "1" {
			t.Errorf("%s: fields %v", c.name, m.Config.Extra)
		}
		got, err := m.Packed()
		must(t, err)
		samePacked(t, c.name, want, got)
		must(t, m.Close())
	}
	doubtful := bitnet(t)
	for i := range doubtful.Tensors {
		for j := range doubtful.At(i) {
			doubtful.At(i)[j] = float32(j%3 - 1)
		}
	}
	m, err := hf.Open(packedFolder(t, doubtful, `{"quant_method":"bitnet"}`, times, nil))
	must(t, err)
	if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "does not say whether") || !strings.Contains(m.Scales, "/") {
		t.Errorf("scales of 1: %q, %q", m.Warnings, m.Scales)
	}
	must(t, m.Close())
}

func samePacked(t testing.TB, name string, want, got *pack.Model) {
	t.Helper()
	for _, x := range want.Tensors {
		a, b := want.Matrix(x.Name), got.Matrix(x.Name)
		if a == nil {
			if fmt.Sprint(bits(want.Dense(x.Name))) != fmt.Sprint(bits(got.Dense(x.Name))) {
				t.Errorf("%s: %s differs", name, x.Name)
			}
			continue
		}
		if math.Float32bits(a.Scale) != math.Float32bits(b.Scale) || fmt.Sprint(a.Words) != fmt.Sprint(b.Words) {
			t.Errorf("%s: %s: scale %v, want %v, or other codes", name, x.Name, b.Scale, a.Scale)
		}
	}
}

// TestPackedOut writes the packed form in both conventions, compares every byte with one packed by hand, and reads it again.
func TestPackedOut(t *testing.T) {
	w := bitnet(t)
	want, err := pack.Build(w)
	must(t, err)
	for _, conv := range []hf.Convention{hf.Multiply, hf.Divide} {
		dir := filepath.Join(t.TempDir(), "out")
		warnings, err := hf.Write(durable.OS{}, dir, stored.Of(w), hf.Options{Packed: conv})
		must(t, err)
		if conv == hf.Multiply {
			if len(warnings) > 0 {
				t.Errorf("warnings %q", warnings)
			}
			sameTensors(t, packedFolder(t, w, saysTimes, times, nil), dir)
		}
		m, err := hf.Open(dir)
		must(t, err)
		got, err := m.Packed()
		must(t, err)
		if len(warnings) == 0 { // else a scale is the inverse of no float32, which was said
			samePacked(t, string(conv), want, got)
		}
		again := filepath.Join(t.TempDir(), "again")
		_, err = hf.Write(durable.OS{}, again, m, hf.Options{Packed: hf.Multiply})
		must(t, err)
		third, err := hf.Open(again)
		must(t, err)
		final, err := third.Packed()
		must(t, err)
		samePacked(t, "written again", got, final)
		must(t, m.Close())
		must(t, third.Close())
	}
	var c spec.Config
	must(t, json.Unmarshal([]byte(`{"model_type":"llama","vocab_size":5,"hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,"num_attention_heads":1}`), &c))
	dense, err := spec.NewWeights(c)
	must(t, err)
	if _, err := hf.Write(durable.OS{}, filepath.Join(t.TempDir(), "x"), stored.Of(dense), hf.Options{Packed: hf.Multiply}); err == nil || !strings.Contains(err.Error(), "no ternary tensors") {
		t.Errorf("a transformer packed: %v", err)
	}
}

// TestOnline: transformers quantises full-precision weights only where config.json says so, and then takes the mean for the scale.
func TestOnline(t *testing.T) {
	const says = `{"quant_method":"bitnet","linear_class":"autobitlinear","quantization_mode":"online"}`
	stated := func(m *stored.Model, o hf.Options) (dir, text string) {
		t.Helper()
		dir = filepath.Join(t.TempDir(), "out")
		_, err := hf.Write(durable.OS{}, dir, m, o)
		must(t, err)
		var c map[string]json.RawMessage
		must(t, json.Unmarshal(read(t, dir, hf.ConfigName), &c))
		var b bytes.Buffer
		if raw, ok := c["quantization_config"]; ok {
			must(t, json.Compact(&b, raw))
		}
		return dir, b.String()
	}
	w := bitnet(t)
	dir, got := stated(stored.Of(w), hf.Options{})
	if got != says {
		t.Errorf("stated is %q, want %s", got, says)
	}
	m, err := hf.Open(dir)
	must(t, err)
	again, got := stated(m, hf.Options{})
	if got != says || !bytes.Equal(read(t, dir, hf.ConfigName), read(t, again, hf.ConfigName)) {
		t.Errorf("written again: stated is %q", got)
	}
	packed, _ := stated(m, hf.Options{Packed: hf.Multiply})
	must(t, m.Close())

	m, err = hf.Open(packed) // codes: the mean of code * scale is not the scale, whoever states it
	must(t, err)
	m.Config.Extra = map[string]json.RawMessage{"quantization_config": json.RawMessage(says)}
	if _, got := stated(m, hf.Options{}); got != "" {
		t.Errorf("code * scale: stated is %q", got)
	}
	must(t, m.Close())

	const others = `{"quant_method":"bitnet","modules_to_not_convert":["lm_head"]}`
	own := *w
	own.Config.Extra = map[string]json.RawMessage{"quantization_config": json.RawMessage(others)}
	if _, got := stated(stored.Of(&own), hf.Options{}); got != others {
		t.Errorf("another program's statement became %q", got)
	}
	for name, change := range map[string]func(*spec.Config){
		"bitlinear norms":   func(c *spec.Config) { c.NormPlacement = spec.NormBitLinear },
		"ternary head":      func(c *spec.Config) { c.LMHead, c.TieWordEmbeddings = spec.HeadBitLinear, false },
		"ternary attention": func(c *spec.Config) { c.TernaryAttention = true },
		"transformer":       func(c *spec.Config) { c.Arch, c.HiddenAct = spec.ArchTransformer, spec.ActSilu },
	} {
		c := w.Config
		change(&c)
		other, err := spec.NewWeights(c)
		must(t, err)
		other.Init(3)
		if _, got := stated(stored.Of(other), hf.Options{}); got != "" {
			t.Errorf("%s, which transformers' BitNet does not have: stated is %q", name, got)
		}
	}
}

func TestPackedRefusals(t *testing.T) {
	w := bitnet(t)
	name := spec.Layer(0) + "self_attn.q_proj.weight"
	replace := func(list []safetensors.Tensor, name string, with safetensors.Tensor) {
		for i := range list {
			if list[i].Name == name {
				list[i] = with
			}
		}
	}
	for want, c := range map[string]struct {
		says  string
		spoil func([]safetensors.Tensor)
	}{
		"has no " + name + "_scale": {saysTimes, func(l []safetensors.Tensor) {
			replace(l, name+"_scale", safetensors.Float32Tensor("other", []int{1}, []float32{1}, dtype.F32))
		}},
		"has the scale 0": {saysTimes, func(l []safetensors.Tensor) {
			replace(l, name+"_scale", safetensors.Float32Tensor(name+"_scale", []int{1}, []float32{0}, dtype.F32))
		}},
		"has a scale that is not one F32": {saysTimes, func(l []safetensors.Tensor) {
			replace(l, name+"_scale", safetensors.Float32Tensor(name+"_scale", []int{12}, make([]float32, 12), dtype.F32))
		}},
		"[0 12], not [12 12]": {saysTimes, func(l []safetensors.Tensor) { replace(l, name, bytesTensor(name, []int{0, 12}, nil)) }},
		"has the code 3": {saysTimes, func(l []safetensors.Tensor) {
			b := make([]byte, 36)
			b[13] = 0b11_00
			replace(l, name, bytesTensor(name, []int{3, 12}, b))
		}},
		`quant_method "gptq"`:       {`{"quant_method":"gptq"}`, nil},
		"asks for use_rms_norm":     {`{"quant_method":"bitnet","use_rms_norm":true}`, nil},
		"quantization_config: is 7": {`7`, nil},
	} {
		m, err := hf.Open(packedFolder(t, w, c.says, times, c.spoil))
		if err == nil {
			_, err = m.Packed()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestShards writes files of a limited size and reads them again; equal models give equal bytes.
func TestShards(t *testing.T) {
	w := model(t, dtype.F32, "float32")
	var first map[string]bool
	for range 2 {
		dir := filepath.Join(t.TempDir(), "out")
		var done, all int64
		_, err := hf.Write(durable.OS{}, dir, stored.Of(w), hf.Options{MaxShard: 900, Progress: func(d, a int64) error { done, all = d, a; return nil }})
		must(t, err)
		names := listing(t, dir)
		if len(names) < 5 || names[hf.ModelName] || !names[hf.IndexName] {
			t.Fatalf("the folder holds %v", names)
		}
		if done < all || all == 0 {
			t.Errorf("progress ended at %d of %d", done, all)
		}
		content := map[string]bool{}
		for name := range names {
			b := read(t, dir, name)
			content[name+string(b)] = true
			if f, err := safetensors.Parse(name, b); err == nil && len(f.Data()) > 900 && len(f.Tensors()) > 1 {
				t.Errorf("%s holds %d bytes", name, len(f.Data()))
			}
		}
		if first != nil && fmt.Sprint(len(first)) != fmt.Sprint(len(content)) {
			t.Error("other files the second time")
		}
		for key := range first {
			if !content[key] {
				t.Errorf("%.40s differs the second time", key)
			}
		}
		first = content
		got, _, err := hf.Load(dir)
		must(t, err)
		if fmt.Sprint(bits(got.Flat())) != fmt.Sprint(bits(w.Flat())) {
			t.Error("other values")
		}
	}
}

// TestStop: an error of Progress ends the writing and leaves nothing.
func TestStop(t *testing.T) {
	parent := t.TempDir()
	stop := fmt.Errorf("enough")
	_, err := hf.Write(durable.OS{}, filepath.Join(parent, "out"), stored.Of(bitnet(t)), hf.Options{Progress: func(done, _ int64) error {
		if done > 2000 {
			return stop
		}
		return nil
	}})
	if err != stop || len(listing(t, parent)) > 0 {
		t.Errorf("%v, and %v is left", err, listing(t, parent))
	}
}

// TestChosenType rounds to the type asked for, and says so in config.json.
func TestChosenType(t *testing.T) {
	w := bitnet(t)
	for typ, name := range map[dtype.Type]string{dtype.BF16: "bfloat16", dtype.F16: "float16"} {
		dir := filepath.Join(t.TempDir(), "out")
		_, err := hf.Write(durable.OS{}, dir, stored.Of(w), hf.Options{DType: typ})
		must(t, err)
		_, info, err := hf.Load(dir)
		must(t, err)
		for tensor, have := range info.Types {
			if have != typ {
				t.Errorf("%s is %s", tensor, have)
			}
		}
		if !strings.Contains(string(read(t, dir, hf.ConfigName)), fmt.Sprintf(`"torch_dtype": %q`, name)) {
			t.Errorf("config.json does not say %s", name)
		}
	}
}

// TestNotFinite: a value that no model may hold is named by tensor and index.
func TestNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		w := bitnet(t)
		w.At(3)[5] = float32(bad)
		want := fmt.Sprintf("tensor %s: value 5 is %v", w.Tensors[3].Name, float32(bad))
		for _, o := range []hf.Options{{Finite: true}, {Packed: hf.Multiply, Finite: true}} {
			parent := t.TempDir()
			_, err := hf.Write(durable.OS{}, filepath.Join(parent, "x"), stored.Of(w), o)
			if err == nil || !strings.Contains(err.Error(), want) || len(listing(t, parent)) > 0 {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	}
}

func bytesTensor(name string, shape []int, b []byte) safetensors.Tensor {
	return safetensors.Tensor{Name: name, DType: "U8", Shape: shape, Data: func(w io.Writer) error { _, err := w.Write(b); return err }}
}

// TestOneBit reads a folder of the independent reproduction: another class, and two norms under other names.
func TestOneBit(t *testing.T) {
	w := bitnet(t)
	w.Config.HiddenAct = spec.ActSilu
	dir := filepath.Join(t.TempDir(), "m")
	must(t, os.Mkdir(dir, 0o755))
	var tensors []safetensors.Tensor
	for i, x := range w.Tensors {
		name := strings.ReplaceAll(strings.ReplaceAll(x.Name, "attn_sub_norm", "inner_attn_ln"), "ffn_sub_norm", "ffn_layernorm")
		tensors = append(tensors, safetensors.Float32Tensor(name, x.Shape, w.At(i), dtype.F32))
	}
	put(t, dir, hf.ModelName, tensors)
	const config = `{"architectures":["BitnetForCausalLM"],"model_type":"llama","vocab_size":11,"hidden_size":12,"intermediate_size":14,
		"num_hidden_layers":2,"num_attention_heads":3,"tie_word_embeddings":true,"rms_norm_eps":1e-5,"weight_bits":1,"input_bits":8}`
	must(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), []byte(config), 0o644))
	got, info, err := hf.Load(dir)
	must(t, err)
	c := got.Config
	if c.Arch != spec.ArchBitNet || c.NormPlacement != spec.NormSubLN || c.HiddenAct != spec.ActSilu || c.RopeTheta != 10000 || len(info.Warnings) > 0 {
		t.Errorf("%+v, warnings %q", c, info.Warnings)
	}
	if fmt.Sprint(bits(got.Flat())) != fmt.Sprint(bits(w.Flat())) {
		t.Error("other values")
	}
	must(t, os.WriteFile(filepath.Join(dir, hf.ConfigName), []byte(strings.Replace(config, `"input_bits":8`, `"input_bits":4`, 1)), 0o644))
	if _, _, err := hf.Load(dir); err == nil || !strings.Contains(err.Error(), "input_bits: is 4") {
		t.Errorf("activations of 4 bits: %v", err)
	}
}

// TestOddScales: what is written here is read as it was meant, be all scales as large as no model's.
func TestOddScales(t *testing.T) {
	w := bitnet(t)
	for i := range w.Tensors {
		if w.Tensors[i].Kind == spec.Ternary {
			for j := range w.At(i) {
				w.At(i)[j] = float32(j%3-1) * 0x1p20
			}
		}
	}
	want, err := pack.Build(w)
	must(t, err)
	for _, conv := range []hf.Convention{hf.Multiply, hf.Divide} {
		dir := filepath.Join(t.TempDir(), "out")
		_, err := hf.Write(durable.OS{}, dir, stored.Of(w), hf.Options{Packed: conv})
		must(t, err)
		m, err := hf.Open(dir)
		must(t, err)
		got, err := m.Packed()
		must(t, err)
		samePacked(t, string(conv), want, got)
		if len(m.Warnings) > 0 {
			t.Errorf("warnings %q", m.Warnings)
		}
		must(t, m.Close())
	}
}
