package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/train/metrics"
)

func scaling() Experiment {
	return Experiment{
		ID: "R2", Title: "Scaling lines and their crossing",
		Claim: "The MatMul-free model's loss falls faster with training compute than Transformer++'s; the fitted lines cross near 1e23 FLOPs.",
		Rule: "over R1's runs, lines of loss in log10 of FLOPs (6 x weights of the blocks x tokens) along each family's lower envelope; confirmed if the MatMul-free line is steeper and the 90% interval of the " +
			"difference of slopes, over resampled runs, excludes 0; contradicted if it is flatter in the same way; otherwise inconclusive.",
		do: runScaling,
	}
}

// The paper's fitted lines, read off figure 2 (±0.02 nats).
func paperLines() [2]line { return [2]line{{7.797, -0.2684}, {9.673, -0.3504}} }

// early is the number of evaluations at a run's start that no envelope takes: there the loss falls by warming up.
const early = evaluations / 5

// point is a loss at a compute, of which x is the decimal logarithm.
type point struct{ x, y float64 }

// points returns a run's evaluations over its compute.
func points(o *outcome, s size) (list []point) {
	tokens, losses := curve(o.lines)
	for i := min(early, len(tokens)-1); i < len(tokens); i++ {
		list = append(list, point{math.Log10(6 * s.blockWeights() * tokens[i]), losses[i]})
	}
	return list
}

// envelope returns the points that no point of as much compute or less is below, in the order of compute.
func envelope(runs [][]point) (x, y []float64) {
	for _, run := range runs {
		for _, p := range run {
			beaten := false
			for _, other := range runs {
				for _, q := range other {
					beaten = beaten || q.x <= p.x && q.y < p.y
				}
			}
			if !beaten {
				x, y = append(x, p.x), append(y, p.y)
			}
		}
	}
	return x, y
}

// fits is one family's envelope with both forms fitted to it.
type fits struct {
	x, y  []float64
	line  line
	power power
}

func fit(runs [][]point) fits {
	x, y := envelope(runs)
	return fits{x, y, fitLine(x, y), fitPower(x, y)}
}

func runScaling(ctx context.Context, l *lab, t *Table) error {
	names := [2]string{floatAttention, ternaryMLGRU}
	var families [2][][]point
	chart := metrics.Chart{Title: "R2: loss over training compute", X: "FLOPs", Y: "held-out loss, nats a token", LogX: true}
	for i, name := range names {
		a := armNamed(name)
		for _, s := range sizesOf(l.budget) {
			runs, _, _, err := l.pretrained(ctx, a, s)
			if err != nil {
				return err
			}
			for _, o := range runs {
				list := points(o, s)
				families[i] = append(families[i], list)
				series := metrics.Series{Line: true, Like: i + 1}
				for _, p := range list {
					series.X, series.Y = append(series.X, math.Pow(10, p.x)), append(series.Y, p.y)
				}
				chart.Series = append(chart.Series, series)
			}
		}
	}
	float, mm := fit(families[0]), fit(families[1])
	published := paperLines()
	meet := crossing(float.line, mm.line)
	for i, f := range []fits{float, mm} {
		setting := armNamed(names[i]).title
		t.row(setting, "slope of loss in log10 FLOPs", "nats a decade", Number(published[i].Slope), Number(f.line.Slope))
		t.row(setting, "intercept", "nats", Number(published[i].Intercept), Number(f.line.Intercept))
		t.row(setting, "power law with floor: floor", "nats", none(), Number(f.power.Floor))
		t.row(setting, "power law with floor: exponent", "", none(), Number(f.power.Exponent))
		t.row(setting, "points on the envelope", "", none(), Number(len(f.x)))
		end := math.Min(30, math.Max(f.x[len(f.x)-1]+2, meet+1))
		projected := metrics.Series{Name: setting + ", fitted line", Line: true, Dashed: true, Like: i + 1}
		for _, x := range []float64{f.x[0], end} {
			if math.IsNaN(x) {
				x = f.x[len(f.x)-1] + 2
			}
			projected.X, projected.Y = append(projected.X, math.Pow(10, x)), append(projected.Y, f.line.at(x))
		}
		chart.Series = append(chart.Series, projected)
	}
	var slopes, crossings []float64
	resample(len(families[0]), 1000, func(drawn []int) {
		var again [2]line
		for i, family := range families {
			var runs [][]point
			for _, j := range drawn {
				runs = append(runs, family[j])
			}
			again[i] = fitLine(envelope(runs))
		}
		slopes = append(slopes, again[1].Slope-again[0].Slope)
		crossings = append(crossings, ahead(crossing(again[0], again[1]), float.x[0]))
	})
	low, high := interval(slopes, 0.9)
	t.row("MatMul-free less Transformer++", "slope", "nats a decade", Number(published[1].Slope-published[0].Slope), Number(mm.line.Slope-float.line.Slope))
	t.row("MatMul-free less Transformer++", "slope, 5% of resampled runs are below", "nats a decade", none(), Number(low))
	t.row("MatMul-free less Transformer++", "slope, 5% of resampled runs are above", "nats a decade", none(), Number(high))
	t.row("crossing", "lines", "log10 FLOPs", Number(crossing(published[0], published[1])), Number(ahead(meet, float.x[0])))
	from, to := interval(crossings, 0.9)
	t.row("crossing", "lines, 90% interval from", "log10 FLOPs", none(), Number(from))
	t.row("crossing", "lines, 90% interval to", "log10 FLOPs", none(), Number(to))
	bent := meeting(float.power, mm.power, float.x[0])
	t.row("crossing", "power laws with floor", "log10 FLOPs", none(), Number(bent))
	if y := float.line.at(meet); !math.IsNaN(ahead(meet, float.x[0])) && meet < 30 {
		chart.Series = append(chart.Series, metrics.Series{Name: "projected crossing", X: []float64{math.Pow(10, meet)}, Y: []float64{y}, Marks: true})
	}
	because := fmt.Sprintf("slopes %.4f (MatMul-free) and %.4f (Transformer++) nats a decade; 90%% interval of the difference %.4f to %.4f", mm.line.Slope, float.line.Slope, low, high)
	switch {
	case high < 0:
		t.decide(Confirmed, "%s", because)
	case low > 0:
		t.decide(Contradicted, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	if math.IsNaN(bent) {
		t.note("With power laws that have a floor the two families never cross: whether they do is a matter of the form that is fitted. Spectra's fits (floors 1.76 and 1.67) predict no crossing.")
	} else {
		t.note("Between the two forms the crossing moves from 10^%.1f to 10^%.1f FLOPs. Spectra's fits (floors 1.76 and 1.67) predict none.", meet, bent)
	}
	t.note("The paper's lines are linear in log10 FLOPs, so that they reach loss 0 at a finite compute; three sizes, one run each. 6·8e9·15e12 FLOPs, to which the paper compares its crossing, is 7.2e23: ten times as much.")
	return l.plot("r2.png", chart)
}

// ahead returns a crossing, or NaN where it lies behind the data or nowhere.
func ahead(x, from float64) float64 {
	if !(x >= from) || math.IsInf(x, 0) {
		return math.NaN()
	}
	return x
}

// meeting returns where two power laws cross from x on, up to 1e40 FLOPs; NaN where they do not.
func meeting(a, b power, from float64) float64 {
	const step = 0.01
	above := a.at(from) > b.at(from)
	for x := from; x < 40; x += step {
		if (a.at(x) > b.at(x)) != above {
			return x
		}
	}
	return math.NaN()
}
