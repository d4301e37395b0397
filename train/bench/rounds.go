package bench

import (
	"context"
	"time"
)

// roundTime is how long one round of work is made to last: long against starting the workers, short against the time
// that the system gives a neighbour.
const roundTime = 1500 * time.Microsecond

// besideShare is how long limits are measured before what lasts longer than a neighbour's turn, and behind it, as a share of its own time.
const besideShare = 0.25

// beside measures a limit for besideShare of what took so long, and returns its mean rate.
func beside(took time.Duration, round func() float64) float64 {
	var rates []float64
	for until := time.Now().Add(time.Duration(besideShare * float64(took))); len(rates) == 0 || time.Now().Before(until); {
		rates = append(rates, round())
	}
	return meanRate(rates...)
}

// job is one thing to measure.
type job struct {
	Result
	limit string
	// perLimit converts one unit of the limit (GB/s, GFLOP/s) into the result's unit: 0.5 for multiply-accumulates.
	perLimit float64
	run      func() (units float64) // once; units in 10⁻⁹ of the result's
	repeat   int
	rates    []float64
	limits   []float64
}

// rotate measures the jobs in turns, each round behind one of its limit, until the time is used up; each has at least one
// round.
func rotate(ctx context.Context, l *limits, jobs []job, until time.Time) ([]Result, error) {
	for i := range jobs { // the first run of each is warm-up and tells how often to repeat it
		jobs[i].run()
		start := time.Now()
		jobs[i].run()
		jobs[i].repeat = int(min(1000, roundTime/max(1, time.Since(start)))) + 1
	}
	l.all()
	for first := true; first || time.Now().Before(until); first = false {
		for i := range jobs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			jobs[i].round(l)
			if !first && time.Now().After(until) {
				break
			}
		}
	}
	results := make([]Result, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		j.Value = typical(j.rates)
		results[i] = j.of(j.limit, j.Value/(typical(j.limits)*j.perLimit))
	}
	return results, nil
}

// round measures the job once, behind a round of its limit if it has one, and returns its rate.
func (j *job) round(l *limits) float64 {
	switch j.limit {
	case limitMemory:
		j.limits = append(j.limits, l.memory.read(readRound))
	case limitCache:
		j.limits = append(j.limits, l.cache())
	case limitFused:
		j.limits = append(j.limits, l.fused())
	}
	var units float64
	start := time.Now()
	for range j.repeat {
		units += j.run()
	}
	rate := units / time.Since(start).Seconds() / giga
	j.rates = append(j.rates, rate)
	return rate
}
