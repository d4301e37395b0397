package repro

import (
	"context"
	"fmt"
	"math"
	"slices"

	"mmfree/train"
	"mmfree/train/metrics"
)

func conversion() Experiment {
	return Experiment{
		ID: "R12", Title: "Converting a float model: rounding, straight-through, by degrees, taught",
		Claim: "Rounding at once destroys a model; training on from it by degrees recovers best, and better still taught by it; from random weights the same budget gives far less: perplexity 3.8 million, 12.2 and 26.",
		Rule: "at the largest budget; confirmed if rounding is worse than training from scratch, scratch worse than converting at once, the best way by degrees not worse than that, and the best taught way better than it, each beyond the noise; " +
			"contradicted if scratch is better than every conversion beyond the noise; otherwise inconclusive.",
		do: runConversion,
	}
}

// way is how a float model becomes ternary.
type way struct {
	name, title string
	kind        wayKind
	change      func(c *train.Config)
	paper       Number // perplexity of Llama-3 8B on WikiText behind 10B tokens
}

// wayKind is what the rule takes a way for.
type wayKind int

const (
	atOnce    wayKind = iota
	byDegrees         // λ of weights and activations from 0 to 1
	taught            // by degrees, and by the float model's probabilities
)

// degreesShare is the part of a run in which it becomes ternary.
const degreesShare = 0.2

func ways() []way {
	degrees := func(schedule string, steepness float64) func(c *train.Config) {
		return func(c *train.Config) {
			q := &c.Quant
			q.Schedule, q.Steepness, q.WeightsTo, q.ActivationsTo = schedule, steepness, degreesShare, degreesShare
		}
	}
	taughtAt := func(temperature float64) func(c *train.Config) {
		return func(c *train.Config) {
			degrees("linear", 0)(c)
			c.Distill.Temperature = temperature
		}
	}
	return []way{
		{"at-once", "straight-through at once", atOnce, func(*train.Config) {}, none()},
		{"linear", "by degrees, linear over 20% of the steps", byDegrees, degrees("linear", 0), 12.2},
		{"sigmoid", "by degrees, sigmoid over 20%, k 100", byDegrees, degrees("sigmoid", 100), 13.5},
		{"exponential", "by degrees, 1 − (1 − u)⁴ over 20%", byDegrees, degrees("power", 4), 15},
		{"taught-1", "by degrees, linear, taught at temperature 1", taught, taughtAt(1), none()},
		{"taught-2", "by degrees, linear, taught at temperature 2", taught, taughtAt(2), none()},
	}
}

// conversionBudgets returns the shares of the float model's tokens that conversions get.
func conversionBudgets(b Budget) []float64 {
	return of(b, []float64{1}, []float64{0.1, 0.25}, []float64{0.05, 0.1, 0.25})
}

// runsAt reports whether the way is run with a share that is or is not the largest.
func (w *way) runsAt(b Budget, largest bool) bool {
	return largest || b == Full || w.name == "at-once" || w.name == "linear"
}

