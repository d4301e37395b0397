package train

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/ternary/spec"
)

func TestLambda(t *testing.T) {
	q := QuantConfig{WeightsFrom: 0.1, WeightsTo: 0.3, ActivationsFrom: 0.3, ActivationsTo: 0.7, Stages: 4}
	for curve, want := range map[struct {
		schedule  string
		steepness float64
	}][3]float64{ // a quarter, a half and three quarters of the way
		{quantLinear, 0}: {0.25, 0.5, 0.75}, {quantStepwise, 0}: {0.25, 0.5, 0.75},
		{quantSigmoid, 0}:     {0.0700, 0.5, 0.9300}, // (σ(∓2.5) − σ(−5)) / (σ(5) − σ(−5))
		{quantSigmoid, 100}:   {0, 0.5, 1},
		{quantSigmoid, 0.1}:   {0.25, 0.5, 0.75}, // nearly a line
		{quantSigmoid, 1000}:  {0, 0.5, 1},
		{quantExponential, 0}: {0.7183, 0.9241, 0.9830},
		{quantExponential, 4}: {0.6439, 0.8808, 0.9679}, // (1 − e^−4u) / (1 − e^−4)
		{quantPower, 0}:       {1 - 0.31640625, 1 - 0.0625, 1 - 0.00390625},
		{quantPower, 2}:       {0.4375, 0.75, 0.9375},
	} {
		q.Schedule, q.Steepness = curve.schedule, curve.steepness
		last := float32(0)
		for i := range 1001 {
			progress := float64(i) / 1000
			weights, activations := q.Lambda(progress)
			if weights < last || weights > 1 || progress <= 0.1 && weights != 0 || progress >= 0.3 && weights != 1 ||
				progress <= 0.3 && activations != 0 || progress >= 0.7 && activations != 1 {
				t.Fatalf("%v: at %v weights %v, activations %v", curve, progress, weights, activations)
			}
			last = weights
		}
		for i, want := range want {
			u := float64(i+1) / 4
			weights, _ := q.Lambda(0.1 + 0.2*u + 1e-12)
			_, activations := q.Lambda(0.3 + 0.4*u + 1e-12)
			if math.Abs(float64(weights)-want) > 1e-3 || math.Abs(float64(activations)-want) > 1e-3 {
				t.Errorf("%v, %v of the way: weights %v, activations %v, want %v", curve, u, weights, activations, want)
			}
		}
	}
	for schedule, want := range map[string]float32{quantTernary: 1, quantFloat: 0} {
		q.Schedule = schedule
		for _, progress := range []float64{0, 0.5, 1} {
			if w, a := q.Lambda(progress); w != want || a != want {
				t.Errorf("%s: %v and %v at %v", schedule, w, a, progress)
			}
		}
	}
}

