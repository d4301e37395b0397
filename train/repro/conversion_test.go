package repro

import (
	"math"
	"testing"

	"mmfree/train"
)

// R12's rule, on losses written by hand.
func TestJudgeConversion(t *testing.T) {
	claimed := converted{blind: 6, float: sample{1.5}, scratch: sample{2.2}}
	for kind, losses := range map[wayKind][]sample{atOnce: {{1.9}}, byDegrees: {{1.95}, {1.88}, {math.NaN()}}, taught: {{math.NaN()}, {1.9}, {1.7}}} {
		for _, s := range losses {
			claimed.add(kind, s)
		}
	}
	if claimed.degrees[0] != 1.88 || claimed.taught[0] != 1.7 {
		t.Fatalf("the best of each: %+v", claimed)
	}
	if got := closed(claimed.scratch.mean(), claimed.taught, claimed.float); math.Abs(float64(got)-0.5/0.7) > 1e-12 {
		t.Errorf("%v of the gap closed", got)
	}
	for name, c := range map[string]struct {
		change func(c *converted)
		want   Verdict
	}{
		"as claimed":                        {func(*converted) {}, Confirmed},
		"rounded is as good as scratch":     {func(c *converted) { c.blind = 2.2 }, Inconclusive},
		"scratch is as good as at once":     {func(c *converted) { c.scratch = sample{1.9} }, Inconclusive},
		"degrees lose against at once":      {func(c *converted) { c.degrees = sample{2} }, Inconclusive},
		"the teacher helps within noise":    {func(c *converted) { c.taught = sample{1.85} }, Inconclusive},
		"the teacher's run diverged":        {func(c *converted) { c.taught = sample{math.NaN()} }, Inconclusive},
		"scratch beats all":                 {func(c *converted) { c.scratch = sample{1.5} }, Contradicted},
		"scratch beats all but the teacher": {func(c *converted) { c.scratch = sample{1.75} }, Inconclusive},
	} {
		x := claimed
		c.change(&x)
		if got, because := x.judge(); got != c.want {
			t.Errorf("%s: %s, want %s: %s", name, got, c.want, because)
		}
	}
}

// Every way is a valid configuration; a taught one is by degrees at its own temperature; quick runs all at the largest budget
// and full at each.
func TestWays(t *testing.T) {
	temperatures := map[float64]bool{}
	for _, w := range ways() {
		c := train.Default()
		w.change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		if degrees := c.Quant.Schedule != "ternary"; degrees != (w.kind != atOnce) {
			t.Errorf("%s: quant.schedule %s", w.name, c.Quant.Schedule)
		}
		if weights, _ := c.Quant.Lambda(degreesShare); weights != 1 {
			t.Errorf("%s: λ is %v behind %v of the run", w.name, weights, degreesShare)
		}
		if w.kind == taught {
			temperatures[c.Distill.Temperature] = true
		}
		if !w.runsAt(Quick, true) || !w.runsAt(Full, false) || w.kind == taught && w.runsAt(Quick, false) {
			t.Errorf("%s is run where it should not be, or not where it should", w.name)
		}
	}
	if !temperatures[1] || !temperatures[2] || len(temperatures) != 2 {
		t.Errorf("temperatures %v", temperatures)
	}
}