func runConversion(ctx context.Context, l *lab, t *Table) error {
	s := of(l.budget, sizesOf(Test)[0], sizes()[1], sizes()[1])
	teachers, float, _, err := l.pretrained(ctx, armNamed(floatAttention), s)
	if err != nil {
		return err
	}
	a := armNamed(ternaryAttention)
	w, err := l.tuned(ctx, a, s)
	if err != nil {
		return err
	}
	seeds := of(l.budget, 1, 1, 3)
	rate := w.rates[w.best()]
	t.sampled(s.name+", float model", "loss", "nats", none(), float)
	t.sampled(s.name+", float model", "bits per byte", "bits", none(), bitsPerByte(teachers))
	chart := metrics.Chart{Title: "R12: " + s.name + ", converted", X: "share of the float model's tokens", Y: "held-out loss, nats a token"}
	draw := func(title string, share, loss float64) {
		i := slices.IndexFunc(chart.Series, func(s metrics.Series) bool { return s.Name == title })
		if i < 0 {
			i = len(chart.Series)
			chart.Series = append(chart.Series, metrics.Series{Name: title, Line: true, Marks: true})
		}
		chart.Series[i].X, chart.Series[i].Y = append(chart.Series[i].X, share), append(chart.Series[i].Y, loss)
	}
	var found converted
	shares := conversionBudgets(l.budget)
	for i, share := range shares {
		tokens := int(share * float64(qualityTokens(l.budget, s)))
		setting := fmt.Sprintf("%s, %.0f%% of its tokens", s.name, 100*share)
		add := func(title string, paper Number, runs []*outcome, losses sample) {
			t.sampled(setting+", "+title, "loss", "nats", none(), losses)
			t.row(setting+", "+title, "perplexity", "", paper, Number(math.Exp(losses.mean())))
			t.sampled(setting+", "+title, "bits per byte", "bits", none(), bitsPerByte(runs))
			draw(title, share, losses.mean())
		}
		found = converted{float: float}
		var runs []*outcome
		if runs, found.scratch, err = l.seeds(ctx, job{arm: a, size: s, tokens: tokens, lr: rate}, seeds); err != nil {
			return err
		}
		add("from random weights", 26, runs, found.scratch)
		for _, way := range ways() {
			if !way.runsAt(l.budget, i == len(shares)-1) {
				continue
			}
			// The rate of a model that has learned already: half of what it is trained with from the start.
			j := job{arm: a, size: s, tokens: tokens, lr: rate / 2, from: teachers[0], taught: way.kind == taught, variant: "from-float-" + way.name, change: func(c *train.Config) {
				c.FineTune.To = a.name
				way.change(c)
			}}
			runs, losses, err := l.seeds(ctx, j, seeds)
			if err != nil {
				return err
			}
			found.blind = float64(runs[0].StartRounded)
			found.add(way.kind, losses)
			add(way.title, way.paper, runs, losses)
			t.row(setting+", "+way.title, "loss before the first step, on the first held-out tokens", "nats", none(), runs[0].Start)
			t.row(setting+", "+way.title, "of the way from rounded to float", "share", none(), closed(found.blind, losses, float))
			t.row(setting+", "+way.title, "of the gap between ternary from random weights and float", "share", none(), closed(found.scratch.mean(), losses, float))
		}
	}
	t.row(s.name+", rounded, not trained", "loss on the first held-out tokens", "nats", none(), Number(found.blind))
	t.row(s.name+", rounded, not trained", "perplexity", "", 3.8e6, Number(math.Exp(found.blind)))
	for _, p := range []struct {
		title                string
		accuracy, perplexity Number
	}{{"rounded to 3 bits by GPTQ", 56.8, 14}, {"trained ternary", 60.7, 6.3}} {
		t.row("Spectra 3.9B, "+p.title, "mean accuracy of six tasks", "%", p.accuracy, none())
		t.row("Spectra 3.9B, "+p.title, "perplexity on LAMBADA", "", p.perplexity, none())
	}
	verdict, because := found.judge()
	t.decide(verdict, "%s", because)
	t.note("The papers' perplexities are of Llama-3 8B by its own tokens behind 10B of them, ours by characters: orders compare, figures do not. The gain by degrees is said to vanish for small models.")
	t.note("The teacher is the float model itself: its probabilities are %.0f%% of the loss, the text is the rest. BitNet Distillation prints tasks' accuracies alone, which do not compare.", 100*train.Default().Distill.Share)
	if l.budget != Full {
		t.note("The quick form runs the curves beside the line, and the teacher, at the largest budget alone.")
	}
	return l.plot("r12.png", chart)
}

// closed is the share of the gap from one loss to the float model's that is closed.
func closed(from float64, losses, float sample) Number {
	return Number((from - losses.mean()) / (from - float.mean()))
}

// converted is what one budget came to.
type converted struct {
	blind          float64 // loss of the weights rounded at once, untrained
	float, scratch sample
	once           sample
	degrees        sample // best of the ways by degrees
	taught         sample // best of the taught ones
}

func (c *converted) add(kind wayKind, losses sample) {
	best := map[wayKind]*sample{atOnce: &c.once, byDegrees: &c.degrees, taught: &c.taught}[kind]
	if *best == nil || math.IsNaN(best.mean()) || losses.mean() < best.mean() {
		*best = losses
	}
}

// judge is R12's rule.
func (c *converted) judge() (Verdict, string) {
	degrees, gain, lesson := less(c.degrees, c.once), less(c.scratch, c.once), less(c.degrees, c.taught)
	because := fmt.Sprintf("rounded %.3f, from scratch %.3f, at once %.3f, best by degrees %.3f, best taught %.3f, float %.3f nats; differences count beyond %.3f",
		c.blind, c.scratch.mean(), c.once.mean(), c.degrees.mean(), c.taught.mean(), c.float.mean(), lesson.margin)
	switch {
	case gain.below() && less(c.scratch, c.degrees).below() && less(c.scratch, c.taught).below():
		return Contradicted, because
	case c.blind > c.scratch.mean()+gain.margin && gain.above() && degrees.value <= degrees.margin && lesson.above():
		return Confirmed, because
	}
	return Inconclusive, because
}
