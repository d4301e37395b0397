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
		ID: "R6", Title: "The token mixer: RWKV-4's, and the recurrence's parts removed one at a time",
		Claim: "The MLGRU is at least as good as a ternary RWKV-4 and cheaper, and every part of it earns its place: forget gate with a lower bound that rises by layer, input gate tied to it, " +
			"silu candidate, gated output.",
		Rule: "RWKV-4 at its own best rate of a sweep, each removal at the MLGRU's; confirmed if the MLGRU does not end above the ternary RWKV-4, no removal helps and at least one hurts, beyond the noise; " +
			"contradicted if a removal helps by more than the noise; otherwise inconclusive.",
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
	base := job{arm: a, size: s, tokens: tokens, lr: w.rates[w.best()], keep: true}
	runs, whole, err := l.seeds(ctx, base, seeds)
	if err != nil {
		return err
	}
	chart := metrics.Chart{Title: "R6: " + s.name + ": RWKV-4, and parts removed", X: "tokens", Y: "held-out loss, nats a token", LogX: true}
	draw := func(name string, o *outcome) {
		x, y := curve(o.lines)
		chart.Series = append(chart.Series, metrics.Series{Name: name, X: x, Y: y, Line: true})
	}
	draw("MLGRU", runs[0])
	t.sampled(s.name+", MLGRU", "loss", "nats", none(), whole)
	other, mixer, err := l.againstRWKV4(ctx, t, base, runs[0], whole)
	if err != nil {
		return err
	}
	draw("RWKV-4", other)
	base.keep = false
	var removed []difference
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
		removed = append(removed, d)
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
	t.decide(judgeMixers(mixer, removed), "the MLGRU's loss less the ternary RWKV-4's is %.3f nats (margin %.3f); %d of %d removals hurt. %s",
		mixer.value, mixer.margin, hurts, len(removed), helps)
	t.note("Removals change the kernels of both passes, in plain Go; parameters stay the same in number, those of a removed part get no gradient. Their rate is tuned for the whole MLGRU.")
	t.note("RWKV-4 is its token mixer alone, with as many weights as the MLGRU, in the MatMul-free model's blocks (docs/ARCHITECTURES.md). Where these add, subtract or skip for a weight, their float twins multiply.")
	t.note("The MLGRU without exponentials and divisions is the paper's hardware with a table for the sigmoid: here a sigmoid is one of each.")
	if l.budget == Quick {
		t.note("The quick budget tries two rates for RWKV-4, the MLGRU's best and twice that, and leaves out the float twins.")
	}
	return l.plot("r6.png", chart)
}

// judgeMixers is R6's rule: mixer is the MLGRU's loss less RWKV-4's, removed each removal's less the MLGRU's.
func judgeMixers(mixer difference, removed []difference) Verdict {
	hurt := false
	for _, d := range removed {
		if d.below() {
			return Contradicted
		}
		hurt = hurt || d.above()
	}
	if hurt && !mixer.above() {
		return Confirmed
	}
	return Inconclusive
}

// againstRWKV4 compares the MLGRU, base's arm with its run and losses, with the ternary RWKV-4: mixer is the difference of losses.
func (l *lab) againstRWKV4(ctx context.Context, t *Table, base job, run *outcome, whole sample) (other *outcome, mixer difference, err error) {
	a := armNamed(ternaryRWKV4)
	other, losses, err := l.otherMixer(ctx, t, a, base, len(whole))
	if err != nil {
		return nil, mixer, err
	}
	mixer = less(whole, losses)
	t.row(base.size.name+", "+a.title, "less the MLGRU's", "nats", none(), Number(-mixer.value))
	for _, m := range []struct {
		setting, name string
		run           *outcome
	}{{"MLGRU", "mlgru", run}, {a.title, "rwkv4", other}} {
		if m.run.Diverged { // there is no model
			continue
		}
		o, err := l.countRun("r6-operations-"+m.name+"-"+base.size.name, m.run)
		if err != nil {
			return nil, mixer, err
		}
		t.count(base.size.name+", "+m.setting, o)
	}
	if l.budget == Quick {
		return other, mixer, nil
	}
	base.keep = false
	var float [2]sample
	for i, name := range []string{floatMLGRU, floatRWKV4} {
		if _, float[i], err = l.otherMixer(ctx, t, armNamed(name), base, len(whole)); err != nil {
			return nil, mixer, err
		}
	}
	t.row(base.size.name+", "+armNamed(floatRWKV4).title, "less the float MLGRU's", "nats", none(), Number(less(float[1], float[0]).value))
	return other, mixer, nil
}

// otherMixer trains an arm as base, at its own best rate, and adds its rows. The quick budget has a minute, time for no more
// than the MLGRU's best rate and twice that: RWKV-4 wants rates as high (S0, 120 steps of TinyShakespeare, one seed: 2.691,
// 2.569, 2.540 and 2.532 nats at 2e-3, 4e-3, 8e-3 and 1.6e-2).
func (l *lab) otherMixer(ctx context.Context, t *Table, a arm, base job, seeds int) (*outcome, sample, error) {
	var w *swept
	var err error
	if l.budget == Quick {
		w, err = l.sweep(ctx, a, base.size, []float64{base.lr, 2 * base.lr}, 1)
	} else {
		w, err = l.tuned(ctx, a, base.size)
	}
	if err != nil {
		return nil, nil, err
	}
	setting := base.size.name + ", " + a.title
	for i, rate := range w.rates {
		t.sampled(setting, fmt.Sprintf("sweep: loss at rate %g", rate), "nats", none(), w.losses[i])
	}
	base.arm, base.lr = a, w.rates[w.best()]
	t.row(setting, "rate, best of sweep", "", none(), Number(base.lr))
	runs, losses, err := l.seeds(ctx, base, seeds)
	if err != nil {
		return nil, nil, err
	}
	t.sampled(setting, "loss", "nats", none(), losses)
	return runs[0], losses, nil
}
