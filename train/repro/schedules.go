package repro

import (
	"context"
	"fmt"
	"strings"

	"mmfree/train"
	"mmfree/train/metrics"
)

func schedules() Experiment {
	return Experiment{
		ID: "R5", Title: "Schedules: halved midway or along two lines, down to 0",
		Claim: "Halving the rate midway, or bending it to a second line, and taking it to 0 ends lower, by an S-shaped curve whose last part falls once more, in ternary training above all; dropping the weight decay midway helps too.",
		Rule: "confirmed if the ternary model of each mixer ends at least as low under the halved cosine and along two lines as under the cosine to a tenth, up to the noise, and if under both a larger part of the fall lies in the last fifth " +
			"of the ternary run than of the float run; contradicted if of one mixer the ternary model ends lower under the cosine to a tenth than under each other schedule, beyond the noise; otherwise inconclusive.",
		do: runSchedules,
	}
}

// plan is one schedule of the rate and the weight decay.
type plan struct {
	name, title string
	quick, full reach
	change      func(h *train.TrainConfig)
}

// reach says which arms follow a plan.
type reach int

const (
	nobody      reach = iota
	firstArm          // the ternary MLGRU
	ternaryArms       // of both mixers
	everyArm          // and their float controls
)

func (r reach) holds(a arm) bool {
	return r == everyArm || r == ternaryArms && a.ternary || r == firstArm && a.name == ternaryMLGRU
}

// Names of the plans that the rule and the reasons compare.
const (
	planTenth    = "tenth"
	planHalved   = "halved"
	planTwoStage = "two-stage"
	planDropped  = "dropped"
)

func plans() []plan {
	return []plan{
		{planTenth, "cosine to a tenth", everyArm, everyArm, func(h *train.TrainConfig) { h.MinLRRatio = 0.1 }},
		{"cosine", "cosine to 0", firstArm, everyArm, func(*train.TrainConfig) {}},
		{planHalved, "cosine to 0, halved midway (the paper's)", everyArm, everyArm, func(h *train.TrainConfig) { h.Schedule = "paper" }},
		{planTwoStage, "two lines to 0, by two thirds midway (BitNet's)", everyArm, everyArm, func(h *train.TrainConfig) { h.Schedule = "two-stage" }},
		{planDropped, "two lines, weight decay 0.1 up to midway, then none (BitNet's)", ternaryArms, everyArm, func(h *train.TrainConfig) {
			h.Schedule, h.WeightDecay, h.DecayUntil = "two-stage", 0.1, 0.5
		}},
		{"kept", "two lines, weight decay 0.1 to the end", nobody, ternaryArms, func(h *train.TrainConfig) { h.Schedule, h.WeightDecay = "two-stage", 0.1 }},
		{"linear", "line to 0", firstArm, firstArm, func(h *train.TrainConfig) { h.Schedule = "linear" }},
		{"wsd", "constant, then a line to 0 over the last fifth", firstArm, firstArm, func(h *train.TrainConfig) { h.Schedule = "wsd" }},
		{"no-decay", "cosine to 0, without weight decay", firstArm, firstArm, func(h *train.TrainConfig) { h.WeightDecay = 0 }},
	}
}

// fall is how the loss came down in an arm's runs under one plan: a figure a seed.
type fall struct {
	end    sample // the loss on the whole held-out text
	middle sample // behind half of the run, on its first tokens
	late   sample // share of the fall, from before the first step to behind the last, that lies in the last fifth
	flips  sample // of a code in 100 steps; empty of float arms
	last   sample // the same over the last fifth
}

// add reads a run.
func (f *fall) add(o *outcome) {
	x, y := curve(o.lines)
	f.end = append(f.end, float64(o.ValLoss))
	if o.Diverged || len(y) == 0 {
		f.middle, f.late = append(f.middle, float64(none())), append(f.late, float64(none()))
		return
	}
	whole := x[len(x)-1]
	at := func(share float64) float64 { // the last evaluation up to there
		i := 0
		for i+1 < len(x) && x[i+1] <= share*whole {
			i++
		}
		return y[i]
	}
	f.middle = append(f.middle, at(0.5))
	f.late = append(f.late, (at(0.8)-at(1))/(o.lines[0].Loss-at(1)))
	var all, last sample
	for _, l := range o.lines {
		if l.Health == nil {
			continue
		}
		flips := 100 * float64(l.Health.Flips) // as many a step as at the one that was looked at
		if all = append(all, flips); float64(l.Tokens) > 0.8*whole {
			last = append(last, flips)
		}
	}
	if len(all) > 0 {
		f.flips, f.last = append(f.flips, all.mean()), append(f.last, last.mean())
	}
}

// falls are those of an arm, by the plan's name.
type falls map[string]fall

