package optim_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/autograd"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
	"mmfree/train/optim"
)

// TestOverfit trains a small model on one batch of random tokens until it knows them by heart: the proof that gradients,
// quantisers and optimiser together go downhill, all the way. Fused and unfused take the same way, bit for bit.
func TestOverfit(t *testing.T) {
	const B, T, steps, rate = 4, 16, 150, 1e-2
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 17, 32, 2, 64
	rng := rand.New(rand.NewPCG(4, 4))
	ids, labels := make([]int32, B*T), make([]int32, B*T)
	for i := range ids {
		ids[i] = rng.Int32N(int32(c.VocabSize))
	}
	for b := range B {
		ids[b*T] = int32(b) // nothing stands before it to tell sequences apart by
	}
	count := 0
	for i := range labels {
		labels[i] = -100
		if (i+1)%T != 0 {
			labels[i] = ids[i+1]
			count++
		}
	}

	var first []float64
	for _, unfused := range []bool{false, true} {
		w, err := spec.NewWeights(c)
		if err != nil {
			t.Fatal(err)
		}
		w.Init(1)
		set, err := kernel.Choose()
		if err != nil {
			t.Fatal(err)
		}
		pool := par.New(2)
		defer pool.Close()
		s, err := autograd.NewSession(w, autograd.Options{Set: set, Pool: pool, Unfused: unfused})
		if err != nil {
			t.Fatal(err)
		}
		a := optim.New(optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, Clip: 1}, w, s.Grads(), set, pool)
		var losses []float64
		for n := range steps {
			s.ZeroGrads()
			sum, err := s.Backward(ids, labels, B, 1/float64(count))
			if err != nil {
				t.Fatal(err)
			}
			losses = append(losses, sum/float64(count))
			if !a.Step(rate*(1-float64(n)/steps), a.GradNorm()) {
				t.Fatalf("step %d was skipped", n+1)
			}
			s.WeightsChanged()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// At the start the model knows nothing: ln V. By heart is near 0.
		if got, want := losses[0], math.Log(float64(c.VocabSize)); math.Abs(got-want) > 0.5 {
			t.Errorf("unfused %v: first loss %v, want about %v", unfused, got, want)
		}
		if got := losses[steps-1]; !(got < 0.05) {
			t.Errorf("unfused %v: loss %v after %d steps", unfused, got, steps)
		}
		t.Logf("unfused %v: loss %.4f, %.4f, %.4f, %.4f", unfused, losses[0], losses[steps/4], losses[steps/2], losses[steps-1])
		if first == nil {
			first = losses
		}
		for n := range losses {
			if losses[n] != first[n] {
				t.Fatalf("step %d: unfused loss %v, fused %v", n+1, losses[n], first[n])
			}
		}
	}
}

// TestStepAllocatesNothing: norm, clipping and update of a warm optimiser.
func TestStepAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		pool := par.New(threads)
		defer pool.Close()
		w, g := small(t)
		for i := range g.Tensors {
			for j := range g.At(i) {
				g.At(i)[j] = 1
			}
		}
		a := optim.New(optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, WeightDecay: 0.1, Clip: 1}, w, g, kernel.Generic(), pool)
		if n := testing.AllocsPerRun(20, func() { a.Step(1e-3, a.GradNorm()) }); n != 0 {
			t.Errorf("%d threads: %v allocations in a step", threads, n)
		}
		if a.Steps < 20 {
			t.Errorf("%d steps were taken", a.Steps)
		}
	}
}