func TestRewarm(t *testing.T) {
	q := QuantConfig{Schedule: quantLinear, WeightsTo: 0.2, ActivationsTo: 0.5, RewarmSteps: 4}
	for step, want := range map[int]float64{1: 1, 20: 1, 21: 0.25, 22: 0.5, 24: 1, 50: 1, 51: 0.25, 53: 0.75, 54: 1, 100: 1} {
		if got := q.rewarm(100, step); got != want {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	q.Schedule = quantTernary
	if got := q.rewarm(100, 21); got != 1 {
		t.Errorf("a run without conversion warms up again: %v", got)
	}
}

// transformerBase is a trained transformer, and the changes of a run on the same text that makes a BitNet of it.
func transformerBase(t *testing.T) (result *Result, changes []string) {
	base := tiny(t, "model.arch=transformer", "model.hidden_size=20", "model.num_attention_heads=2", "train.steps=20", "train.eval_tokens=0")
	base.Bare = true
	result = mustStart(t, base)
	return result, []string{
		"data.tokenizer=model", "finetune.from=" + base.Dir, "finetune.to=bitnet", "data.corpus=" + base.Config.Data.Corpus[0],
		"quant.schedule=linear", "quant.weights_to=0.4", "quant.activations_from=0.3", "quant.activations_to=0.6", "quant.rewarm_steps=2",
		"train.eval_tokens=0", "train.lr=0.002",
	}
}

// TestConversion: a transformer becomes a BitNet that begins with its loss, in every bit, and ends verified, better than
// what rounding alone makes; a conversion that is killed anywhere resumes to the same bits.
func TestConversion(t *testing.T) {
	teacher, changes := transformerBase(t)
	whole := tiny(t, changes...)
	got := mustStart(t, whole)
	if got.Arch != spec.ArchBitNet || !got.Verify.Identical {
		t.Errorf("%s, verification %+v", got.Arch, got.Verify)
	}
	f := got.FineTuned
	if f.StartValLoss != teacher.ValLoss {
		t.Errorf("begins at %v, the transformer ended at %v", f.StartValLoss, teacher.ValLoss)
	}
	if !(f.StartRoundedLoss > f.StartValLoss) || !(got.ValLoss < f.StartRoundedLoss) || got.RoundedValLoss != nil {
		t.Errorf("rounded at once %v, trained %v", f.StartRoundedLoss, got.ValLoss)
	}
	for _, stop := range []int64{3, 6, 9} { // weights alone, both, all ternary
		r := tiny(t, changes...)
		r.Bare = true
		stopBehind(t, r, stop)
		r.Resume = true
		resumed := mustStart(t, r)
		if model(t, r, "step-12") != model(t, whole, "step-12") {
			t.Errorf("stopped at step %d: another model", stop)
		}
		if resumed.FineTuned.StartRoundedLoss != f.StartRoundedLoss {
			t.Errorf("stopped at step %d: rounded loss %v, want %v", stop, resumed.FineTuned.StartRoundedLoss, f.StartRoundedLoss)
		}
	}
	if _, err := Start(t.Context(), tiny(t, append(changes, "finetune.to=transformer")...)); !errors.Is(err, ErrConfig) {
		t.Errorf("a schedule for a transformer: %v", err)
	}
}

// TestFullPrecision: a MatMul-free model trains in full precision, what is exported is its rounded form, and from its weights
// a run goes on to ternary ones.
func TestFullPrecision(t *testing.T) {
	base := tiny(t, "quant.schedule=float", "train.steps=30", "train.eval_tokens=0")
	full := mustStart(t, base)
	if full.RoundedValLoss == nil || !(*full.RoundedValLoss > full.ValLoss) || !full.Verify.Identical {
		t.Errorf("full precision %v, rounded %v, verification %+v", full.ValLoss, full.RoundedValLoss, full.Verify)
	}
	r := tiny(t, "data.tokenizer=model", "finetune.from="+base.Dir, "data.corpus="+base.Config.Data.Corpus[0],
		"quant.schedule=sigmoid", "train.steps=30", "train.eval_tokens=0")
	got := mustStart(t, r)
	if f := got.FineTuned; f.StartValLoss != full.ValLoss || f.StartRoundedLoss != *full.RoundedValLoss {
		t.Errorf("begins at %v, rounded %v; want %v, %v", f.StartValLoss, f.StartRoundedLoss, full.ValLoss, *full.RoundedValLoss)
	}
	if got.RoundedValLoss != nil || !(got.ValLoss < got.FineTuned.StartRoundedLoss) || !got.Verify.Identical {
		t.Errorf("%+v", got)
	}
}

func TestQuantRefuses(t *testing.T) {
	for change, want := range map[string]string{
		"quant.schedule=fast":      "quant.schedule",
		"quant.weights_from=0.6":   "quant.weights_to",
		"quant.activations_to=1.5": "quant.activations_to",
		"quant.stages=0":           "quant.stages",
		"quant.steepness=0.05":     "quant.steepness",
		"quant.steepness=-1":       "quant.steepness",
		"quant.rewarm_steps=-1":    "quant.rewarm_steps",
		"finetune.to=lstm":         "lstm",
		"finetune.to=transformer":  "cannot become",
	} {
		r := tiny(t, change)
		if strings.HasPrefix(change, "finetune.to") {
			base := tiny(t)
			base.Bare = true
			mustStart(t, base)
			r = tuned(t, base, change)
		}
		if _, err := Start(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a part %q", change, err, want)
		}
	}
}

// TestConversionToMatMulFree: attention becomes a recurrence that first learns, alone, to put out what attention did; the run
// ends verified, better than it began, and resumes to the same bits from either stage.
func TestConversionToMatMulFree(t *testing.T) {
	base := tiny(t, "model.arch=transformer", "model.hidden_size=20", "model.num_attention_heads=2", "model.num_key_value_heads=1", "train.steps=40")
	base.Bare = true
	teacher := mustStart(t, base)
	changes := []string{
		"data.tokenizer=model", "finetune.from=" + base.Dir, "finetune.to=matmulfree", "data.corpus=" + base.Config.Data.Corpus[0],
		"distill.teacher=" + base.Dir, "finetune.match=0.5", "quant.schedule=linear", "quant.weights_from=0.5", "quant.weights_to=0.75",
		"quant.activations_from=0.5", "quant.activations_to=0.75", "train.steps=24", "train.eval_tokens=0", "train.keep_last=100",
	}
	whole := tiny(t, changes...)
	got := mustStart(t, whole)
	f := got.FineTuned
	if got.Arch != spec.ArchMatMulFree || !got.Verify.Identical || got.Verify.Operations.WeightMultiplies != 0 {
		t.Errorf("%s, verification %+v", got.Arch, got.Verify)
	}
	if !(f.StartValLoss > teacher.ValLoss) || !(got.ValLoss < f.StartRoundedLoss) {
		t.Errorf("the transformer %v, converted %v, rounded %v, in the end %v", teacher.ValLoss, f.StartValLoss, f.StartRoundedLoss, got.ValLoss)
	}
	at := func(step string) *spec.Weights {
		t.Helper()
		m, err := Open(filepath.Join(whole.Dir, "checkpoints", step))
		if err != nil {
			t.Fatal(err)
		}
		return m.Weights
	}
	early, matched, late := at("step-3"), at("step-12"), at("step-24")
	for i, tensor := range early.Tensors {
		mixer := strings.Contains(tensor.Name, ".attn")
		if moved := !slices.Equal(early.At(i), matched.At(i)); moved != mixer && tensor.Name != spec.LowerBoundsName {
			t.Errorf("%s moved while token mixers were matched: %v", tensor.Name, moved)
		}
		if slices.Equal(matched.At(i), late.At(i)) {
			t.Errorf("%s did not move behind that", tensor.Name)
		}
	}
	for _, stop := range []int64{6, 15} {
		r := tiny(t, changes...)
		r.Bare = true
		stopBehind(t, r, stop)
		r.Resume = true
		mustStart(t, r)
		if model(t, r, "step-24") != model(t, whole, "step-24") {
			t.Errorf("stopped at step %d: another model", stop)
		}
	}
}

// TestConversionWider: a model of twice the width begins with the transformer's loss, as a BitNet, is taught its residual streams
// copy by copy, ends verified, and resumes to the same bits.
func TestConversionWider(t *testing.T) {
	teacher, changes := transformerBase(t)
	base := teacher.RunDir
	changes = append(changes, "finetune.widen=2", "distill.teacher="+base, "distill.hidden=0.5")
	for _, to := range []string{spec.ArchBitNet, spec.ArchMatMulFree} {
		changes := append(slices.Clone(changes), "finetune.to="+to)
		if to == spec.ArchMatMulFree {
			changes = append(changes, "finetune.match=0.3", "finetune.mlp_width=30")
		}
		whole := tiny(t, changes...)
		got := mustStart(t, whole)
		if width := weights(t, whole).Config.HiddenSize; got.Arch != to || width != 40 || !got.Verify.Identical {
			t.Errorf("%s of width %d, verification %+v", got.Arch, width, got.Verify)
		}
		if start := got.FineTuned.StartValLoss; to == spec.ArchBitNet && math.Abs(start-teacher.ValLoss) > 1e-5 {
			t.Errorf("begins at %v, the transformer ended at %v", start, teacher.ValLoss)
		}
		r := tiny(t, changes...)
		r.Bare = true
		stopBehind(t, r, 6)
		r.Resume = true
		mustStart(t, r)
		if model(t, r, "step-12") != model(t, whole, "step-12") {
			t.Errorf("%s, stopped: another model", to)
		}
	}
	if _, err := Start(t.Context(), tiny(t, append(changes, "finetune.widen=3", "distill.hidden=0", "finetune.from="+tinyRun(t))...)); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("a wider MatMul-free model: %v", err)
	}
}

// tinyRun is the folder of a finished run of the default architecture.
func tinyRun(t *testing.T) string {
	r := tiny(t)
	r.Bare = true
	mustStart(t, r)
	return r.Dir
}
