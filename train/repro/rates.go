package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/train/metrics"
)

// rates returns the learning rates of a sweep.
func rates(b Budget) []float64 {
	all := []float64{3e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3e-2, 6e-2}
	return of(b, []float64{1e-3, 4e-3, 1.6e-2}, all, all)
}

func sweepTokens(b Budget) int { return of(b, 4*stepTokens, 200_000, 1_000_000) }

// swept is an arm's losses over learning rates.
type swept struct {
	arm      arm
	size     size
	rates    []float64
	losses   []sample
	unstable []int // runs of each rate
}

// best returns the rate with the lowest mean loss.
func (s *swept) best() (i int) {
	low := math.Inf(1)
	for j, l := range s.losses {
		if m := l.mean(); m < low {
			i, low = j, m
		}
	}
	return i
}

// firstUnstable returns the lowest rate above the best one at which a run was unstable; NaN where none was.
func (s *swept) firstUnstable() float64 {
	for i := s.best(); i < len(s.rates); i++ {
		if s.unstable[i] > 0 {
			return s.rates[i]
		}
	}
	return math.NaN()
}

// at returns the losses at a rate of the sweep, or nil.
func (s *swept) at(rate float64) sample {
	for i, r := range s.rates {
		if r == rate {
			return s.losses[i]
		}
	}
	return nil
}

// sweep trains an arm at each of the rates.
func (l *lab) sweep(ctx context.Context, a arm, s size, rates []float64, seeds int) (*swept, error) {
	w := &swept{arm: a, size: s, rates: rates}
	for _, rate := range rates {
		runs, losses, err := l.seeds(ctx, job{arm: a, size: s, tokens: sweepTokens(l.budget), lr: rate}, seeds)
		if err != nil {
			return nil, err
		}
		n := 0
		for _, o := range runs {
			if o.unstable() {
				n++
			}
		}
		w.losses, w.unstable = append(w.losses, losses), append(w.unstable, n)
	}
	return w, nil
}

// tuned returns the arm's best rate at a size: of all rates at the smallest, of three round that one at larger sizes. The
// sweep of the smallest size is R4's own.
func (l *lab) tuned(ctx context.Context, a arm, s size) (*swept, error) {
	smallest := sizesOf(l.budget)[0]
	w, err := l.sweep(ctx, a, smallest, rates(l.budget), sweepSeeds(l.budget, smallest))
	if err != nil || s == smallest {
		return w, err
	}
	rate := w.rates[w.best()]
	return l.sweep(ctx, a, s, []float64{rate / 2, rate, 2 * rate}, 1)
}

// sweepSeeds returns the seeds of each rate: the losses of the smallest models lie closest.
func sweepSeeds(b Budget, s size) int {
	if s == sizes()[0] {
		return of(b, 1, 1, 5)
	}
	return of(b, 1, 1, 3)
}

func learningRates() Experiment {
	return Experiment{
		ID: "R4", Title: "Large learning rates",
		Claim: "Ternary training wants learning rates 5 to 13 times those of full precision: 4e-3 against 3e-4 at 370M.",
		Rule: "confirmed if for every mixer that is here in both precisions the best ternary rate is at least twice the best float rate, and the ternary model loses at " +
			"the float model's best rate, against its own best; contradicted if for none the best ternary rate is higher; otherwise inconclusive.",
		do: runLearningRates,
	}
}

func runLearningRates(ctx context.Context, l *lab, t *Table) error {
	const paperRate = 3e-4 // of Transformer++, at every size
	paper := map[string]Number{floatAttention: paperRate, ternaryMLGRU: 4e-3}
	higher, pairs, all := 0, 0, true
	because := ""
	for _, s := range of(l.budget, sizesOf(Test)[:1], sizes()[:1], sizes()[:2]) {
		chart := metrics.Chart{Title: "R4: loss after " + fmt.Sprintf("%.3g", float64(sweepTokens(l.budget))) + " tokens, " + s.name, X: "largest learning rate", Y: "held-out loss, nats a token", LogX: true}
		found := map[string]*swept{}
		for _, a := range arms() {
			w, err := l.sweep(ctx, a, s, rates(l.budget), sweepSeeds(l.budget, s))
			if err != nil {
				return err
			}
			found[a.name] = w
			setting := s.name + ", " + a.title
			series := metrics.Series{Name: a.title, Line: true, Marks: true}
			for i, rate := range w.rates {
				t.sampled(setting, fmt.Sprintf("loss at rate %g", rate), "nats", none(), w.losses[i])
				series.X, series.Y = append(series.X, rate), append(series.Y, w.losses[i].mean())
			}
			chart.Series = append(chart.Series, series)
			published, ok := paper[a.name]
			if !ok {
				published = none()
			}
			t.row(setting, "best rate", "", published, Number(w.rates[w.best()]))
			t.row(setting, "loss at 3e-4 less loss at best", "nats", none(), Number(w.losses[0].mean()-w.losses[w.best()].mean()))
			t.row(setting, "first unstable rate", "", none(), Number(w.firstUnstable()))
		}
		for _, p := range precisionPairs() {
			float, ternary := found[p[0].name], found[p[1].name]
			f, q := float.rates[float.best()], ternary.rates[ternary.best()]
			lost := less(ternary.at(f), ternary.losses[ternary.best()])
			pairs++
			if q > f {
				higher++
			}
			all = all && q >= 2*f && lost.above()
			because += fmt.Sprintf("%s %s: float %g, ternary %g, which loses %.3f at the float rate (margin %.3f). ", s.name, p[0].mixer, f, q, lost.value, lost.margin)
		}
		if err := l.plot("r4-"+s.name+".png", chart); err != nil {
			return err
		}
	}
	switch {
	case all:
		t.decide(Confirmed, "%s", because)
	case higher == 0:
		t.decide(Contradicted, "%s", because)
	default:
		t.decide(Inconclusive, "%d of %d pairs have the higher ternary rate. %s", higher, pairs, because)
	}
	t.note("The paper's study of rates (v1 to v5, figure 4c) prints no values; its published rates stand in the paper's column.")
	return nil
}

// precisionPairs returns the arms of one mixer, float and ternary.
func precisionPairs() (pairs [][2]arm) {
	for _, f := range arms() {
		for _, q := range arms() {
			if !f.ternary && q.ternary && f.mixer == q.mixer {
				pairs = append(pairs, [2]arm{f, q})
			}
		}
	}
	return pairs
}
