package train

import (
	"math"
	"slices"

	"mmfree/ternary/spec"
)

// Names of quant.schedule.
const (
	quantTernary     = "ternary"
	quantFloat       = "float"
	quantLinear      = "linear"
	quantSigmoid     = "sigmoid"
	quantExponential = "exponential"
	quantPower       = "power"
	quantStepwise    = "stepwise"
)

// QuantConfig says how a run gets from full precision to ternary: λ of weights and of activations, each from 0 to 1 over a
// part of the run (layer.Blend).
type QuantConfig struct {
	Schedule        string  `yaml:"schedule" help:"ternary (from the first step on), float (never; the export is rounded), or the way from 0 to 1: linear, sigmoid, exponential, power or stepwise"`
	WeightsFrom     float64 `yaml:"weights_from" help:"share of the run at which weights begin to turn ternary"`
	WeightsTo       float64 `yaml:"weights_to" help:"share of the run at which they are"`
	ActivationsFrom float64 `yaml:"activations_from" help:"the same of activations; weights_to makes it a second stage"`
	ActivationsTo   float64 `yaml:"activations_to" help:"share of the run at which activations are codes"`
	Steepness       float64 `yaml:"steepness" help:"k of the curves: sigmoid's at its middle, exponential's and power's at their beginning; 0 = 10, 5 and 4"`
	Stages          int     `yaml:"stages" help:"stepwise: equal steps from 0 to 1"`
	RewarmSteps     int     `yaml:"rewarm_steps" help:"steps over which the learning rate rises from 0 again where weights or activations have become ternary; 0 = none"`
}

func (v *validator) quant(q *QuantConfig, t *TrainConfig) {
	switch q.Schedule {
	case quantTernary, quantFloat, quantLinear, quantSigmoid, quantExponential, quantPower, quantStepwise:
	default:
		v.bad("quant.schedule", "choose ternary, float, linear, sigmoid, exponential, power or stepwise", "%q is not known", q.Schedule)
	}
	for _, part := range []struct {
		key      string
		from, to float64
	}{{"weights", q.WeightsFrom, q.WeightsTo}, {"activations", q.ActivationsFrom, q.ActivationsTo}} {
		v.between("quant."+part.key+"_from", part.from, 0, 1)
		v.between("quant."+part.key+"_to", part.to, 0, 1)
		if part.from > part.to {
			v.bad("quant."+part.key+"_to", "let it be at least quant."+part.key+"_from", "is %g, before quant.%s_from %g", part.to, part.key, part.from)
		}
	}
	if q.Steepness != 0 { // near 0 the sigmoid is stretched from nothing
		v.between("quant.steepness", q.Steepness, 0.1, 1000)
	}
	v.whole("quant.stages", q.Stages, 1, maxSteps)
	v.whole("quant.rewarm_steps", q.RewarmSteps, 0, maxSteps)
	if q.RewarmSteps > 0 && t.Minutes > 0 {
		v.bad("quant.rewarm_steps", "set train.steps instead of train.minutes, or leave it out", "is %d, but a run of so many minutes has no steps to count", q.RewarmSteps)
	}
}

// blends reports whether any step of the run is between full precision and ternary.
func (q *QuantConfig) blends() bool { return q.Schedule != quantTernary }

// Lambda returns λ of weights and of activations when the share progress of the run, 0 to 1, lies behind.
func (q *QuantConfig) Lambda(progress float64) (weights, activations float32) {
	switch q.Schedule {
	case quantTernary:
		return 1, 1
	case quantFloat:
		return 0, 0
	}
	return q.along(progress, q.WeightsFrom, q.WeightsTo), q.along(progress, q.ActivationsFrom, q.ActivationsTo)
}

// steepness is the k of the schedule's curve.
func (q *QuantConfig) steepness() float64 {
	switch {
	case q.Steepness != 0:
		return q.Steepness
	case q.Schedule == quantSigmoid:
		return 10
	case q.Schedule == quantExponential:
		return 5
	}
	return 4
}

// along is λ on its way from share from to share to of the run. With u the share of the way and k the steepness:
//
//	linear       u
//	sigmoid      σ(k·(u − ½)), stretched so that it goes from 0 to 1
//	exponential  1 − e^(−ku), stretched so that it ends at 1: most of the way at once, and the rest slowly
//	power        1 − (1 − u)^k, likewise: what Hugging Face's study of Llama-3 calls exponential
//	stepwise     ⌊u·stages⌋/stages
func (q *QuantConfig) along(progress, from, to float64) float32 {
	switch {
	case progress >= to:
		return 1
	case progress <= from:
		return 0
	}
	u, k := (progress-from)/(to-from), q.steepness()
	switch q.Schedule {
	case quantSigmoid:
		logistic := func(u float64) float64 { return 1 / (1 + math.Exp(-k*(u-0.5))) }
		u = (logistic(u) - logistic(0)) / (logistic(1) - logistic(0))
	case quantExponential:
		u = (1 - math.Exp(-k*u)) / (1 - math.Exp(-k))
	case quantPower:
		u = 1 - math.Pow(1-u, k)
	case quantStepwise:
		u = math.Floor(u*float64(q.Stages)) / float64(q.Stages)
	}
	return float32(min(1, max(0, u)))
}

// rewarm returns what the learning rate of a step is multiplied by after the last of weights and activations that has become
// ternary before it; step counts from 1.
func (q *QuantConfig) rewarm(steps, step int) float64 {
	factor := 1.0
	if q.RewarmSteps == 0 || steps == 0 || q.Schedule == quantTernary || q.Schedule == quantFloat {
		return factor
	}
	for _, to := range []float64{q.WeightsTo, q.ActivationsTo} {
		if first := int(math.Ceil(to*float64(steps))) + 1; step >= first && first > 1 {
			factor = min(factor, float64(step-first+1)/float64(q.RewarmSteps))
		}
	}
	return factor
}

// blend sets how far the session is ternary when the share progress of the run lies behind. Once the run has arrived for
// good, the session computes with codes alone, as one that never blended.
func (t *run) blend(progress float64) error {
	q := &t.Config.Quant
	if !q.blends() || t.settled {
		return nil
	}
	weights, activations := q.Lambda(progress)
	t.session.SetBlend(weights, activations)
	if weights == 1 && activations == 1 {
		t.settled = true
		if t.Config.Train.Fused {
			return t.session.Fuse()
		}
	}
	return nil
}

// arrived reports whether losses measured now are those of what is exported in the end, or of what will never be ternary.
func (t *run) arrived() bool {
	return !t.Config.Quant.blends() || t.settled || t.Config.Quant.Schedule == quantFloat
}

// roundedLoss returns the loss on the held-out text of the weights of now rounded to the nearest codes.
func (t *run) roundedLoss(limit int) (*float64, error) {
	if t.text.loader.Val().Len() == 0 {
		return nil, nil
	}
	if !t.settled {
		t.session.SetBlend(1, 1)
	}
	loss, _, err := t.evaluate(t.text.loader, limit)
	return &loss, err
}

// ternaryTensors reports whether the model has anything to round.
func ternaryTensors(c spec.Config) bool {
	return slices.ContainsFunc(spec.PackedTensors(c), func(t spec.Tensor) bool { return t.Kind == spec.Ternary })
}
