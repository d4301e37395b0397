package spec_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"mmfree/ternary/goldentest"
	"mmfree/ternary/spec"
)

// TestPublishedParameterCounts is spec §13.1: the sum over the tensor list, the formula, and the published number.
func TestPublishedParameterCounts(t *testing.T) {
	for _, c := range []struct {
		name           string
		L, d, I        int
		params, triple int64
	}{
		{"370M", 24, 1024, 2816, 374_108_160, 341_049_344},
		{"1.3B", 24, 2048, 5632, 1_364_779_008, 1_298_661_376},
		{"2.7B", 32, 2560, 6912, 2_702_357_504, 2_619_473_920},
		{"13B", 40, 5120, 13824, 13_017_856_000, 12_851_609_600},
	} {
		cfg := spec.Default()
		cfg.NumHiddenLayers, cfg.HiddenSize = c.L, c.d
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		all, ternary := spec.Parameters(cfg)
		if all != c.params || ternary != c.triple || cfg.MLPWidth() != c.I {
			t.Errorf("%s: %d parameters, %d ternary, I %d; want %d, %d, %d", c.name, all, ternary, cfg.MLPWidth(), c.params, c.triple, c.I)
		}
		L, d, I, V := int64(c.L), int64(c.d), int64(c.I), int64(cfg.VocabSize)
		if formula := 2*V*d + 2*d + L*(4*d*d+3*d*I+9*d+I); formula != all {
			t.Errorf("%s: the formula gives %d, the list %d", c.name, formula, all)
		}
	}
	// Transformer++ at the same widths: spec §10.
	for _, c := range []struct {
		L, d   int
		params int64
	}{{24, 1024, 373_867_520}, {24, 2048, 1_364_297_728}, {32, 2560, 2_701_560_320}} {
		cfg := spec.Default()
		cfg.Arch, cfg.NumHiddenLayers, cfg.HiddenSize = spec.ArchTransformer, c.L, c.d
		if all, ternary := spec.Parameters(cfg); all != c.params || ternary != 0 {
			t.Errorf("transformer %d x %d: %d parameters, %d ternary; want %d, 0", c.L, c.d, all, ternary, c.params)
		}
	}
	var published map[string]struct {
		Config     json.RawMessage `json:"config"`
		Width      int             `json:"intermediate_size"`
		Parameters int64           `json:"parameters"`
	}
	goldentest.Load(t, "init").Field("published_parameter_counts", &published)
	for name, p := range published {
		var c spec.Config
		if err := json.Unmarshal(p.Config, &c); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if all, _ := spec.Parameters(c); all != p.Parameters || c.MLPWidth() != p.Width {
			t.Errorf("%s: %d parameters, I %d; want %d, %d", name, all, c.MLPWidth(), p.Parameters, p.Width)
		}
	}
}

// initialLaw is one tensor of the golden "init".
type initialLaw struct {
	Shape []int   `json:"shape"`
	Law   string  `json:"law"`
	Value float64 `json:"value"`
	Bound float64 `json:"bound"`
	Std   float64 `json:"std"`
	StdTo float64 `json:"std_tolerance"`
	Mean  float64 `json:"mean_tolerance"`
}

func TestInitGolden(t *testing.T) {
	var configs map[string]struct {
		Config     json.RawMessage       `json:"config"`
		Parameters int64                 `json:"parameters"`
		Tensors    map[string]initialLaw `json:"tensors"`
	}
	goldentest.Load(t, "init").Field("configs", &configs)
	if len(configs) == 0 {
		t.Fatal("the golden has no configurations")
	}
	for name, golden := range configs {
		t.Run(name, func(t *testing.T) { checkInit(t, golden.Config, golden.Parameters, golden.Tensors) })
	}
}

func checkInit(t *testing.T, config json.RawMessage, parameters int64, tensors map[string]initialLaw) {
	var c spec.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	if all, _ := spec.Parameters(c); all != parameters {
		t.Errorf("%d parameters, want %d", all, parameters)
	}
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Tensors) != len(tensors) {
		t.Errorf("%d tensors, the golden has %d", len(w.Tensors), len(tensors))
	}
	for seed := range uint64(3) {
		w.Init(seed)
		for i, tensor := range w.Tensors {
			law, ok := tensors[tensor.Name]
			if !ok || !reflect.DeepEqual(tensor.Shape, law.Shape) {
				t.Errorf("%s: shape %v, the golden's %v", tensor.Name, tensor.Shape, law.Shape)
				continue
			}
			checkLaw(t, tensor.Name, law, w.At(i))
		}
	}
}

func checkLaw(t *testing.T, name string, law initialLaw, x []float32) {
	t.Helper()
	var sum, squares, largest float64
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
		largest = max(largest, math.Abs(float64(v)))
		if law.Law == "constant" && float64(v) != law.Value {
			t.Errorf("%s: value %v, want %v", name, v, law.Value)
			return
		}
	}
	if law.Law == "constant" {
		return
	}
	n := float64(len(x))
	mean := sum / n
	std := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean) > law.Mean || math.Abs(std-law.Std) > law.StdTo {
		t.Errorf("%s: mean %.3g, standard deviation %.5g; want 0 ± %.3g, %.5g ± %.3g", name, mean, std, law.Mean, law.Std, law.StdTo)
	}
	if law.Bound > 0 && largest > law.Bound*(1+1e-7) {
		t.Errorf("%s: %v exceeds the bound %v", name, largest, law.Bound)
	}
}

func small() spec.Config {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 11, 6, 2, 5
	return c
}