func runSchedules(ctx context.Context, l *lab, t *Table) error {
	s := of(l.budget, sizesOf(Test)[0], sizes()[0], sizes()[1])
	// Whole evaluations and looks, so that half and four fifths of a run are steps of it.
	tokens, seeds := evaluations*of(l.budget, 1, 13, 195)*stepTokens, of(l.budget, 1, 1, 3)
	var verdicts []mixerSchedules
	for _, pair := range precisionPairs() {
		m := mixerSchedules{mixer: pair[0].mixer}
		var err error
		if m.ternary, err = l.follow(ctx, pair[1], s, tokens, seeds); err != nil {
			return err
		}
		if m.float, err = l.follow(ctx, pair[0], s, tokens, seeds); err != nil {
			return err
		}
		verdicts = append(verdicts, m)
	}
	for _, p := range []struct {
		name     string
		accuracy Number
	}{{"rate and weight decay cut", 50.2}, {"weight decay alone", 50.1}, {"rate alone", 49.7}, {"neither", 49.1}} {
		t.row("Spectra 1.1B, 100B tokens, "+p.name, "mean accuracy of six tasks", "%", p.accuracy, none())
	}
	verdict, because := judgeSchedules(verdicts)
	t.decide(verdict, "%s", because)
	t.note("Flips in 100 steps are 100 times the share of codes that a step changes, the mean of ten looks at a run, or of the two in its last fifth. A code that goes back and forth counts each time.")
	t.note("The fall begins at the loss of the first batch, before the first step. Weight decay is 0.01 where no other is named. The schedules that are not the papers' are run with the ternary MLGRU alone.")
	if l.budget != Full {
		t.note("The quick form leaves out the cosine to 0 for all but the ternary MLGRU, the float controls of weight decay 0.1, and weight decay 0.1 to the end.")
	}
	return nil
}

// follow trains an arm by each plan that reaches it.
func (l *lab) follow(ctx context.Context, a arm, s size, tokens, seeds int) (falls, error) {
	w, err := l.tuned(ctx, a, s)
	if err != nil {
		return nil, err
	}
	t, found := l.table, falls{}
	chart := metrics.Chart{Title: "R5: " + a.title + ", " + s.name, X: "tokens", Y: "held-out loss, nats a token"}
	for _, p := range plans() {
		if r := of(l.budget, p.quick, p.quick, p.full); !r.holds(a) {
			continue
		}
		j := job{arm: a, size: s, tokens: tokens, lr: w.rates[w.best()], variant: p.name, change: func(c *train.Config) {
			p.change(&c.Train)
			if a.ternary {
				c.Train.HealthEvery = max(1, c.Train.Steps/10)
			}
		}}
		runs, losses, err := l.seeds(ctx, j, seeds)
		if err != nil {
			return nil, err
		}
		var f fall
		for _, o := range runs {
			f.add(o)
		}
		found[p.name] = f
		setting := s.name + ", " + a.title + ", " + p.title
		t.sampled(setting, "loss", "nats", none(), losses)
		if p.name != planTenth {
			t.row(setting, "loss less that under the cosine to a tenth", "nats", none(), Number(less(losses, found[planTenth].end).value))
		}
		t.sampled(setting, "loss at half of the run", "nats", none(), f.middle)
		t.sampled(setting, "share of the fall in the last fifth", "share", none(), f.late)
		if a.ternary {
			t.sampled(setting, "flips a code in 100 steps", "flips", none(), f.flips)
			t.sampled(setting, "flips a code in 100 steps, last fifth", "flips", none(), f.last)
		}
		x, y := curve(runs[0].lines)
		chart.Series = append(chart.Series, metrics.Series{Name: p.title, X: x, Y: y, Line: true})
	}
	if !a.ternary {
		return found, nil
	}
	return found, l.plot("r5-"+a.name+".png", chart)
}

// mixerSchedules is what the plans came to with one mixer.
type mixerSchedules struct {
	mixer          string
	ternary, float falls
}

// judgeSchedules is R5's rule.
func judgeSchedules(mixers []mixerSchedules) (Verdict, string) {
	confirmed, contradicted := true, false
	var because []string
	for _, m := range mixers {
		tenth := m.ternary[planTenth].end
		halved, lines := less(m.ternary[planHalved].end, tenth), less(m.ternary[planTwoStage].end, tenth)
		text := fmt.Sprintf("%s: the halved cosine ends %.3f and two lines %.3f nats beside the cosine to a tenth (margin %.3f), %.3f with the weight decay dropped",
			m.mixer, halved.value, lines.value, lines.margin, less(m.ternary[planDropped].end, tenth).value)
		confirmed = confirmed && halved.value <= halved.margin && lines.value <= lines.margin
		for _, name := range []string{planHalved, planTwoStage} {
			ternary, float := m.ternary[name].late.mean(), m.float[name].late.mean()
			confirmed = confirmed && ternary > float
			text += fmt.Sprintf("; %s, %.1f%% of the ternary and %.1f%% of the float fall lie in the last fifth", name, 100*ternary, 100*float)
		}
		best := true
		for name, f := range m.ternary {
			best = best && (name == planTenth || less(f.end, tenth).above())
		}
		contradicted = contradicted || best
		because = append(because, text)
	}
	reason := strings.Join(because, ". ")
	switch {
	case contradicted:
		return Contradicted, reason
	case confirmed:
		return Confirmed, reason
	}
	return Inconclusive, reason
}
