package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"mmfree/ternary/layer"
	"mmfree/ternary/quant"
	"mmfree/ternary/spec"
	"mmfree/train/metrics"
)

// Where a run is about to fail. Each limit lies outside of what the recipes reach.
const (
	manyFlips    = 0.002 // of the codes, at a step
	fewKept      = 0.25  // of the flips: the rest are codes that go back and forth
	manyDead     = 0.05  // of the rows
	manyClipped  = 0.25  // of the activations' codes: a token's largest value alone is at ±127
	manyZeros    = 0.9   // of them: one outlier a token takes the whole range
	smallScale   = 1e-4  // ten times the floor of spec §3.1, at which codes stay 0
	watchedShare = 0.25  // of the run, after which flips should settle
)

// health looks at the ternary tensors every so many steps. It changes no bit of the run.
type health struct {
	every   int
	tensors []int // of the weights, that become codes
	layers  []int // of each, for LayerHealth
	count   int   // of LayerHealth

	codes, was, last [][]int8 // behind the step, before it, and at the last look
	looked           int64    // step of last; 0: none
	scales           []float32
	meter            *layer.Meter
	warned           map[string]bool
}

func newHealth(every int, w *spec.Weights) *health {
	h := &health{every: every, warned: map[string]bool{}}
	for _, t := range spec.PackedTensors(w.Config) {
		if t.Kind != spec.Ternary {
			continue
		}
		i, _ := w.Index(spec.ShadowName(w.Config, t.Name))
		l := w.Config.NumHiddenLayers - layersBehind(w, t.Name) - 1
		if t.Name == spec.HeadName {
			l = w.Config.NumHiddenLayers
		}
		h.tensors, h.layers, h.count = append(h.tensors, i), append(h.layers, l), max(h.count, l+1)
	}
	return h
}

// due reports whether the run looks at a step.
func (h *health) due(step int64) bool {
	return h.every > 0 && len(h.tensors) > 0 && step%int64(h.every) == 0
}

// before is called ahead of the step.
func (h *health) before(t *run) {
	h.was, _, _ = h.read(t.weights, h.was) // what is not finite shows in the step
	h.meter = new(layer.Meter)
	t.session.Watch(h.meter)
}

// read makes the codes of the weights of now in the memory of into.
func (h *health) read(w *spec.Weights, into [][]int8) (codes [][]int8, scales []float32, err error) {
	if into == nil {
		for _, i := range h.tensors {
			into = append(into, make([]int8, w.Tensors[i].Elements()))
		}
	}
	for k, i := range h.tensors {
		m, err := quant.Ternarize(into[k], w.At(i))
		if err != nil {
			return into, nil, fmt.Errorf("tensor %s: %w", w.Tensors[i].Name, err)
		}
		scales = append(scales, m)
	}
	return into, scales, nil
}

// after is called behind the step, whose gradients are still there; share of the run lay before it.
func (h *health) after(t *run, share float64) (*metrics.Health, error) {
	t.session.Watch(nil)
	var err error
	if h.codes, h.scales, err = h.read(t.weights, h.codes); err != nil {
		return nil, err
	}
	line := h.line(t.weights)
	weights, activations := t.Config.Quant.Lambda(share)
	line.LambdaWeights, line.LambdaActivations = metrics.Value(weights), metrics.Value(activations)
	line.GradNorms = gradNorms(t.session.Grads(), t.frozen)
	if n := float64(h.meter.All.Load()); n > 0 {
		line.Clipped, line.ZeroCodes = metrics.Value(float64(h.meter.Clipped.Load())/n), metrics.Value(float64(h.meter.Zeros.Load())/n)
	}
	if h.looked > 0 {
		line.Kept = metrics.Value(kept(h.last, h.codes, float64(line.Flips), float64(t.state.Step-h.looked)))
	}
	if h.last == nil {
		h.last = make([][]int8, len(h.codes))
	}
	for k := range h.codes {
		h.last[k] = append(h.last[k][:0], h.codes[k]...)
	}
	h.looked = t.state.Step
	for _, w := range h.warnings(line, share, t.Config) {
		if !h.warned[w.kind] {
			h.warned[w.kind] = true
			t.notice(fmt.Sprintf("step %d: %s", t.state.Step, w.text))
		}
	}
	return line, nil
}

