package optim_test

import (
	"math"
	"slices"
	"testing"

	"mmfree/autograd"
	"mmfree/ternary/goldentest"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
	"mmfree/train/optim"
)

// TestTrajectory trains the golden's model for its 30 steps and compares loss and gradient norm of each, and the final
// parameters.
func TestTrajectory(t *testing.T) {
	for _, name := range goldentest.Names("trajectory_") {
		t.Run(name, func(t *testing.T) { followTrajectory(t, name) })
	}
}

func followTrajectory(t *testing.T, name string) {
	for _, threads := range []int{1, 2} {
		g := goldentest.Load(t, name)
		var o struct {
			LR          float64  `json:"lr"`
			Beta1       float64  `json:"beta1"`
			Beta2       float64  `json:"beta2"`
			Eps         float64  `json:"eps"`
			WeightDecay float64  `json:"weight_decay"`
			ClipNorm    float64  `json:"clip_norm"`
			Decayed     []string `json:"decayed"`
		}
		g.Field("optimiser", &o)
		var lossTol, normTol []float64
		g.Field("loss_atol_per_step", &lossTol)
		g.Field("grad_norm_atol_per_step", &normTol)

		w := g.Weights("param.")
		for _, tensor := range w.Tensors {
			if slices.Contains(o.Decayed, tensor.Name) != tensor.Decay {
				t.Errorf("%s: decay %v, the golden says otherwise", tensor.Name, tensor.Decay)
			}
		}
		pool := par.New(threads)
		defer pool.Close()
		set := kernel.Generic()
		s, err := autograd.NewSession(w, autograd.Options{Set: set, Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		a := optim.New(optim.Hyper{Beta1: o.Beta1, Beta2: o.Beta2, Epsilon: o.Eps, WeightDecay: o.WeightDecay, Clip: o.ClipNorm},
			w, s.Grads(), set, pool)

		shape := g.Shape("ids") // [steps, B, T]
		steps, B, T := shape[0], shape[1], shape[2]
		losses, norms := g.F32("loss"), g.F32("grad_norm")
		if steps < 30 {
			t.Fatalf("%d steps", steps)
		}
		all := g.IDs("ids")
		for step := range steps {
			ids := all[step*B*T:][:B*T]
			labels := make([]int32, len(ids))
			for i := range ids {
				labels[i] = -100
				if (i+1)%T != 0 {
					labels[i] = ids[i+1]
				}
			}
			count := float64(B * (T - 1))
			s.ZeroGrads()
			sum, err := s.Backward(ids, labels, B, 1/count)
			if err != nil {
				t.Fatal(err)
			}
			norm := a.GradNorm()
			if d := math.Abs(sum/count - float64(losses[step])); d > lossTol[step] {
				t.Fatalf("step %d: loss %v, golden %v, off by %g", step+1, sum/count, losses[step], d)
			}
			if d := math.Abs(norm - float64(norms[step])); d > normTol[step] {
				t.Fatalf("step %d: gradient norm %v, golden %v, off by %g", step+1, norm, norms[step], d)
			}
			if !a.Step(o.LR, norm) {
				t.Fatalf("step %d was skipped", step+1)
			}
			s.WeightsChanged()
		}
		for i, tensor := range w.Tensors {
			name := "final." + tensor.Name
			g.CheckOutput(t, name, w.At(i))
			want := g.F32(name)
			var square float64
			for j, v := range w.At(i) {
				square += math.Pow(float64(v)-float64(want[j]), 2)
			}
			if rms := math.Sqrt(square / float64(len(want))); rms > rmsTolerance(t, g, name) {
				t.Errorf("%s: rms difference %g, allowed %g", name, rms, rmsTolerance(t, g, name))
			}
		}
	}
}

func rmsTolerance(t *testing.T, g *goldentest.Golden, name string) float64 {
	t.Helper()
	var tensors map[string]struct {
		Tolerance float64 `json:"rms_tol"`
	}
	g.Field("tensors", &tensors)
	if tensors[name].Tolerance <= 0 {
		t.Fatalf("%s has no rms_tol", name)
	}
	return tensors[name].Tolerance
}

func small(t *testing.T) (*spec.Weights, *spec.Weights) {
	t.Helper()
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 7, 6, 1, 5
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(1)
	return w, w.Like()
}

// TestNonFiniteStepIsSkipped: neither weights nor moments may move, nor the step count.
func TestNonFiniteStepIsSkipped(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		w, g := small(t)
		a := optim.New(optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, WeightDecay: 0.1, Clip: 1}, w, g, kernel.Generic(), pool)
		g.At(3)[1] = bad
		before := slices.Clone(w.Flat())
		if a.Step(0.1, a.GradNorm()) {
			t.Errorf("gradient %v: the step was taken", bad)
		}
		if !slices.Equal(before, w.Flat()) || a.Steps != 0 || slices.Max(a.V.Flat()) != 0 {
			t.Errorf("gradient %v: something moved", bad)
		}
	}
}

// TestDecayActsOnMatricesOnly: with zero gradients only decayed tensors shrink, by exactly 1 − lr·λ.
func TestDecayActsOnMatricesOnly(t *testing.T) {
	pool := par.New(1)
	defer pool.Close()
	w, g := small(t)
	before := slices.Clone(w.Flat())
	a := optim.New(optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, WeightDecay: 0.5}, w, g, kernel.Generic(), pool)
	if norm := a.GradNorm(); norm != 0 || !a.Step(0.5, norm) {
		t.Fatalf("norm %v, or the step was skipped", norm)
	}
	for i, tensor := range w.Tensors {
		factor := float32(1)
		if tensor.Decay {
			factor = 0.75
		}
		for j, v := range w.At(i) {
			if want := before[w.Offset(i)+j] * factor; v != want {
				t.Fatalf("%s[%d] = %v, want %v", tensor.Name, j, v, want)
			}
		}
	}
}

// TestScale: a tensor of factor 0 does not move and does not count in the norm, one of factor x moves as a step at x times
// the rate moves it, and one of factor 1 as if nothing were scaled.
func TestScale(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	factors := []float64{1, 0, 0.25}
	update := func(lr float64, scaled bool) (w *spec.Weights, norm float64) {
		w, g := small(t)
		for i, v := range w.Flat() {
			g.Flat()[i] = 0.5*v + 0.01
		}
		a := optim.New(optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, WeightDecay: 0.5}, w, g, kernel.Generic(), pool)
		if scaled {
			list := make([]float64, len(w.Tensors))
			for i := range list {
				list[i] = factors[i%len(factors)]
			}
			a.Scale(list)
		}
		norm = a.GradNorm()
		a.Step(lr, norm)
		return w, norm
	}
	before, _ := small(t)
	full, norm := update(0.1, false)
	quarter, _ := update(0.025, false)
	got, scaledNorm := update(0.1, true)
	if !(scaledNorm < norm) {
		t.Errorf("norm %v with frozen tensors, %v without", scaledNorm, norm)
	}
	for i, tensor := range got.Tensors {
		want := [][]float32{full.At(i), before.At(i), quarter.At(i)}[i%len(factors)]
		if !slices.Equal(got.At(i), want) {
			t.Errorf("%s, factor %g: moved otherwise", tensor.Name, factors[i%len(factors)])
		}
	}
}
