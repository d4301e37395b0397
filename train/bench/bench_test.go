package bench

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"mmfree/checkpoints/packed"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
	"mmfree/train/optim"
)

func tinyShape() Shape {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 19, 24, 2, 40
	return Shape{Name: "tiny", Model: c}
}

func setting(t *testing.T) Setting {
	t.Helper()
	pool := par.New(2)
	t.Cleanup(pool.Close)
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	return Setting{Set: set, Pool: pool, Budget: time.Millisecond}
}

func check(t *testing.T, r *Report, want ...string) {
	t.Helper()
	m := r.Machine
	for name, v := range map[string]float64{
		"memory": m.MemoryReadGBs, "cache": m.CacheReadGBs, "f32": m.F32GFLOPS, "cores": float64(m.Cores), "threads": float64(m.Threads),
	} {
		if !(v > 0) || math.IsInf(v, 0) {
			t.Errorf("machine: %s is %v", name, v)
		}
	}
	if m.CPU == "" || m.ISA == "" || m.Probe == "" {
		t.Errorf("machine: %+v", m)
	}
	var names []string
	for _, x := range r.Results {
		names = append(names, x.Name)
		estimate := strings.HasPrefix(x.Name, "time/") || strings.HasPrefix(x.Name, "fused/")
		if math.IsNaN(x.Value) || math.IsInf(x.Value, 0) || x.Value <= 0 && !estimate || x.Unit == "" || x.Threads != 2 || x.ISA != m.ISA {
			t.Errorf("%+v", x)
		}
		if (x.Limit == "") != math.IsNaN(x.OfLimit) || x.Limit != "" && !(x.OfLimit >= 0) {
			t.Errorf("%s is %v of limit %q", x.Name, x.OfLimit, x.Limit)
		}
	}
	all := " " + strings.Join(names, "  ") + " "
	for _, name := range want {
		if !strings.Contains(all, " "+name+" ") {
			t.Errorf("%s is missing from %q", name, names)
		}
	}
}

func TestKernels(t *testing.T) {
	s := setting(t)
	large := tinyShape()
	large.Model.HiddenSize = 512
	r, err := Kernels(t.Context(), s, []Shape{large, tinyShape()})
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, "MatMul", "MatVec/cache", "MatVec/memory", "MatMulFloat", "OuterCodes", "OuterInts", "Dense", "DenseTransposed",
		"RMSNorm", "RMSNormBackward", "RecurrenceBackward", "OutputGateBackward", "SoftmaxGradient", "Encode", "EncodeTransposed", "AdamW",
		"Shift", "WKV", "WKVBackward", "Receptance", "ReceptanceBackward", "NormQuantize/memory", "RecurrenceBackward/memory", "SwiGLU/memory")
}

func tinyRecipe() Recipe {
	return Recipe{
		Name: "tiny", Model: tinyShape().Model, B: 2, T: 12, LR: 1e-3,
		Hyper: optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, WeightDecay: 0.1, Clip: 1},
	}
}

func TestTrain(t *testing.T) {
	r, err := Train(t.Context(), setting(t), tinyRecipe())
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, "step", "step/float32 gradients", "step/int16 gradients", "step/unfused", "activations", "activations/unfused", "fused/faster", "fused/faster/float32 gradients", "fused/smaller",
		"time/MatMul", "time/MatMulFloat", "time/OuterCodes", "time/AdamW", "time/Encode", "time/EncodeTransposed", "time/rest")
	shares := 0.0
	for _, x := range r.Results {
		if strings.HasPrefix(x.Name, "time/") {
			shares += x.Value
		}
	}
	if math.Abs(shares-1) > 1e-9 {
		t.Errorf("the shares of a step sum to %v", shares)
	}
}

// TestTrainTimeMixing: the kernels of RWKV-4's mixer are timed like the others.
func TestTrainTimeMixing(t *testing.T) {
	recipe := tinyRecipe()
	recipe.Model.Arch = spec.ArchRWKV4
	r, err := Train(t.Context(), setting(t), recipe)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, "time/Shift", "time/WKV", "time/WKVBackward", "time/Receptance", "time/ReceptanceBackward", "time/rest")
}

func TestInfer(t *testing.T) {
	s := setting(t)
	s.Start = func(_ context.Context, path string) error {
		f, err := packed.Open(path)
		if err != nil {
			return err
		}
		return f.Close()
	}
	r, err := Infer(t.Context(), s, tinyShape())
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Machine; m.MemoryReadBytes != smallestRead {
		t.Errorf("memory was read through %d bytes: a tiny model's weights lie in a cache", m.MemoryReadBytes)
	}
	check(t, r, "packed file", "ready to decode/process, with a token", "decode", "decode/weights read", "decode of 8 sequences", "decode of 8 sequences/one", "peak resident memory",
		"state of a sequence", "packed weights", "packed weight", "ready to decode", "time/MatVec", "time/rest")
}

// TestInferDoesNotStart: that the program cannot be started anew is an error, not a short time.
func TestInferDoesNotStart(t *testing.T) {
	s, gone := setting(t), errors.New("no such program")
	s.Start = func(context.Context, string) error { return gone }
	if _, err := Infer(t.Context(), s, tinyShape()); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := setting(t)
	_, kernels := Kernels(ctx, s, []Shape{tinyShape()})
	_, train := Train(ctx, s, tinyRecipe())
	_, inference := Infer(ctx, s, tinyShape())
	for name, err := range map[string]error{"kernels": kernels, "train": train, "infer": inference} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	if freeMemory() == 0 {
		t.Skip("the system does not say how much memory is free")
	}
	s, huge := setting(t), tinyShape()
	huge.Model.HiddenSize, huge.Model.NumHiddenLayers = 65536, 4096
	if _, err := Infer(t.Context(), s, huge); !errors.Is(err, ErrMemory) {
		t.Errorf("infer: error %v", err)
	}
	if _, err := Train(t.Context(), s, Recipe{Name: "huge", Model: huge.Model, B: 1, T: 1}); !errors.Is(err, ErrMemory) {
		t.Errorf("train: error %v", err)
	}
}

