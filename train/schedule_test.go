package train

import (
	"math"
	"testing"
)

// Exact values: every rate below is a power-of-two share of the peak, or a stated product. Runs have 16 steps so that
// the shares are exact.
func TestScheduleExact(t *testing.T) {
	base := TrainConfig{Steps: 16, LR: 1, DecayFraction: 0.25}
	with := func(kind string, warmup int, ratio float64) TrainConfig {
		c := base
		c.Schedule, c.WarmupSteps, c.MinLRRatio = kind, warmup, ratio
		return c
	}
	third := 1.0 / 3
	half := func(p float64) float64 { return 0.5 * (1 + math.Cos(math.Pi*p)) }
	tests := []struct {
		name string
		c    TrainConfig
		want map[int]float64 // step -> rate
	}{
		{"constant", with("constant", 4, 0), map[int]float64{1: 0.25, 2: 0.5, 3: 0.75, 4: 1, 5: 1, 16: 1}},
		{"linear", with("linear", 0, 0), map[int]float64{1: 1, 5: 0.75, 9: 0.5, 16: 1.0 / 16}},
		{"linear to a quarter", with("linear", 0, 0.25), map[int]float64{1: 1, 9: 0.625, 16: 0.25 + 0.75/16}},
		{"linear after warm-up", with("linear", 8, 0), map[int]float64{1: 0.125, 8: 1, 9: 1, 13: 0.5, 16: 0.125}},
		{"cosine", with("cosine", 0, 0), map[int]float64{1: 1, 9: half(0.5), 13: half(0.75)}},
		{"cosine after warm-up", with("cosine", 8, 0.5), map[int]float64{4: 0.5, 8: 1, 9: 1, 13: 0.5 + 0.5*half(0.5)}},
		{"wsd", with("wsd", 2, 0), map[int]float64{1: 0.5, 2: 1, 12: 1, 13: 1, 14: 0.75, 15: 0.5, 16: 0.25}},
		{"paper", with("paper", 0, 0), map[int]float64{1: 1, 8: half(7.0 / 16), 9: half(0.5) / 2, 16: half(15.0/16) / 2}},
		{"two stages", with("two-stage", 0, 0), map[int]float64{1: 1, 5: 1 - third/2, 8: 1 - third*7/8, 9: 2 * third, 13: third, 16: 2 * third / 8}},
		{"two stages after warm-up", with("two-stage", 4, 0.25), map[int]float64{1: 0.25, 4: 1, 5: 1, 7: 0.25 + 0.75*(1-third/2), 9: 0.25 + 0.75*2*third, 13: 0.25 + 0.75*third}},
		{"all but the end warm-up", with("two-stage", 12, 0), map[int]float64{3: 0.25, 8: 8.0 / 12, 13: third}},
		{"all warm-up", with("cosine", 32, 0), map[int]float64{1: 1.0 / 32, 16: 0.5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewSchedule(tt.c)
			for step, want := range tt.want {
				if got := s.LR(step); got != want {
					t.Errorf("LR(%d) = %v (%#x), want %v (%#x)", step, got, math.Float64bits(got), want, math.Float64bits(want))
				}
			}
		})
	}
}

// The paper's schedule: the step after the middle has half the rate that the cosine alone would give, and the run ends
// near 0.
func TestPaperHalvesMidway(t *testing.T) {
	c := TrainConfig{Steps: 1000, LR: 4e-3, Schedule: schedulePaper}
	paper := NewSchedule(c)
	c.Schedule = scheduleCosine
	cosine := NewSchedule(c)
	for step := 1; step <= c.Steps; step++ {
		want := cosine.LR(step)
		if step > 500 {
			want *= 0.5
		}
		if got := paper.LR(step); got != want {
			t.Fatalf("LR(%d) = %v, want %v", step, got, want)
		}
	}
	if last := paper.LR(1000); !(last > 0 && last < 1e-7) {
		t.Errorf("the last rate is %v, want a little above 0", last)
	}
}

// Weight decay ends with a share of the run, and by default never.
func TestWeightDecayEnds(t *testing.T) {
	for _, tt := range []struct{ until, progress, want float64 }{
		{1, 0, 0.1}, {1, 1, 0.1}, {1, 2, 0.1}, {0.5, 0.4999, 0.1}, {0.5, 0.5, 0}, {0.5, 1, 0}, {0, 0, 0},
	} {
		if got := NewSchedule(TrainConfig{Steps: 10, WeightDecay: 0.1, DecayUntil: tt.until}).WeightDecay(tt.progress); got != tt.want {
			t.Errorf("until %v: %v at %v, want %v", tt.until, got, tt.progress, tt.want)
		}
	}
}

// Under a time budget the rate follows the elapsed share and the warm-up the steps; shares outside 0 to 1 are the ends.
func TestScheduleByTime(t *testing.T) {
	s := NewSchedule(TrainConfig{Minutes: 5, LR: 1, Schedule: scheduleLinear, WarmupSteps: 4, MinLRRatio: 0.5, DecayFraction: 1})
	tests := []struct {
		progress float64
		step     int
		want     float64
	}{
		{0, 1, 0.25},
		{0, 4, 1},
		{0.5, 2, 0.375},
		{0.5, 1000, 0.75},
		{1, 5, 0.5},
		{7, 5, 0.5},
		{-1, 5, 1},
	}
	for _, tt := range tests {
		if got := s.LRAt(tt.progress, tt.step); got != tt.want {
			t.Errorf("LRAt(%v, %d) = %v, want %v", tt.progress, tt.step, got, tt.want)
		}
	}
	if got := s.LR(2); got != 0.5 {
		t.Errorf("LR(2) without counted steps = %v, want the warm-up's 0.5", got)
	}
}

// Whatever the numbers, a rate is finite and lies between 0 and the peak.
func TestScheduleBounds(t *testing.T) {
	for _, kind := range []string{scheduleConstant, scheduleCosine, scheduleLinear, scheduleWSD, schedulePaper, scheduleTwoStage} {
		for _, steps := range []int{1, 2, 3, 100} {
			for _, warmup := range []int{0, 1, 2, 99, 100, 500} {
				s := NewSchedule(TrainConfig{Steps: steps, LR: 0.01, Schedule: kind, WarmupSteps: warmup, DecayFraction: 0.3})
				for step := 1; step <= steps; step++ {
					if lr := s.LR(step); !(lr > 0 && lr <= 0.01) {
						t.Fatalf("%s, %d steps, %d of warm-up: LR(%d) = %v", kind, steps, warmup, step, lr)
					}
				}
			}
		}
	}
}
