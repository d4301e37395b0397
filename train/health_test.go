package train

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/spec"
	"mmfree/train/metrics"
)

// TestHealthIsWatched: lines of the steps that look have health, which changes no bit, in each architecture that has codes.
func TestHealthIsWatched(t *testing.T) {
	for _, change := range []string{"model.arch=matmulfree", "model.arch=bitnet", "quant.schedule=linear"} {
		shape := []string{"model.hidden_size=20", "model.num_attention_heads=2", change}
		blind := tiny(t, append(shape, "train.health_every=0")...)
		blind.Bare = true
		mustStart(t, blind)
		r := tiny(t, append(shape, "train.health_every=3", "train.log_every=5")...)
		r.Bare = true
		mustStart(t, r)
		if model(t, r, "step-12") != model(t, blind, "step-12") {
			t.Errorf("%s: looking changed the model", change)
		}
		lines, _, err := metrics.Read(durable.OS{}, filepath.Join(r.Dir, MetricsFile))
		if err != nil {
			t.Fatal(err)
		}
		looked := 0
		for _, l := range lines {
			if (l.Health != nil) != (l.Step%3 == 0) {
				t.Errorf("%s, step %d: health %v", change, l.Step, l.Health)
			}
			h := l.Health
			if h == nil {
				continue
			}
			looked++
			for i, s := range h.Layers {
				if sum := s.Minus + s.Zero + s.Plus; math.Abs(float64(sum-1)) > 1e-12 || s.Zero < 0.1 || s.Minus < 0.1 || s.Plus < 0.1 {
					t.Errorf("%s, step %d, layer %d: %+v", change, l.Step, i, s)
				}
			}
			if first := looked == 1; !(h.Flips > 0 && h.Flips < 0.5) || math.IsNaN(float64(h.Kept)) != first || !(h.Clipped > 0 && h.Clipped < 0.25) ||
				!(h.SmallestScale > 1e-3) || !(h.GradNorms["mixers"] > 0 && h.GradNorms["mlps"] > 0 && h.GradNorms["norms"] > 0) {
				t.Errorf("%s, step %d: %+v", change, l.Step, h)
			}
			if begun := (l.Step - 1) * 2; change != "quant.schedule=linear" && h.LambdaWeights != 1 ||
				change == "quant.schedule=linear" && math.Abs(float64(h.LambdaWeights)-min(1, float64(begun)/12)) > 1e-6 {
				t.Errorf("%s, step %d: lambda %v", change, l.Step, h.LambdaWeights)
			}
		}
		if want := map[bool]int{true: 2, false: 3}[change == "model.arch=bitnet"]; len(lines) == 0 || len(lines[len(lines)-1].Health.Layers) != want {
			t.Errorf("%s: %d layers, want %d", change, len(lines[len(lines)-1].Health.Layers), want)
		}
	}
}

// watch trains from weights that change has had its way with, and returns the notices.
func watch(t *testing.T, change func(w *spec.Weights), changes ...string) string {
	t.Helper()
	r := tiny(t, append([]string{"train.health_every=4", "train.eval_every=0", "train.save_every=0"}, changes...)...)
	var said strings.Builder
	r.Hooks.Notice = func(text string) { fmt.Fprintln(&said, text) }
	x := newRun(r)
	err := x.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.open(); err != nil {
		t.Fatal(err)
	}
	change(x.weights)
	x.session.WeightsChanged()
	if err := x.steps(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := x.close(); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

// TestHealthWarns provokes every warning by what it warns of, and sees none in a run as it should be.
func TestHealthWarns(t *testing.T) {
	nothing := func(*spec.Weights) {}
	if said := watch(t, nothing); said != "" {
		t.Errorf("a sound run is warned: %s", said)
	}
	const mlp = "model.layers.1.mlp.gate_proj.weight"
	for want, provoke := range map[string]func() string{
		"swing across a rounding boundary": func() string {
			return watch(t, nothing, "train.lr=0.3", "train.beta1=0", "train.schedule=constant", "train.steps=160", "train.health_every=80")
		},
		"the mean magnitude of a ternary tensor is": func() string {
			return watch(t, func(w *spec.Weights) {
				for j := range w.Get(mlp) {
					w.Get(mlp)[j] *= 1e-4
				}
			}, "train.lr=1e-7")
		},
		"rows are all zeros": func() string {
			return watch(t, func(w *spec.Weights) { clear(w.Get(mlp)[w.Config.HiddenSize*20:]) }, "train.lr=1e-7")
		},
		"end of their range": func() string {
			return watch(t, func(w *spec.Weights) {
				for i, tensor := range w.Tensors {
					for j, v := range w.At(i) {
						switch { // every activation in front of every projection has one size, or is nothing
						case tensor.Kind == spec.Embedding:
							w.At(i)[j] = float32(math.Copysign(1, float64(v)))
						case strings.HasSuffix(tensor.Name, "o_proj.weight") || strings.HasSuffix(tensor.Name, "down_proj.weight"):
							w.At(i)[j] = 0
						}
					}
				}
			}, "train.lr=1e-7")
		},
		"single outliers": func() string {
			return watch(t, func(w *spec.Weights) {
				for i, tensor := range w.Tensors {
					if tensor.Kind == spec.Gain {
						w.At(i)[0] = 1e5
					}
				}
			}, "train.lr=1e-7")
		},
		"no gradient reaches the mixers": func() string {
			return watch(t, func(w *spec.Weights) { clear(w.Get(spec.HeadName)) }, "train.lr=1e-7")
		},
	} {
		if said := provoke(); strings.Count(said, want) != 1 {
			t.Errorf("want one warning %q, got: %s", want, said)
		}
	}
}