func TestInitIsKeyedByName(t *testing.T) {
	c := small()
	pad := 4
	c.PadTokenID = &pad
	w, _ := spec.NewWeights(c)
	w.Init(1)
	for r := range c.VocabSize {
		row := w.Get(spec.EmbeddingsName)[r*c.HiddenSize:][:c.HiddenSize]
		for _, v := range row {
			if (v == 0) != (r == pad) {
				t.Errorf("embedding row %d holds %v", r, v)
			}
		}
	}
	again, _ := spec.NewWeights(c)
	again.Init(1)
	if !reflect.DeepEqual(again.Flat(), w.Flat()) {
		t.Error("the same seed gives other values")
	}
	again.Init(2)
	if reflect.DeepEqual(again.Get(spec.HeadName), w.Get(spec.HeadName)) {
		t.Error("another seed gives the same values")
	}
	more := c
	more.NumHiddenLayers, more.UseLowerBound = 3, false
	wider, _ := spec.NewWeights(more)
	wider.Init(1)
	name := spec.Layer(1) + "attn.i_proj.weight"
	if !reflect.DeepEqual(wider.Get(name), w.Get(name)) {
		t.Errorf("%s changed when other tensors came and went", name)
	}
	// Pinned: initial weights are part of what makes a run repeatable on every machine.
	for name, want := range map[string]uint32{
		spec.HeadName: 0x3b35ba4f, spec.Layer(1) + "attn.f_proj.weight": 0xbdf18340, spec.Layer(0) + "mlp.down_proj.weight": 0x3c6fd80f,
	} {
		if got := math.Float32bits(w.Get(name)[3]); got != want {
			t.Errorf("%s[3] is %#08x, pinned is %#08x", name, got, want)
		}
	}
}

func TestWeights(t *testing.T) {
	w, err := spec.NewWeights(small())
	if err != nil {
		t.Fatal(err)
	}
	end := 0
	for i, tensor := range w.Tensors {
		if at, ok := w.Index(tensor.Name); !ok || at != i {
			t.Errorf("%s: index %d, want %d", tensor.Name, at, i)
		}
		v := w.Get(tensor.Name)
		if len(v) != tensor.Elements() || cap(v) != len(v) || &v[0] != &w.At(i)[0] {
			t.Errorf("%s: %d values of capacity %d, want %d", tensor.Name, len(v), cap(v), tensor.Elements())
		}
		if off := w.Offset(i); off%16 != 0 || off < end || &w.Flat()[off] != &v[0] {
			t.Errorf("%s: offset %d, the tensor before ends at %d", tensor.Name, off, end)
		}
		end = w.Offset(i) + len(v)
	}
	if w.Get("model.nothing") != nil {
		t.Error("Get of an unknown name is not nil")
	}
	if err := w.CheckFinite(); err != nil {
		t.Error(err)
	}
	like := w.Like()
	like.Get(spec.HeadName)[5] = float32(math.Inf(-1))
	if w.Get(spec.HeadName)[5] != 0 {
		t.Error("Like shares memory")
	}
	var e *spec.ValueError
	if err := like.CheckFinite(); !errors.As(err, &e) || e.Tensor != spec.HeadName || e.Index != 5 || !errors.Is(err, spec.ErrConfig) {
		t.Errorf("error %v, want one that names %s, value 5", err, spec.HeadName)
	}
	if _, err := spec.NewWeights(spec.Config{}); !errors.Is(err, spec.ErrConfig) {
		t.Errorf("an empty configuration: error %v", err)
	}
}

func TestTensorsOfVariants(t *testing.T) {
	has := func(list []spec.Tensor, name string) *spec.Tensor {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
		return nil
	}
	tied := small()
	tied.TieWordEmbeddings = true
	if has(spec.Tensors(tied), spec.HeadName) != nil || has(spec.Tensors(tied), spec.HeadNormName) == nil {
		t.Error("a tied model has no head of its own, but its norm")
	}
	if head := has(spec.PackedTensors(tied), spec.HeadName); head == nil || head.Kind != spec.Ternary {
		t.Errorf("the packed head of a tied model is %v", head)
	}
	if got := spec.ShadowName(tied, spec.HeadName); got != spec.EmbeddingsName {
		t.Errorf("the tied head is made from %s", got)
	}
	if got := spec.ShadowName(small(), spec.HeadName); got != spec.HeadName {
		t.Errorf("the head is made from %s", got)
	}
	unbounded := small()
	unbounded.UseLowerBound, unbounded.ExpandRatio = false, 1.5
	list := spec.Tensors(unbounded)
	if has(list, spec.LowerBoundsName) != nil {
		t.Error("bounds without use_lower_bound")
	}
	if i, o := has(list, spec.Layer(0)+"attn.i_proj.weight"), has(list, spec.Layer(0)+"attn.o_proj.weight"); i.Shape[0] != 9 || o.Shape[1] != 9 {
		t.Errorf("shapes %v and %v, want D = 9", i.Shape, o.Shape)
	}
	dense := small()
	dense.DownProj = spec.DownDenseUnnormed
	if down := has(spec.Tensors(dense), spec.Layer(0)+"mlp.down_proj.weight"); down.Kind != spec.Dense || !down.Decay {
		t.Errorf("dense down projection: %+v", down)
	}
	for _, tensor := range spec.Tensors(small()) { // weight decay acts on matrices alone
		if want := tensor.Kind == spec.Ternary || tensor.Kind == spec.Embedding; tensor.Decay != want {
			t.Errorf("%s: decay %v", tensor.Name, tensor.Decay)
		}
		if strings.Contains(tensor.Name, "norm") != (tensor.Kind == spec.Gain) {
			t.Errorf("%s is of kind %v", tensor.Name, tensor.Kind)
		}
	}
}
