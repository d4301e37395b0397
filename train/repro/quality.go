package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/train/metrics"
)

func quality() Experiment {
	return Experiment{
		ID: "R1", Title: "Quality at equal size, and whether the gap narrows",
		Claim: "Ternary MatMul-free models come close to Transformer++ of equal size and tokens, and closer with size: 0.26, 0.24 and 0.10 nats at 370M, 1.3B and 2.7B.",
		Rule: "the gap is the MatMul-free loss less Transformer++'s, each at its own best rate; confirmed if the gap of the largest size is below that of the smallest; " +
			"contradicted if three sizes or more were run and it is not below; otherwise inconclusive.",
		do: runQuality,
	}
}

func qualityTokens(b Budget, s size) int {
	if b == Full && s.name == "S3" {
		return 4_000_000
	}
	return of(b, 4*stepTokens, 1_000_000, 8_000_000)
}

// pretrained returns an arm's runs of R1 at a size, at the best rate.
func (l *lab) pretrained(ctx context.Context, a arm, s size) ([]*outcome, sample, *swept, error) {
	w, err := l.tuned(ctx, a, s)
	if err != nil {
		return nil, nil, nil, err
	}
	runs, losses, err := l.seeds(ctx, job{arm: a, size: s, tokens: qualityTokens(l.budget, s), lr: w.rates[w.best()], keep: true}, of(l.budget, 1, 2, 3))
	return runs, losses, w, err
}

func runQuality(ctx context.Context, l *lab, t *Table) error {
	var gaps []difference
	list := sizesOf(l.budget)
	for _, s := range list {
		losses := map[string]sample{}
		chart := metrics.Chart{Title: "R1: " + s.name + ", loss over the run", X: "tokens", Y: "held-out loss, nats a token", LogX: true}
		for _, a := range arms() {
			runs, sample, w, err := l.pretrained(ctx, a, s)
			if err != nil {
				return err
			}
			losses[a.name] = sample
			setting := s.name + ", " + a.title
			t.row(setting, "parameters", "", none(), Number(runs[0].Parameters))
			t.row(setting, "rate, best of sweep", "", none(), Number(w.rates[w.best()]))
			for i, rate := range w.rates {
				if s != list[0] { // the smallest one's sweep is in R4
					t.sampled(setting, fmt.Sprintf("sweep: loss at rate %g", rate), "nats", none(), w.losses[i])
				}
			}
			t.sampled(setting, "loss", "nats", none(), sample)
			t.sampled(setting, "bits per byte", "bits", none(), bitsPerByte(runs))
			series := metrics.Series{Name: a.title, Line: true, Marks: true}
			series.X, series.Y = curve(runs[0].lines)
			chart.Series = append(chart.Series, series)
		}
		gap := less(losses[ternaryMLGRU], losses[floatAttention])
		gaps = append(gaps, gap)
		t.row(s.name, "gap: MatMul-free less Transformer++", "nats", none(), Number(gap.value))
		t.row(s.name, "the same, below which it is noise", "nats", none(), Number(gap.margin))
		for _, p := range precisionPairs() {
			t.row(s.name, "ternary less float, "+p[0].mixer, "nats", none(), Number(less(losses[p[1].name], losses[p[0].name]).value))
		}
		t.row(s.name, "MLGRU less attention, both ternary", "nats", none(), Number(less(losses[ternaryMLGRU], losses[ternaryAttention]).value))
		t.row(s.name, "MLGRU less attention, both float", "nats", none(), Number(less(losses[floatMLGRU], losses[floatAttention]).value))
		t.row(s.name, "ternary less float, Spectra's law at this size", "nats, 16-bit vocabulary", Number(spectraGap(s.blockWeights())), none())
		t.row(s.name, "perplexity, BitNet over Transformer++", "times", none(), Number(math.Exp(less(losses[ternaryAttention], losses[floatAttention]).value)))
		if err := l.plot("r1-"+s.name+".png", chart); err != nil {
			return err
		}
	}
	publishedQuality(t)
	first, last := gaps[0], gaps[len(gaps)-1]
	change := last.minus(first)
	because := fmt.Sprintf("the gap goes from %.3f at %s to %.3f nats at %s; the change counts beyond %.3f", first.value, list[0].name, last.value, list[len(list)-1].name, change.margin)
	switch {
	case change.below():
		t.decide(Confirmed, "%s", because)
	case len(list) >= 3:
		t.decide(Contradicted, "%s", because)
	default:
		t.decide(Inconclusive, "%s, and %d sizes are too few to contradict", because, len(list))
	}
	t.note("Tokens are the same for every arm of a size, and their order too. At full budget S3 sees half of what the others see.")
	t.note("The paper's gap in accuracy is not monotone: 1.10, 1.85, 0.88 points. At 370M the mean of its own columns is 39.97, not the 40.3 that it prints.")
	return nil
}

func bitsPerByte(runs []*outcome) (s sample) {
	for _, o := range runs {
		s = append(s, float64(o.ValBitsPerByte))
	}
	return s
}

// spectraGap is the ternary model's loss less the float model's by the fits of Spectra (arXiv 2407.12327, appendix C):
// 185·N^−0.26 + 1.76 and 159·N^−0.26 + 1.67.
func spectraGap(n float64) float64 { return 26*math.Pow(n, -0.26) + 0.09 }

// publishedQuality adds what the papers print: arXiv 2406.02528v7, table 1 and figure 2 (read off the picture, ±0.02), and
// 2402.17764, table 1.
func publishedQuality(t *Table) {
	for _, p := range []struct {
		size          string
		gap, accuracy Number
	}{{"370M", 0.26, 1.10}, {"1.3B", 0.24, 1.85}, {"2.7B", 0.10, 0.88}} {
		t.row(p.size, "gap: MatMul-free less Transformer++, read off figure 2", "nats", p.gap, none())
		t.row(p.size, "gap in mean accuracy of six tasks, table 1", "points", p.accuracy, none())
	}
	for _, p := range []struct {
		size  string
		ratio Number
	}{{"700M", 12.87 / 12.33}, {"1.3B", 11.29 / 11.25}, {"3B", 9.91 / 10.04}} {
		t.row(p.size, "perplexity, BitNet b1.58 over LLaMA", "times", p.ratio, none())
	}
}
