package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/train"
	"mmfree/train/metrics"
)

func conversion() Experiment {
	return Experiment{
		ID: "R12", Title: "Converting a float model: rounding, straight-through, by degrees",
		Claim: "Rounding at once destroys a model; training on from it by degrees recovers best; from random weights the same budget gives far less: perplexity 3.8 million, 12.2 and 26.",
		Rule: "at the largest budget; confirmed if rounding is worse than training from scratch, scratch worse than converting at once, and the best way by degrees not worse than that, each beyond the noise; " +
			"contradicted if scratch is better than every conversion beyond the noise; otherwise inconclusive.",
		do: runConversion,
	}
}

// way is how a float model becomes ternary.
type way struct {
	name, title string
	change      func(q *train.QuantConfig)
	paper       Number // perplexity of Llama-3 8B on WikiText behind 10B tokens
}

func ways() []way {
	degrees := func(schedule string) func(q *train.QuantConfig) {
		return func(q *train.QuantConfig) { q.Schedule, q.WeightsTo, q.ActivationsTo = schedule, 0.2, 0.2 }
	}
	return []way{
		{"at-once", "straight-through at once", func(*train.QuantConfig) {}, none()},
		{"linear", "by degrees, linear over 20% of the steps", degrees("linear"), 12.2},
		{"sigmoid", "by degrees, sigmoid over 20%", degrees("sigmoid"), 13.5},
		{"exponential", "by degrees, exponential over 20%", degrees("exponential"), 15},
	}
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
	chart := metrics.Chart{Title: "R12: " + s.name + ", converted", X: "share of the float model's tokens", Y: "held-out loss, nats a token"}
	lines := map[string]*metrics.Series{}
	var scratch, once, best sample
	var blind float64
	for _, share := range of(l.budget, []float64{1}, []float64{0.1, 0.25}, []float64{0.05, 0.1, 0.25}) {
		tokens := int(share * float64(qualityTokens(l.budget, s)))
		setting := fmt.Sprintf("%s, %.0f%% of its tokens", s.name, 100*share)
		add := func(title string, paper Number, losses sample) {
			t.sampled(setting+", "+title, "loss", "nats", none(), losses)
			t.row(setting+", "+title, "perplexity", "", paper, Number(math.Exp(losses.mean())))
			if lines[title] == nil {
				chart.Series = append(chart.Series, metrics.Series{Name: title, Line: true, Marks: true})
				lines[title] = &metrics.Series{}
			}
			lines[title].X, lines[title].Y = append(lines[title].X, share), append(lines[title].Y, losses.mean())
		}
		if _, scratch, err = l.seeds(ctx, job{arm: a, size: s, tokens: tokens, lr: rate}, seeds); err != nil {
			return err
		}
		add("from random weights", 26, scratch)
		best = nil
		for _, way := range ways() {
			// The rate of a model that has learned already: half of what it is trained with from the start.
			j := job{arm: a, size: s, tokens: tokens, lr: rate / 2, from: teachers[0], variant: "from-float-" + way.name, change: func(c *train.Config) {
				c.FineTune.To = a.name
				way.change(&c.Quant)
			}}
			runs, losses, err := l.seeds(ctx, j, seeds)
			if err != nil {
				return err
			}
			blind = float64(runs[0].StartRounded)
			add(way.title, way.paper, losses)
			t.row(setting+", "+way.title, "of the way from rounded to float", "share", none(), Number((blind-losses.mean())/(blind-float.mean())))
			if way.name == "at-once" {
				once = losses
			} else if best == nil || losses.mean() < best.mean() {
				best = losses
			}
		}
	}
	t.row(s.name+", rounded, not trained", "loss on the first held-out tokens", "nats", none(), Number(blind))
	t.row(s.name+", rounded, not trained", "perplexity", "", 3.8e6, Number(math.Exp(blind)))
	for i := range chart.Series {
		chart.Series[i].X, chart.Series[i].Y = lines[chart.Series[i].Name].X, lines[chart.Series[i].Name].Y
	}
	degrees, gain := less(best, once), less(scratch, once)
	because := fmt.Sprintf("rounded %.3f, from scratch %.3f, at once %.3f, best by degrees %.3f, float %.3f nats", blind, scratch.mean(), once.mean(), best.mean(), float.mean())
	switch {
	case gain.below() && less(scratch, best).below():
		t.decide(Contradicted, "%s", because)
	case blind > scratch.mean()+gain.margin && gain.above() && !degrees.above():
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("Distillation is not run here. The papers' perplexities are of Llama-3 8B by its own tokens behind 10B of them, ours by characters: orders compare, figures do not. The gain by degrees is said to vanish for small models.")
	return l.plot("r12.png", chart)
}
