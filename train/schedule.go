package train

import "math"

// Schedule gives the learning rate and the weight decay of a run's steps. It holds no state: both are functions of the step
// and of the share of the run that lies behind it, so that a resumed run goes on exactly where it stopped.
type Schedule struct {
	kind          string
	peak          float64
	minRatio      float64
	decayFraction float64
	warmup        int     // steps
	warmupShare   float64 // of the run; 0 under a time budget, whose steps nobody knows before
	steps         int     // 0 under a time budget
	decay         float64
	decayUntil    float64
}

// NewSchedule returns the schedule of a valid configuration.
func NewSchedule(c TrainConfig) Schedule {
	s := Schedule{
		kind: c.Schedule, peak: c.LR, minRatio: c.MinLRRatio, decayFraction: c.DecayFraction,
		warmup: c.WarmupSteps, steps: c.Steps, decay: c.WeightDecay, decayUntil: c.DecayUntil,
	}
	if s.steps > 0 {
		s.warmupShare = min(1, float64(s.warmup)/float64(s.steps))
	}
	return s
}

// LR returns the rate of a step of a run of counted steps; step counts from 1. The run behind step k is (k−1)/steps, so
// the last step is one short of the end and never has rate 0 for nothing.
func (s Schedule) LR(step int) float64 {
	if s.steps < 1 {
		return s.LRAt(0, step)
	}
	return s.LRAt(float64(step-1)/float64(s.steps), step)
}

// LRAt returns the rate of a step that begins when the share progress of the run has passed (0 to 1; beyond is taken as
// the end): of its steps, or of its minutes. The rate is peak · warm-up · shape:
//
//	warm-up   step/warmup_steps up to 1
//	cosine    from 1 to min_lr_ratio by half a cosine, over the run after its warm-up
//	linear    the same along a line
//	wsd       1, then along a line to min_lr_ratio over the last decay_fraction of the run
//	paper     cosine, halved from the middle of the run on
//	two-stage along a line from 1 behind the warm-up to 2/3 in the middle of the run, from there along another to
//	          min_lr_ratio: BitNet's (spec §11), from 1.2e-3 over 8e-4 to 0
//
// Under a time budget the share that warm-up takes is not known and cosine and lines begin with the run.
func (s Schedule) LRAt(progress float64, step int) float64 {
	progress = min(1, max(0, progress))
	rate := s.peak
	if step < s.warmup {
		rate *= float64(step) / float64(s.warmup)
	}
	after := 0.0
	if progress > s.warmupShare { // so warmupShare < 1
		after = (progress - s.warmupShare) / (1 - s.warmupShare)
	}
	switch s.kind {
	case scheduleCosine:
		rate *= s.floor(0.5 * (1 + math.Cos(math.Pi*after)))
	case scheduleLinear:
		rate *= s.floor(1 - after)
	case scheduleWSD:
		if left := 1 - progress; left < s.decayFraction {
			rate *= s.floor(left / s.decayFraction)
		}
	case schedulePaper:
		rate *= s.floor(0.5 * (1 + math.Cos(math.Pi*after)))
		if progress >= 0.5 {
			rate *= 0.5
		}
	case scheduleTwoStage:
		rate *= s.floor(s.twoStage(progress))
	}
	return rate
}

// twoStage is the shape of BitNet's two lines, from 1 to 0.
func (s Schedule) twoStage(progress float64) float64 {
	const middle, bend = 0.5, 2.0 / 3
	switch {
	case progress >= middle:
		return bend * (1 - progress) / (1 - middle)
	case progress > s.warmupShare:
		return 1 - float64((1-bend)*(progress-s.warmupShare)/(middle-s.warmupShare))
	}
	return 1
}

// WeightDecay returns the weight decay of a step that begins when the share progress of the run has passed.
func (s Schedule) WeightDecay(progress float64) float64 {
	if s.decayUntil < 1 && progress >= s.decayUntil {
		return 0
	}
	return s.decay
}

// floor stretches a shape from 1 to 0 into one from 1 to the smallest ratio.
func (s Schedule) floor(shape float64) float64 {
	return s.minRatio + float64((1-s.minRatio)*shape)
}
