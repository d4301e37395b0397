package repro

import (
	"math"
	"math/rand/v2"
	"slices"
)

// What losses of runs that differ in their seed alone spread by, in nats a token, where too few seeds tell. Two or three
// seeds often lie closer by chance than they should, so no measured deviation is taken for less than leastDeviation.
const (
	leastDeviation = 0.01
	oneSeed        = 0.02 // of a single run
)

// sample is one figure of runs that differ in their seed alone, or of tokens.
type sample []float64

func (s sample) mean() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	var sum float64
	for _, x := range s {
		sum += x
	}
	return sum / float64(len(s))
}

// deviation is the sample standard deviation; NaN of fewer than two.
func (s sample) deviation() float64 {
	if len(s) < 2 {
		return math.NaN()
	}
	m := s.mean()
	var sum float64
	for _, x := range s {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(s)-1))
}

// squaredError is the square of the mean's standard error.
func (s sample) squaredError() float64 {
	if len(s) < 2 {
		return oneSeed * oneSeed
	}
	d := math.Max(leastDeviation, s.deviation())
	return d * d / float64(len(s))
}

// less is a − b with its margin: only a difference beyond the margin, twice the pooled standard error, counts. The
// figures are losses.
func less(a, b sample) difference {
	return difference{a.mean() - b.mean(), 2 * math.Sqrt(a.squaredError()+b.squaredError())}
}

// difference is a difference of losses and the margin below which it is noise.
type difference struct{ value, margin float64 }

// minus is the difference of two differences.
func (d difference) minus(e difference) difference {
	return difference{d.value - e.value, math.Hypot(d.margin, e.margin)}
}

func (d difference) above() bool { return d.value > d.margin }
func (d difference) below() bool { return d.value < -d.margin }

// line is y = Intercept + Slope·x.
type line struct{ Intercept, Slope float64 }

func (l line) at(x float64) float64 { return l.Intercept + l.Slope*x }

// fitLine is the line of least squares.
func fitLine(x, y []float64) line {
	mx, my := sample(x).mean(), sample(y).mean()
	var xx, xy float64
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
	}
	slope := xy / xx
	return line{my - slope*mx, slope}
}

// crossing returns the x at which two lines meet; NaN of parallels.
func crossing(a, b line) float64 {
	if a.Slope == b.Slope {
		return math.NaN()
	}
	return (b.Intercept - a.Intercept) / (a.Slope - b.Slope)
}

// power is y = Floor + 10^Scale · 10^(−Exponent·x): a power law with a floor, over x a decimal logarithm.
type power struct{ Floor, Scale, Exponent float64 }

func (p power) at(x float64) float64 { return p.Floor + math.Pow(10, p.Scale-p.Exponent*x) }

// fitPower is the power law of least squares in the logarithm of y − Floor, the floor from a grid below the least y.
func fitPower(x, y []float64) power {
	least := slices.Min(y)
	best, bestError := power{}, math.Inf(1)
	for i := range 100 {
		floor := least * float64(i) / 100
		logs := make([]float64, len(y))
		for j := range y {
			logs[j] = math.Log10(y[j] - floor)
		}
		l := fitLine(x, logs)
		p := power{floor, l.Intercept, -l.Slope}
		var miss float64
		for j := range y {
			miss += (p.at(x[j]) - y[j]) * (p.at(x[j]) - y[j])
		}
		if miss < bestError {
			best, bestError = p, miss
		}
	}
	return best
}

// interval returns the bounds between which the middle share of values lies.
func interval(values []float64, share float64) (low, high float64) {
	var finite []float64
	for _, v := range values {
		if !math.IsNaN(v) {
			finite = append(finite, v)
		}
	}
	if len(finite) == 0 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(finite)
	at := func(q float64) float64 { return finite[int(math.Round(q*float64(len(finite)-1)))] }
	return at((1 - share) / 2), at((1 + share) / 2)
}

// resample calls f with the numbers of n things, drawn with replacement, so many times.
func resample(n, times int, f func(drawn []int)) {
	g := rand.New(rand.NewPCG(1, 2))
	drawn := make([]int, n)
	for range times {
		for i := range drawn {
			drawn[i] = g.IntN(n)
		}
		f(drawn)
	}
}

// bigramEntropy returns the entropy in nats of a token given the one before it, by the counts of ids: what a table of pairs
// costs on the text that it was counted on.
func bigramEntropy(ids []int32) float64 {
	if len(ids) < 2 {
		return math.NaN()
	}
	pairs := make([]uint64, len(ids)-1)
	for i := range pairs {
		pairs[i] = uint64(uint32(ids[i]))<<32 | uint64(uint32(ids[i+1]))
	}
	slices.Sort(pairs)
	logs := func(same func(a, b uint64) bool) (sum float64) { // Σ n·ln n over the groups of equal pairs
		for from := 0; from < len(pairs); {
			to := from + 1
			for to < len(pairs) && same(pairs[from], pairs[to]) {
				to++
			}
			n := float64(to - from)
			sum += float64(n * math.Log(n))
			from = to
		}
		return sum
	}
	first := logs(func(a, b uint64) bool { return a>>32 == b>>32 })
	both := logs(func(a, b uint64) bool { return a == b })
	return (first - both) / float64(len(pairs))
}
