package repro

import (
	"context"
	"errors"
	"fmt"
	"math"

	"mmfree/ternary/spec"
	"mmfree/train/bench"
	"mmfree/train/metrics"
	"mmfree/train/optim"
)

func fusedSteps() Experiment {
	return Experiment{
		ID: "R7", Title: "Fused BitLinear in training",
		Claim: "Norm, quantiser and product in one pass train faster and use far less memory as the batch grows: 25.6% and 61% at a batch of 256 (1.3B).",
		Rule: "confirmed if at the largest batch of every shape the fused step holds at least 40% less memory, and is not slower by more than 2%; contradicted if it saves no memory, or " +
			"losses and gradients of the two differ by more than 1e-6 relative; otherwise inconclusive.",
		do: runFused,
	}
}

func runFused(ctx context.Context, l *lab, t *Table) error {
	t.row("1.3B, batch 256, A100", "fused step is faster by", "of the vanilla time", Number(1-1.21/1.52), none())
	t.row("1.3B, batch 256, A100", "memory saved", "share", Number(1-32.0/82), none())
	type shape struct {
		name    string
		model   spec.Config
		batches []int
	}
	layerConfig := spec.Default()
	layerConfig.VocabSize, layerConfig.HiddenSize, layerConfig.NumHiddenLayers = 256, of(l.budget, 64, 1024, 1024), 1
	whole := sizes()[2]
	small := spec.Default()
	small.VocabSize, small.HiddenSize, small.NumHiddenLayers, small.IntermediateSize = 256, whole.width, whole.layers, whole.mlp
	list := []shape{
		{fmt.Sprintf("one layer of width %d", layerConfig.HiddenSize), layerConfig, of(l.budget, []int{1, 2}, []int{1, 4, 16}, []int{1, 2, 4, 8, 16, 32, 64})},
		{"S2 whole", small, of(l.budget, []int{1}, []int{1, 8, 64}, []int{1, 2, 4, 8, 16, 32, 64, 128, 256})},
	}
	time := metrics.Chart{Title: "R7: time of a training step", X: "sequences of 128 tokens", Y: "seconds", LogX: true, LogY: true}
	memory := metrics.Chart{Title: "R7: memory of a training step", X: "sequences of 128 tokens", Y: "MB", LogX: true, LogY: true}
	confirmed, contradicted, because := true, false, ""
	for i, s := range list {
		var lines [4]metrics.Series
		var last bench.FusedCosts
		largest := 0
		for _, batch := range s.batches {
			recipe := bench.Recipe{Name: s.name, Model: s.model, B: batch, T: seqLen, LR: 1e-3, Hyper: optim.Hyper{Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, Clip: 1}}
			c, err := measure(l, fmt.Sprintf("r7-%d-batch%d", i, batch), func() (bench.FusedCosts, error) {
				return bench.Fused(ctx, l.bench(0), recipe, of(l.budget, 1, 3, 10))
			})
			if errors.Is(err, bench.ErrMemory) {
				t.note("%s, batch %d and above: left out, %v.", s.name, batch, err)
				break
			}
			if err != nil {
				return err
			}
			setting := fmt.Sprintf("%s, batch %d", s.name, batch)
			t.row(setting, "vanilla step", "s", none(), Number(c.Unfused.Seconds))
			t.row(setting, "fused step", "s", none(), Number(c.Fused.Seconds))
			t.row(setting, "fused step is faster by", "of the vanilla time", none(), Number(1-c.Fused.Seconds/c.Unfused.Seconds))
			t.row(setting, "vanilla memory", "MB", none(), Number(float64(c.Unfused.Bytes)/1e6))
			t.row(setting, "fused memory", "MB", none(), Number(float64(c.Fused.Bytes)/1e6))
			t.row(setting, "memory saved", "share", none(), Number(1-float64(c.Fused.Bytes)/float64(c.Unfused.Bytes)))
			t.row(setting, "losses apart, relative", "", none(), Number(c.LossApart))
			t.row(setting, "gradients apart, of the largest", "", none(), Number(c.GradientApart))
			for j, y := range []float64{c.Unfused.Seconds, c.Fused.Seconds, float64(c.Unfused.Bytes) / 1e6, float64(c.Fused.Bytes) / 1e6} {
				lines[j].X, lines[j].Y = append(lines[j].X, float64(batch)), append(lines[j].Y, y)
			}
			if math.Max(c.LossApart, c.GradientApart) > 1e-6 {
				contradicted = true
			}
			last, largest = c, batch
		}
		if largest == 0 {
			confirmed = false
			continue
		}
		for j := range lines {
			lines[j].Name, lines[j].Line, lines[j].Marks = s.name+", "+[]string{"vanilla", "fused"}[j%2], true, true
		}
		time.Series, memory.Series = append(time.Series, lines[:2]...), append(memory.Series, lines[2:]...)
		saved, faster := 1-float64(last.Fused.Bytes)/float64(last.Unfused.Bytes), 1-last.Fused.Seconds/last.Unfused.Seconds
		confirmed = confirmed && saved >= 0.4 && faster >= -0.02
		contradicted = contradicted || saved <= 0
		because += fmt.Sprintf("%s, batch %d: %.1f%% less memory, %.1f%% less time. ", s.name, largest, 100*saved, 100*faster)
	}
	switch {
	case contradicted:
		t.decide(Contradicted, "%s", because)
	case confirmed:
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("Vanilla keeps normalised, quantised and straight-through copies as floats; fused keeps the input and one scale a token, as int8 codes. Both with float32 weight gradients, forward, backward, clipping and AdamW; the fastest of the rounds.")
	t.note("The paper's 25.6%% is 1.52/1.21 − 1; the time itself falls by 20.4%%. Its 82 GB are more than the card it names holds.")
	if err := l.plot("r7-time.png", time); err != nil {
		return err
	}
	return l.plot("r7-memory.png", memory)
}
