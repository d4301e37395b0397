package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/train"
	"mmfree/train/metrics"
)

func schedules() Experiment {
	return Experiment{
		ID: "R5", Title: "Schedules: halved midway, and down to 0",
		Claim: "Halving the rate midway and taking it to 0 ends lower, by an S-shaped curve whose last part falls once more, in ternary training above all.",
		Rule: "confirmed if the halved cosine ends lower than the cosine to a tenth beyond the noise, and more of the loss's fall lies in the last fifth of the ternary run than of the float run, both under the halved cosine; " +
			"contradicted if the cosine to a tenth ends lower than every other schedule beyond the noise; otherwise inconclusive.",
		do: runSchedules,
	}
}

// plan is one schedule of the rate.
type plan struct {
	name, title string
	change      func(h *train.TrainConfig)
}

func plans() []plan {
	return []plan{
		{"tenth", "cosine to a tenth", func(h *train.TrainConfig) { h.MinLRRatio = 0.1 }},
		{"cosine", "cosine to 0", func(*train.TrainConfig) {}},
		{"halved", "cosine to 0, halved midway (the paper's)", func(h *train.TrainConfig) { h.Schedule = "paper" }},
		{"linear", "line to 0", func(h *train.TrainConfig) { h.Schedule = "linear" }},
		{"wsd", "constant, then a line to 0 over the last fifth", func(h *train.TrainConfig) { h.Schedule = "wsd" }},
		{"no-decay", "cosine to 0, without weight decay", func(h *train.TrainConfig) { h.WeightDecay = 0 }},
	}
}

func runSchedules(ctx context.Context, l *lab, t *Table) error {
	s := of(l.budget, sizesOf(Test)[0], sizes()[0], sizes()[1])
	tokens, seeds := of(l.budget, 20*stepTokens, 300_000, 4_000_000), of(l.budget, 1, 1, 3)
	chart := metrics.Chart{Title: "R5: MLGRU, ternary, " + s.name, X: "tokens", Y: "held-out loss, nats a token"}
	ends, late := map[string]sample{}, map[string]float64{}
	for _, name := range []string{ternaryMLGRU, floatMLGRU} {
		a := armNamed(name)
		w, err := l.tuned(ctx, a, s)
		if err != nil {
			return err
		}
		for _, p := range plans() {
			j := job{arm: a, size: s, tokens: tokens, lr: w.rates[w.best()], variant: p.name, change: func(c *train.Config) {
				p.change(&c.Train)
				if a.ternary {
					c.Train.HealthEvery = max(1, c.Train.Steps/10)
				}
			}}
			runs, losses, err := l.seeds(ctx, j, seeds)
			if err != nil {
				return err
			}
			x, y := curve(runs[0].lines)
			middle, tail := y[len(y)/2], y[len(y)*4/5]
			last := y[len(y)-1]
			setting := s.name + ", " + a.title + ", " + p.title
			t.sampled(setting, "loss", "nats", none(), losses)
			t.row(setting, "loss at half of the run", "nats", none(), Number(middle))
			t.row(setting, "share of the fall in the last fifth", "share", none(), Number((tail-last)/(y[0]-last)))
			ends[name+p.name], late[name+p.name] = losses, (tail-last)/(y[0]-last)
			if name == ternaryMLGRU {
				chart.Series = append(chart.Series, metrics.Series{Name: p.title, X: x, Y: y, Line: true})
			}
		}
	}
	for _, p := range []struct {
		name     string
		accuracy Number
	}{{"rate and weight decay cut", 50.2}, {"weight decay alone", 50.1}, {"rate alone", 49.7}, {"neither", 49.1}} {
		t.row("Spectra 1.1B, 100B tokens, "+p.name, "mean accuracy of six tasks", "%", p.accuracy, none())
	}
	halved := less(ends[ternaryMLGRU+"halved"], ends[ternaryMLGRU+"tenth"])
	beaten := true
	for _, p := range plans()[1:] {
		beaten = beaten && less(ends[ternaryMLGRU+p.name], ends[ternaryMLGRU+"tenth"]).above()
	}
	tern, float := late[ternaryMLGRU+"halved"], late[floatMLGRU+"halved"]
	because := fmt.Sprintf("the halved cosine ends %.3f nats beside the cosine to a tenth (margin %.3f); %.1f%% of the ternary fall and %.1f%% of the float one lie in the last fifth",
		halved.value, halved.margin, 100*tern, 100*float)
	switch {
	case beaten:
		t.decide(Contradicted, "%s", because)
	case halved.below() && tern > float && !math.IsNaN(tern):
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("BitNet's two lines (peak, two thirds, 0) and dropping the weight decay midway are not built; a run without any weight decay stands for the latter. Ternary runs' metrics.jsonl hold the share of codes that flip.")
	return l.plot("r5.png", chart)
}
