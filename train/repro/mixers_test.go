package repro

import (
	"math"
	"slices"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
	"mmfree/train"
)

func TestJudgeMixers(t *testing.T) {
	hurts, helps, noise := difference{0.3, 0.05}, difference{-0.3, 0.05}, difference{-0.04, 0.05}
	for name, c := range map[string]struct {
		mixer   difference
		removed []difference
		want    Verdict
	}{
		"MLGRU below, one part matters":   {helps, []difference{noise, hurts}, Confirmed},
		"MLGRU as good, all parts matter": {noise, []difference{hurts, hurts}, Confirmed},
		"RWKV-4 below":                    {hurts, []difference{hurts}, Inconclusive},
		"RWKV-4 diverged":                 {difference{math.NaN(), 0.05}, []difference{hurts}, Confirmed},
		"no part matters":                 {helps, []difference{noise, noise}, Inconclusive},
		"a removal helps":                 {helps, []difference{hurts, helps}, Contradicted},
	} {
		if got := judgeMixers(c.mixer, c.removed); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMixerOperations counts both mixers' operations by hand: d channels in each of L layers, I of the MLP.
func TestMixerOperations(t *testing.T) {
	const d, I, L, V = 8, 24, 2, 11
	l := &lab{machine: train.Machine{Set: kernel.Generic(), Pool: par.New(1)}}
	defer l.machine.Pool.Close()
	for _, c := range []struct {
		arm  string
		want operations // exponentials, divisions and sigmoids
	}{
		{ternaryMLGRU, operations{Sigmoids: L * (3*d + I)}}, // forget gate, candidate, output
		{ternaryRWKV4, operations{Sigmoids: L * (d + I), Exponentials: L * 2 * d, Divisions: L * d}},
	} {
		config := spec.Default()
		armNamed(c.arm).model(&config)
		config.HiddenSize, config.IntermediateSize, config.NumHiddenLayers, config.VocabSize = d, I, L, V
		w, err := spec.NewWeights(config)
		if err != nil {
			t.Fatal(err)
		}
		w.Init(1)
		p, err := pack.Build(w)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.operationsOf(p, slices.Repeat([]int32{1, 5, 3}, 3))
		if err != nil {
			t.Fatal(err)
		}
		_, ternary := spec.Parameters(config)
		if got.Weights != 0 || got.Adds == 0 || got.Adds+got.Zeros != ternary {
			t.Errorf("%s: %d additions and %d zeros of %d weights, %d multiplications", c.arm, got.Adds, got.Zeros, ternary, got.Weights)
		}
		if got.Sigmoids != c.want.Sigmoids || got.Exponentials != c.want.Exponentials || got.Divisions != c.want.Divisions {
			t.Errorf("%s: %+v, want %+v", c.arm, got, c.want)
		}
	}
}