// line is what the codes alone say.
func (h *health) line(w *spec.Weights) *metrics.Health {
	nan := metrics.Value(math.NaN())
	line := &metrics.Health{Kept: nan, Clipped: nan, ZeroCodes: nan, SmallestScale: metrics.Value(slices.Min(h.scales))}
	counts := make([][3]int, h.count) // of −1, 0 and +1
	rows, dead, flips, all := 0, 0, 0, 0
	for k, codes := range h.codes {
		width := w.Tensors[h.tensors[k]].Shape[1]
		for at := 0; at < len(codes); at += width {
			live := false
			for j, v := range codes[at : at+width] {
				counts[h.layers[k]][v+1]++
				live = live || v != 0
				if v != h.was[k][at+j] {
					flips++
				}
			}
			rows++
			if !live {
				dead++
			}
		}
		all += len(codes)
	}
	line.Flips, line.DeadRows = metrics.Value(float64(flips)/float64(all)), metrics.Value(float64(dead)/float64(rows))
	for _, c := range counts {
		n := metrics.Value(max(1, c[0]+c[1]+c[2]))
		line.Layers = append(line.Layers, metrics.LayerHealth{Minus: metrics.Value(c[0]) / n, Zero: metrics.Value(c[1]) / n, Plus: metrics.Value(c[2]) / n})
	}
	return line
}

// kept estimates the share of flips that lasted: codes that differ now from those of so many steps ago, against as many flips
// a step as there are now.
func kept(last, codes [][]int8, flips, steps float64) float64 {
	moved, all := 0, 0
	for k := range codes {
		for j, v := range codes[k] {
			if v != last[k][j] {
				moved++
			}
		}
		all += len(codes[k])
	}
	if flips == 0 {
		return math.NaN()
	}
	return min(1, float64(moved)/float64(all)/(flips*steps))
}

// gradNorms returns the norms of the gradient's parts, without tensors that do not move.
func gradNorms(g *spec.Weights, frozen func(name string) bool) map[string]metrics.Value {
	squares := map[string]float64{}
	for i, t := range g.Tensors {
		if frozen != nil && frozen(t.Name) {
			continue
		}
		var sum float64
		for _, v := range g.At(i) {
			sum += float64(v) * float64(v)
		}
		squares[gradGroup(t)] += sum
	}
	norms := map[string]metrics.Value{}
	for name, s := range squares {
		norms[name] = metrics.Value(math.Sqrt(s))
	}
	return norms
}

func gradGroup(t spec.Tensor) string {
	switch {
	case t.Kind == spec.Embedding:
		return "embeddings"
	case t.Kind == spec.Gain || t.Kind == spec.Bounds:
		return "norms"
	case t.Name == spec.HeadName:
		return "head"
	case strings.Contains(t.Name, ".mlp."):
		return "mlps"
	}
	return "mixers"
}

// warning is advice before a run fails.
type warning struct{ kind, text string }

func (h *health) warnings(l *metrics.Health, share float64, c Config) (list []warning) {
	add := func(kind string, is bool, format string, args ...any) {
		if is {
			list = append(list, warning{kind, fmt.Sprintf(format, args...)})
		}
	}
	add("oscillation", share >= watchedShare && l.Flips > manyFlips && l.Kept < fewKept,
		"%.2g%% of the codes flip at a step, and about %.0f%% of that is undone later: weights swing across a rounding boundary; lower train.lr (%g), or let train.schedule end lower",
		100*float64(l.Flips), 100*(1-float64(l.Kept)), c.Train.LR)
	add("scale", l.SmallestScale < smallScale,
		"the mean magnitude of a ternary tensor is %.2g, and below 1e-5 all its codes are 0: lower train.weight_decay (%g) or train.lr", float64(l.SmallestScale), c.Train.WeightDecay)
	add("dead", l.DeadRows > manyDead,
		"%.0f%% of the ternary rows are all zeros and put out nothing: lower train.weight_decay (%g), or begin again with another train.seed", 100*float64(l.DeadRows), c.Train.WeightDecay)
	add("clipped", l.Clipped > manyClipped,
		"%.0f%% of the activations' codes are at the end of their range: activations are all of one size and carry signs only; lower train.lr (%g)", 100*float64(l.Clipped), c.Train.LR)
	add("outliers", l.ZeroCodes > manyZeros,
		"%.0f%% of the activations' codes are 0: single outliers take the whole range; lower train.lr (%g), or raise quant.activations_to", 100*float64(l.ZeroCodes), c.Train.LR)
	for _, name := range []string{"embeddings", "mixers", "mlps", "head", "norms"} {
		norm, ok := l.GradNorms[name]
		add("gradient of "+name, ok && norm == 0 && share >= c.FineTune.Match, "no gradient reaches the %s: they will not learn; look at dead_rows and layers in metrics.jsonl", name)
	}
	return list
}
