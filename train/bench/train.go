package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"mmfree/autograd"
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
	// WeightGradient is the arithmetic of the step that is taken apart; the other's rate stands beside it.
	WeightGradient autograd.WeightGradient
}

// Shares of the budget.
const (
	trainShare    = 0.6 // of full steps; the rest is warm-up and profile
	bytesPerValue = 32  // of a parameter: weight, moments, the gradients of three sessions, and codes
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
	beside      []float64 // GFLOP/s of the FMA peak, beside each step
}

// Train measures full training steps on random tokens: forward, backward, clipping, AdamW. Fused and unfused steps,
// and those with gradients from integers, take turns on the same weights; then steps under a stopwatch tell where the time goes.
func Train(ctx context.Context, s Setting, r Recipe) (*Report, error) {
	start := time.Now()
	all, ternary := spec.Parameters(r.Model)
	need := all * bytesPerValue
	if free := freeMemory(); free > 0 && need > free {
		return nil, fmt.Errorf("%w: training %s takes about %d MB, %d MB are free", ErrMemory, r.Name, need>>20, free>>20)
	}
	w, err := spec.NewWeights(r.Model)
	if err != nil {
		return nil, err
	}
	w.Init(1)
	l := newLimits(&s, [][]byte{wordBytes(randomWords(&s, readBytes(s.Budget, need)))})
	floats, err := newTrainer(&s, &r, w, autograd.Options{Set: s.Set}, nil)
	if err != nil {
		return nil, err
	}
	unfused, err := newTrainer(&s, &r, w, autograd.Options{Set: s.Set, Unfused: true}, floats.optimizer)
	if err != nil {
		return nil, err
	}
	integers, err := newTrainer(&s, &r, w, autograd.Options{Set: s.Set, WeightGradient: autograd.Int16}, floats.optimizer)
	if err != nil {
		return nil, err
	}
	own := floats
	if r.WeightGradient == autograd.Int16 {
		own = integers
	}
	l.all()
	trainers := []*trainer{floats, unfused, integers}
	peak := beside(0, l.fused)
	for until := start.Add(time.Duration(trainShare * float64(s.Budget))); len(own.rates) == 0 || time.Now().Before(until); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.all()
		for _, t := range trainers {
			took, err := t.step(true)
			if err != nil {
				return nil, err
			}
			before := peak
			peak = beside(took.whole(), l.fused)
			t.beside = append(t.beside, meanRate(before, peak))
		}
	}
	shape := fmt.Sprintf("%s %dx%d", r.Name, r.B, r.T)
	step := func(name string, t *trainer) Result {
		gemms := 6 * float64(ternary) / giga // GFLOP a token of three products of 2·weights·tokens
		return s.result(name, shape, "tok/s", typical(t.rates)).of(limitGEMMs, gemms*against(t.rates, t.beside))
	}
	faster := func(name string, t *trainer) Result { // as the paper counts: 1.52 s a step against 1.21 s are 25.6%
		return s.result(name, shape, "share", against(t.rates, unfused.rates)-1)
	}
	results := []Result{
		step("step", own), step("step/float32 gradients", floats), step("step/int16 gradients", integers), step("step/unfused", unfused),
		s.result("activations", shape, "bytes", float64(floats.activations)),
		s.result("activations/unfused", shape, "bytes", float64(unfused.activations)),
		faster("fused/faster", own), faster("fused/faster/float32 gradients", floats),
		s.result("fused/smaller", shape, "share", 1-float64(floats.activations)/float64(unfused.activations)),
	}
	moments := own.optimizer
	for _, t := range trainers {
		if err := t.session.Close(); err != nil {
			return nil, err
		}
		*t = trainer{}
	}
	runtime.GC()
	rows, err := profileStep(ctx, &s, l, &r, w, moments, shape, start.Add(s.Budget))
	if err != nil {
		return nil, err
	}
	return &Report{Machine: l.machine(&s), Results: append(results, rows...)}, nil
}

// newTrainer makes a trainer over w, compiles its graph, and runs one step to warm up. moments of another trainer are
// shared, where given.
func newTrainer(s *Setting, r *Recipe, w *spec.Weights, o autograd.Options, moments *optim.AdamW) (*trainer, error) {
	o.Pool = s.Pool
	session, err := autograd.NewSession(w, o)
	if err != nil {
		return nil, err
	}
	t := &trainer{recipe: r, session: session, optimizer: optim.New(r.Hyper, w, session.Grads(), o.Set, s.Pool)}
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

// profileStep returns where a step's time goes: a session of its own is timed kernel by kernel, and its fastest step counts, with
// the peak beside it.
func profileStep(ctx context.Context, s *Setting, l *limits, r *Recipe, w *spec.Weights, moments *optim.AdamW, shape string, until time.Time) ([]Result, error) {
	watch := &stopwatch{}
	timed, err := newTrainer(s, r, w, autograd.Options{Set: watch.wrap(s.Set), WeightGradient: r.WeightGradient}, moments)
	if err != nil {
		return nil, err
	}
	var rows []Result
	var rest float64
	var whole time.Duration
	var fastest stepTime
	peak := beside(0, l.fused)
	for first := true; first || time.Now().Before(until); first = false {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		watch.reset()
		took, err := timed.step(false)
		if err != nil {
			return nil, err
		}
		before := peak
		peak = beside(took.whole(), l.fused)
		if first || took.whole() < fastest.whole() {
			fastest = took
			rows, whole, rest = watch.profile(s, l, meanRate(before, peak), shape, took.whole())
		}
	}
	part := func(name string, share float64) {
		rest -= share
		rows = append(rows, s.result("time/"+name, shape, "share", share))
	}
	part("clear gradients", float64(fastest.clear)/float64(whole))
	part("gradient norm", float64(fastest.norm)/float64(whole))
	return append(rows, s.result("time/rest", shape, "share", rest)), timed.session.Close()
}