func TestPublished(t *testing.T) {
	for name, want := range map[string]int64{"370m": 374_108_160, "1.3b": 1_364_779_008, "2.7b": 2_702_357_504, "13b": 13_017_856_000} {
		shape, ok := Published(name)
		if got, _ := spec.Parameters(shape.Model); !ok || got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
	if _, ok := Published("14b"); ok {
		t.Error("14b is a published shape")
	}
}

// TestStopwatchLeast: what the clock costs while another has the core does not replace what it was known to cost.
func TestStopwatchLeast(t *testing.T) {
	watch := &stopwatch{cost: 1, overhead: 1}
	watch.reset()
	if watch.cost != 1 || watch.overhead != 1 {
		t.Errorf("reading the clock costs %v and %v", watch.cost, watch.overhead)
	}
	watch = &stopwatch{}
	if watch.reset(); watch.cost <= 0 || watch.overhead <= 0 || watch.overhead > watch.cost {
		t.Errorf("learnt that reading the clock costs %v and %v of it count", watch.cost, watch.overhead)
	}
}

// TestStopwatch: a timed set computes the same, counts each call, and decoding under it allocates nothing.
func TestStopwatch(t *testing.T) {
	s := setting(t)
	p, err := randomModel(&s, tinyShape().Model)
	if err != nil {
		t.Fatal(err)
	}
	watch := &stopwatch{}
	watch.reset()
	V := p.Config.VocabSize
	plain, timed := make([]float32, V), make([]float32, V)
	ids := []int32{1, 2, 3, 4}
	for _, c := range []struct {
		set    *kernel.Set
		logits []float32
	}{{s.Set, plain}, {watch.wrap(s.Set), timed}} {
		m := infer.New(p, c.set, s.Pool, 8)
		state := m.NewState(1)
		for _, n := range [][]int32{ids, ids[:1]} {
			if err := m.Forward(state, infer.Call{IDs: n, Logits: c.logits, Which: infer.Last}); err != nil {
				t.Fatal(err)
			}
		}
		call := infer.Call{IDs: ids[:1], Logits: make([]float32, V), Which: infer.Last}
		if n := testing.AllocsPerRun(10, func() {
			if err := m.Forward(state, call); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations a token", n)
		}
	}
	for i := range plain {
		if plain[i] != timed[i] {
			t.Fatalf("logit %d: %v under the stopwatch, %v without", i, timed[i], plain[i])
		}
	}
	// One pass of 4 tokens, 12 of one: 6 products in each of 2 layers and the head, at one superblock each.
	if got := watch.clocks[swiGLU].calls.Load(); got != 2*(4+12) {
		t.Errorf("%d calls of SwiGLU, want %d", got, 2*(4+12))
	}
	if got := watch.clocks[matVec].calls.Load(); got < 13*12 {
		t.Errorf("%d calls of MatVec, want at least %d", got, 13*12)
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]string{
		"processor : 0\nmodel name\t: AMD  EPYC \ncpu family : 25\nmodel\t\t: 17\n\nmodel name : other\n": "AMD EPYC (family 25, model 17)",
		"model name : Some CPU\n":           "Some CPU",
		"processor : 0\nBogoMIPS : 50.00\n": "fallback",
		"":                                  "fallback",
	} {
		if got := parseCPU([]byte(text), "fallback"); got != want {
			t.Errorf("%q is called %q, want %q", text, got, want)
		}
	}
}

func TestTypical(t *testing.T) {
	if got := typical([]float64{5, 1, 9, 2, 8, 3, 7, 4, 6, 10}); got != 10 {
		t.Errorf("of 1 to 10: %v", got)
	}
	if got := typical([]float64{3}); got != 3 || !math.IsNaN(typical(nil)) {
		t.Errorf("of one: %v", got)
	}
}

func TestPairs(t *testing.T) {
	if got := median([]float64{5, 1, 2}); got != 2 || !math.IsNaN(median(nil)) {
		t.Errorf("the median of 5, 1, 2 is %v", got)
	}
	// A slow minute slows both sides: 0.5, 0.5, and once 1.
	if got := against([]float64{10, 2, 10}, []float64{20, 4, 10}); got != 0.5 {
		t.Errorf("pairs: %v", got)
	}
	if got := meanRate(1, 3); got != 1.5 { // two units in 1 + 1/3
		t.Errorf("the mean of 1 and 3 is %v", got)
	}
	rounds := 0
	round := func() float64 {
		rounds++
		time.Sleep(time.Millisecond)
		return 7
	}
	if got := beside(0, round); got != 7 || rounds != 1 {
		t.Errorf("beside nothing: %v after %d rounds", got, rounds)
	}
	start := time.Now()
	if beside(40*time.Millisecond, round); time.Since(start) < 10*time.Millisecond {
		t.Errorf("beside 40 ms: %v", time.Since(start))
	}
}

// TestTrainOneToken: the products of a step of one token, or of a few, are MatVec.
func TestTrainOneToken(t *testing.T) {
	recipe := tinyRecipe()
	recipe.B, recipe.T = 1, 1
	r, err := Train(t.Context(), setting(t), recipe)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, "step", "time/MatVec", "time/rest")
	for _, x := range r.Results {
		if x.Name == "time/MatVec" && x.Limit != limitMemory {
			t.Errorf("MatVec of a step is held against %q", x.Limit)
		}
	}
}
