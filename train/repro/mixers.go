package repro

import (
	"context"
	"fmt"

	"mmfree/ternary/kernel"
	"mmfree/train"
	"mmfree/train/metrics"
)

func mixers() Experiment {
	return Experiment{
		ID: "R6", Title: "The recurrence's parts, removed one at a time",
		Claim: "Every part of the MLGRU earns its place: forget gate with a lower bound that rises by layer, input gate tied to it, silu candidate, gated output.",
		Rule: "each removal at the MLGRU's own best rate; confirmed if no removal helps and at least one hurts, beyond the noise; contradicted if one helps by more than the noise; " +
			"otherwise inconclusive.",
		do: runMixers,
	}
}

// removal is the MLGRU with one part changed.
type removal struct {
	name, title string
	mixer       mixerVariant
	change      func(c *train.Config)
}

func removals() []removal {
	return []removal{
		{"no-bound", "no lower bound of the forget gate", mixerVariant{}, func(c *train.Config) { c.Model.UseLowerBound = false }},
		{"fixed-forget", "forget gate fixed at 0.9", mixerVariant{forget: 0.9}, nil},
		{"untied-input", "no input gate: u is the candidate, not (1−f) times it", mixerVariant{untied: true}, nil},
		{"tanh", "tanh candidate in place of silu", mixerVariant{tanh: true}, nil},
		{"no-output-gate", "no output gate: silu of the state alone", mixerVariant{noGate: true}, nil},
		{"sigmoid-output", "sigmoid of the state in the output gate", mixerVariant{sigmoid: true}, nil},
	}
}

func runMixers(ctx context.Context, l *lab, t *Table) error {
	s := of(l.budget, sizesOf(Test)[0], sizes()[0], sizes()[1])
	tokens, seeds := of(l.budget, 4*stepTokens, 400_000, 4_000_000), of(l.budget, 1, 2, 3)
	a := armNamed(ternaryMLGRU)
	w, err := l.tuned(ctx, a, s)
	if err != nil {
		return err
	}
	base := job{arm: a, size: s, tokens: tokens, lr: w.rates[w.best()]}
	runs, whole, err := l.seeds(ctx, base, seeds)
	if err != nil {
		return err
	}
	chart := metrics.Chart{Title: "R6: " + s.name + ", parts removed", X: "tokens", Y: "held-out loss, nats a token", LogX: true}
	draw := func(name string, o *outcome) {
		x, y := curve(o.lines)
		chart.Series = append(chart.Series, metrics.Series{Name: name, X: x, Y: y, Line: true})
	}
	draw("MLGRU", runs[0])
	t.sampled(s.name+", MLGRU", "loss", "nats", none(), whole)
	helps, hurts := "", 0
	for _, r := range removals() {
		j := base
		j.variant, j.change = r.name, r.change
		if r.change == nil {
			j.kernels = func(s *kernel.Set) { r.mixer.install(s) }
		}
		runs, losses, err := l.seeds(ctx, j, seeds)
		if err != nil {
			return err
		}
		draw(r.title, runs[0])
		d := less(losses, whole)
		t.sampled(s.name+", "+r.title, "loss", "nats", none(), losses)
		t.row(s.name+", "+r.title, "less the MLGRU's", "nats", none(), Number(d.value))
		switch {
		case d.below():
			helps += fmt.Sprintf("%s helps by %.3f nats (margin %.3f). ", r.title, -d.value, d.margin)
		case d.above():
			hurts++
		}
	}
	t.row("1.3B, 100B tokens", "mean accuracy, MLGRU", "%", 46.17, none())
	t.row("1.3B, 100B tokens", "mean accuracy, ternary RWKV-4", "%", 45.47, none())
	t.row("370M, 15B tokens", "mean accuracy, MLGRU", "%", 39.97, none())
	t.row("370M, 15B tokens", "mean accuracy, ternary RWKV-4", "%", 40.03, none())
	switch because := fmt.Sprintf("%d of %d removals hurt. %s", hurts, len(removals()), helps); {
	case helps != "":
		t.decide(Contradicted, "%s", because)
	case hurts > 0:
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("The ternary RWKV-4 mixer is not built: it needs a state and projections of its own. The papers' figures stand for it.")
	t.note("Variants change the kernels of both passes, in plain Go; parameters stay the same in number, those of a removed part get no gradient. The rate is tuned for the whole MLGRU.")
	return l.plot("r6.png", chart)
}
