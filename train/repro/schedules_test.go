package repro

import (
	"math"
	"testing"

	"mmfree/train/metrics"
)

// R5's rule, on outcomes written by hand.
func TestJudgeSchedules(t *testing.T) {
	mixer := func(change func(ternary, float falls)) mixerSchedules {
		m := mixerSchedules{
			mixer: "any",
			ternary: falls{
				planTenth: {end: sample{1.5}}, planHalved: {end: sample{1.4}, late: sample{0.04}}, planTwoStage: {end: sample{1.52}, late: sample{0.04}},
				planDropped: {end: sample{1.4}},
			},
			float: falls{planHalved: {late: sample{0.03}}, planTwoStage: {late: sample{0.03}}},
		}
		change(m.ternary, m.float)
		return m
	}
	same := func(_, _ falls) {}
	for name, c := range map[string]struct {
		change func(ternary, float falls)
		want   Verdict
	}{
		"as claimed": {same, Confirmed},
		"two lines lose": {func(ternary, _ falls) {
			ternary[planTwoStage] = fall{end: sample{1.6}, late: sample{0.04}}
		}, Inconclusive},
		"the last fifth falls less": {func(_, float falls) { float[planTwoStage] = fall{late: sample{0.05}} }, Inconclusive},
		"it diverged":               {func(ternary, _ falls) { ternary[planHalved] = fall{end: sample{math.NaN()}, late: sample{math.NaN()}} }, Inconclusive},
		"the cosine to a tenth wins": {func(ternary, _ falls) {
			ternary[planTenth] = fall{end: sample{1.3}}
		}, Contradicted},
		"it wins by less than the noise": {func(ternary, _ falls) {
			ternary[planTenth] = fall{end: sample{1.35}}
		}, Inconclusive},
	} {
		got, because := judgeSchedules([]mixerSchedules{mixer(same), mixer(c.change)})
		if got != c.want {
			t.Errorf("%s: %s, want %s: %s", name, got, c.want, because)
		}
	}
}

// A run of ten evaluations that comes down from 4 to 1.
func TestFall(t *testing.T) {
	o := &outcome{ValLoss: 1.1, lines: []metrics.Line{{Step: 1, Tokens: 100, Loss: 4}}}
	for i, loss := range []float64{3, 2.5, 2.2, 2, 1.8, 1.7, 1.6, 1.5, 1.3, 1} {
		l := metrics.Line{Step: int64(10 * (i + 1)), Tokens: int64(1000 * (i + 1)), Evaluated: true, ValLoss: loss, Health: &metrics.Health{Flips: 0.002}}
		if i >= 8 {
			l.Health.Flips = 0.001
		}
		o.lines = append(o.lines, l)
	}
	var f fall
	f.add(o)
	near := func(s sample, want float64) bool { return len(s) == 1 && math.Abs(s[0]-want) < 1e-12 }
	if !near(f.end, 1.1) || !near(f.middle, 1.8) || !near(f.late, 0.5/3) || !near(f.flips, 0.18) || !near(f.last, 0.1) {
		t.Errorf("%+v", f)
	}
	f.add(&outcome{ValLoss: none(), Diverged: true})
	if len(f.late) != 2 || !math.IsNaN(f.late[1]) || !math.IsNaN(f.end[1]) {
		t.Errorf("a run that diverged: %+v", f)
	}
}
