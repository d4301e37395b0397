package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"mmfree/autograd"
	"mmfree/ternary/kernel"
	"mmfree/ternary/spec"
	"mmfree/train/optim"
)

// Recipe is what Train trains: a model, B sequences of T tokens a step, and the optimiser's constants.
type Recipe struct {
	Name  string
	Model spec.Config
	B, T  int
	Hyper optim.Hyper
	LR    float64
}

// Shares of the budget.
const (
	trainShare    = 0.6 // of full steps; the rest is warm-up and profile
	bytesPerValue = 24  // of a parameter: weight, moments, gradient, the unfused one, and codes
)

// stepTime is where one training step's time goes, as its caller sees it.
type stepTime struct{ clear, backward, norm, update time.Duration }

func (t *stepTime) whole() time.Duration { return t.clear + t.backward + t.norm + t.update }

// trainer runs steps of one mode.
type trainer struct {
	recipe      *Recipe
	session     *autograd.Session
	optimizer   *optim.AdamW
	ids, labels []int32
	activations int64 // bytes that the compiled graph holds
	rates       []float64
}

// Train measures full training steps on random tokens: forward, backward, clipping, AdamW. Fused and unfused steps take
// turns on the same weights; then steps under a stopwatch tell where the time goes.
func Train(ctx context.Context, s Setting, r Recipe) (*Report, error) {
	start := time.Now()
	all, ternary := spec.Parameters(r.Model)
	if need, free := all*bytesPerValue, freeMemory(); free > 0 && need > free {
		return nil, fmt.Errorf("%w: training %s takes about %d MB, %d MB are free", ErrMemory, r.Name, need>>20, free>>20)
	}
	w, err := spec.NewWeights(r.Model)
	if err != nil {
		return nil, err
	}
	w.Init(1)
	l := newLimits(&s, [][]byte{wordBytes(randomWords(&s, smallestRead))})
	fused, err := newTrainer(&s, &r, w, s.Set, false, nil)
	if err != nil {
		return nil, err
	}
	unfused, err := newTrainer(&s, &r, w, s.Set, true, fused.optimizer)
	if err != nil {
		return nil, err
	}
	var best stepTime
	l.all()
	for until := start.Add(time.Duration(trainShare * float64(s.Budget))); len(fused.rates) == 0 || time.Now().Before(until); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.all()
		t, err := fused.step(true)
		if err != nil {
			return nil, err
		}
		if best.backward == 0 || t.whole() < best.whole() {
			best = t
		}
		if _, err := unfused.step(true); err != nil {
			return nil, err
		}
	}
	tokens := float64(r.B * r.T)
	gemms := 6 * float64(ternary) * tokens / (l.value(limitFused) * giga) // seconds of three products of 2·weights·tokens
	one, two := typical(fused.rates), typical(unfused.rates)
	shape := fmt.Sprintf("%s %dx%d", r.Name, r.B, r.T)
	results := []Result{
		s.result("step", shape, "tok/s", one).of(limitGEMMs, gemms*one/tokens),
		s.result("step/unfused", shape, "tok/s", two).of(limitGEMMs, gemms*two/tokens),
		s.result("activations", shape, "bytes", float64(fused.activations)),
		s.result("activations/unfused", shape, "bytes", float64(unfused.activations)),
		s.result("fused/faster", shape, "share", 1-two/one),
		s.result("fused/smaller", shape, "share", 1-float64(fused.activations)/float64(unfused.activations)),
	}
	if err := errors.Join(unfused.session.Close(), ctx.Err()); err != nil {
		return nil, err
	}
	*unfused = trainer{}
	runtime.GC()
	rows, err := fused.profile(ctx, &s, l, w, shape, best, start.Add(s.Budget))
	if err != nil {
		return nil, err
	}
	return &Report{Machine: l.machine(&s), Results: append(results, rows...)}, fused.session.Close()
}

// newTrainer makes a trainer over w, compiles its graph, and runs one step to warm up. moments of another trainer are
// shared, where given.
func newTrainer(s *Setting, r *Recipe, w *spec.Weights, set *kernel.Set, unfused bool, moments *optim.AdamW) (*trainer, error) {
	session, err := autograd.NewSession(w, autograd.Options{Set: set, Pool: s.Pool, Unfused: unfused})
	if err != nil {
		return nil, err
	}
	t := &trainer{recipe: r, session: session, optimizer: optim.New(r.Hyper, w, session.Grads(), set, s.Pool)}
	if moments != nil {
		t.optimizer.M, t.optimizer.V = moments.M, moments.V
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range r.B * r.T {
		t.ids = append(t.ids, rng.Int32N(int32(r.Model.VocabSize)))
		t.labels = append(t.labels, rng.Int32N(int32(r.Model.VocabSize)))
	}
	before := heap()
	if _, err := t.step(false); err != nil {
		return nil, err
	}
	t.activations = heap() - before
	_, err = t.step(false)
	return t, err
}

// heap returns the bytes of memory in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalisers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// step runs one full step and notes its rate if it counts.
func (t *trainer) step(counts bool) (s stepTime, err error) {
	n := len(t.ids)
	at := time.Now()
	lap := func() time.Duration {
		now := time.Now()
		d := now.Sub(at)
		at = now
		return d
	}
	t.session.ZeroGrads()
	s.clear = lap()
	if _, err := t.session.Backward(t.ids, t.labels, t.recipe.B, 1/float64(n)); err != nil {
		return s, err
	}
	s.backward = lap()
	norm := t.optimizer.GradNorm()
	s.norm = lap()
	t.optimizer.Step(t.recipe.LR, norm)
	t.session.WeightsChanged()
	s.update = lap()
	if counts {
		t.rates = append(t.rates, float64(n)/s.whole().Seconds())
	}
	return s, nil
}

// profile returns where a step's time goes. best is the fastest step seen, which the others are held against: t's own
// forward and backward with the codes of the step before tell what ternarizing and packing takes, and a session of its own
// is timed kernel by kernel, its fastest step counts.
func (t *trainer) profile(ctx context.Context, s *Setting, l *limits, w *spec.Weights, shape string, best stepTime, until time.Time) ([]Result, error) {
	watch := &stopwatch{}
	timed, err := newTrainer(s, t.recipe, w, watch.wrap(s.Set), false, t.optimizer)
	if err != nil {
		return nil, err
	}
	same := best.backward
	var rows []Result
	var rest float64
	var fastest time.Duration
	for first := true; first || time.Now().Before(until); first = false {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := t.step(false); err != nil { // the codes of the moment
			return nil, err
		}
		t.session.ZeroGrads()
		if _, err := t.session.Backward(t.ids, t.labels, t.recipe.B, 1); err != nil {
			return nil, err
		}
		again := time.Now()
		if _, err := t.session.Backward(t.ids, t.labels, t.recipe.B, 1); err != nil {
			return nil, err
		}
		same = min(same, time.Since(again))
		watch.reset()
		took, err := timed.step(false)
		if err != nil {
			return nil, err
		}
		if first || took.whole() < fastest {
			fastest = took.whole()
			rows, rest = watch.profile(s, l, shape, best.whole())
		}
	}
	part := func(name string, d time.Duration) Result {
		share := float64(d) / float64(best.whole())
		rest -= share
		return s.result("time/"+name, shape, "share", share)
	}
	rows = append(
		rows, part("ternarize and pack", best.backward-same),
		part("clear gradients", best.clear), part("gradient norm", best.norm))
	return append(rows, s.result("time/rest", shape, "share", rest)), timed.session.Close()
}
