package train

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/data"
	"mmfree/data/corpus"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/train/metrics"
)

// tiny is a request for a run of 12 steps on text of its own, in a folder of the test's.
func tiny(t *testing.T, changes ...string) Request {
	t.Helper()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("The rays of light are bent by glass; so they are. ", 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Data.Corpus = []string{text}
	changes = append([]string{
		"model.hidden_size=19", "model.num_hidden_layers=2", "model.intermediate_size=31", "data.seq_len=16", "data.batch_size=3",
		"train.steps=12", "train.eval_every=4", "train.save_every=3", "train.log_every=1", "sample.tokens=8",
	}, changes...)
	if err := c.Set(changes...); err != nil {
		t.Fatal(err)
	}
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return Request{Config: c, Dir: filepath.Join(dir, "run"), Machine: Machine{Set: kernel.Generic(), Pool: pool}}
}

func mustStart(t *testing.T, r Request) *Result {
	t.Helper()
	result, err := Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func model(t *testing.T, r Request, step string) string {
	t.Helper()
	bytes, err := os.ReadFile(filepath.Join(r.Dir, "checkpoints", step, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes)
}

// losses returns what metrics.jsonl says beside the clock.
func losses(t *testing.T, r Request) (list [][5]float64) {
	t.Helper()
	lines, _, err := metrics.Read(durable.OS{}, filepath.Join(r.Dir, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		list = append(list, [5]float64{float64(l.Step), float64(l.Tokens), l.Loss, l.GradNorm, l.ValBitsPerByte})
	}
	return list
}

func TestRun(t *testing.T) {
	r := tiny(t)
	got := mustStart(t, r)
	if got.Steps != 12 || got.TokensSeen != 12*3*16 || got.Interrupted || got.Packed == nil || got.Sample == "" {
		t.Errorf("result %+v", got)
	}
	if v := got.Verify; v == nil || !v.Identical || v.LogitsCompared < 1_000_000 || v.Operations.WeightMultiplies != 0 {
		t.Errorf("verification %+v", got.Verify)
	}
	if !(got.ValBitsPerByte > 0 && got.ValBitsPerByte < 8.5) || math.Abs(got.ValLoss/math.Ln2-got.ValBitsPerByte) > 1e-9 {
		t.Errorf("validation loss %v nats, %v bits a byte", got.ValLoss, got.ValBitsPerByte)
	}
	for _, name := range []string{ConfigFile, MetricsFile, PackedFile, CurveFile, "checkpoints/latest", "checkpoints/best"} {
		if _, err := os.Stat(filepath.Join(r.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	if n := len(losses(t, r)); n != 12 {
		t.Errorf("%d lines of metrics", n)
	}
	// The configuration in the folder repeats the run.
	c, err := ReadConfig(filepath.Join(r.Dir, ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	again := tiny(t)
	again.Config = c
	mustStart(t, again)
	if model(t, r, "step-12") != model(t, again, "step-12") {
		t.Error("config.yaml made another model")
	}
}

// TestBits: under either arithmetic of weight gradients, threads and how often is looked and saved change no bit of the
// model; nor does keeping floats, which has one arithmetic only and says so.
func TestBits(t *testing.T) {
	models := map[string]string{}
	for _, arithmetic := range []string{gradientFloat32, gradientInt16} {
		set := "train.weight_gradient=" + arithmetic
		reference := tiny(t, set)
		mustStart(t, reference)
		want := model(t, reference, "step-12")
		models[arithmetic] = want
		for name, change := range map[string]string{"never evaluated": "train.eval_every=0", "saved at the end": "train.save_every=0"} {
			r := tiny(t, set, change)
			mustStart(t, r)
			if model(t, r, "step-12") != want {
				t.Errorf("%s, %s: another model", arithmetic, name)
			}
		}
		for _, threads := range []int{1, 3} {
			r := tiny(t, set)
			pool := par.New(threads)
			r.Machine.Pool = pool
			mustStart(t, r)
			pool.Close()
			if model(t, r, "step-12") != want {
				t.Errorf("%s, %d threads: another model", arithmetic, threads)
			}
		}
		unfused := tiny(t, set, "train.fused=false")
		said := false
		unfused.Hooks.Notice = func(text string) { said = said || strings.Contains(text, "weight gradients are float32") }
		mustStart(t, unfused)
		if model(t, unfused, "step-12") != models[gradientFloat32] {
			t.Errorf("%s, unfused: another model than float32's", arithmetic)
		}
		if said != (arithmetic == gradientInt16) {
			t.Errorf("%s, unfused: a notice that the arithmetic counts for nothing: %v", arithmetic, said)
		}
		other := tiny(t, set, "train.seed=2")
		mustStart(t, other)
		if model(t, other, "step-12") == want {
			t.Error("another seed made the same model")
		}
	}
	if models[gradientFloat32] == models[gradientInt16] {
		t.Error("both arithmetics made the same model")
	}
}

// stopBehind starts a run and stops it behind a step; 0: before its first.
func stopBehind(t *testing.T, r Request, step int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if step == 0 {
		cancel()
	}
	r.Hooks.Step = func(p Progress) {
		if p.Step == step {
			cancel()
		}
	}
	if got, err := Start(ctx, r); err != nil || !got.Interrupted || got.Steps != step {
		t.Fatalf("stopped behind step %d: %+v, %v", step, got, err)
	}
}

// TestResume stops a run behind every step and goes on: weights, losses and evaluations are those of one never stopped.
func TestResume(t *testing.T) {
	for _, way := range [][]string{{"train.accumulate=1"}, {"train.accumulate=2"}, {"train.accumulate=2", "data.carry_windows=3"}} {
		reference := tiny(t, way...)
		mustStart(t, reference)
		r := tiny(t, way...)
		for stop := int64(1); stop <= 12; stop += 2 {
			stopBehind(t, r, stop)
			r.Resume = true
			var err error
			if r.Config, err = ReadConfig(filepath.Join(r.Dir, ConfigFile)); err != nil {
				t.Fatal(err)
			}
		}
		mustStart(t, r)
		if model(t, r, "step-12") != model(t, reference, "step-12") {
			t.Errorf("%s: the resumed run made another model", way)
		}
		want, got := losses(t, reference), losses(t, r)
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines of metrics, want %d", way, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: metrics %v, want %v", way, got[i], want[i])
			}
		}
		// Resuming what is finished does the end again, and nothing else.
		if again := mustStart(t, r); again.Steps != 12 || again.Verify == nil || !again.Verify.Identical {
			t.Errorf("%s: a finished run resumed: %+v", way, again)
		}
	}
}

// TestDecayUntil: weight decay that ends midway is the run's own up to there and none from there on, in every bit, also where
// the run was stopped in between.
func TestDecayUntil(t *testing.T) {
	run := func(changes ...string) (m [2]string) {
		r := tiny(t, append([]string{"train.schedule=two-stage", "train.save_every=6", "train.keep_last=9", "train.eval_every=0"}, changes...)...)
		r.Bare = true
		for _, stop := range []int64{5, 7} {
			stopBehind(t, r, stop)
			r.Resume = true
		}
		mustStart(t, r)
		return [2]string{model(t, r, "step-6"), model(t, r, "step-12")}
	}
	always, never := run("train.weight_decay=0.5"), run("train.weight_decay=0")
	until := func(share string) [2]string { return run("train.weight_decay=0.5", "train.weight_decay_until="+share) }
	if half := until("0.5"); half[0] != always[0] || half[1] == always[1] || half[1] == never[1] {
		t.Errorf("decay to the middle: as always there %v, at the end %v; as never at the end %v", half[0] == always[0], half[1] == always[1], half[1] == never[1])
	}
	if until("1") != always || until("0") != never || always[0] == never[0] {
		t.Error("decay to the end or to the beginning is not decay always or never")
	}
}

// TestDivergence: steps without a finite loss change nothing, are counted, and end the run when there are too many.
func TestDivergence(t *testing.T) {
	r := tiny(t, "train.steps=80")
	x := newRun(r)
	err := x.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.open(); err != nil {
		t.Fatal(err)
	}
	x.weights.Get("model.norm.weight")[3] = float32(math.Inf(1))
	before := append([]float32(nil), x.weights.Flat()...)
	_, err = x.do(t.Context())
	if !errors.Is(err, ErrDiverged) || x.state.SkippedSteps != patience || x.state.Step != patience {
		t.Errorf("%v behind step %d, %d steps skipped", err, x.state.Step, x.state.SkippedSteps)
	}
	for i, v := range x.weights.Flat() {
		if math.Float32bits(v) != math.Float32bits(before[i]) {
			t.Fatalf("value %d moved from %v to %v", i, before[i], v)
		}
	}
	if err := x.close(); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	done := tiny(t)
	mustStart(t, done)
	elsewhere := tiny(t)
	if err := os.MkdirAll(elsewhere.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere.Dir, "letter.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	elsewhere.Replace = true

	short := tiny(t, "data.seq_len=100000")
	missing := tiny(t)
	missing.Config.Data.Corpus = []string{filepath.Join(t.TempDir(), "none.txt")}
	narrow := tiny(t, "model.vocab_size=10")
	changed := done
	changed.Resume = true
	changed.Config.Train.Seed = 9
	otherText := done
	otherText.Resume = true
	path := filepath.Join(t.TempDir(), "other.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("Another text altogether. ", 80)), 0o644); err != nil {
		t.Fatal(err)
	}
	otherText.Config.Data.Corpus = []string{path}
	busy := done
	busy.Replace = true
	lock, err := durable.Lock(done.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request Request
		class   error
		says    string
	}{
		"a run is there":       {done, fs.ErrExist, "a run is there already"},
		"another's folder":     {elsewhere, fs.ErrExist, "letter.txt"},
		"text too short":       {short, data.ErrData, ""},
		"text missing":         {missing, corpus.ErrCorpus, "none.txt"},
		"vocabulary too small": {narrow, ErrConfig, "model.vocab_size"},
		"somebody trains here": {busy, durable.ErrLocked, done.Dir},
	} {
		if _, err := Start(t.Context(), c.request); !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request Request
		says    string
	}{"another seed": {changed, "seed 1"}, "another text": {otherText, "another text"}} {
		if _, err := Start(t.Context(), c.request); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if model(t, done, "step-12") == "" {
		t.Error("the run that was there is gone")
	}
}

// TestMinutes: a time budget ends the run, and the schedule follows it.
func TestMinutes(t *testing.T) {
	r := tiny(t)
	if err := r.Config.Set("train.minutes=0.002", "train.warmup_steps=0", "train.schedule=linear"); err != nil {
		t.Fatal(err)
	}
	var last Progress
	r.Hooks.Step = func(p Progress) { last = p }
	got := mustStart(t, r)
	if got.Steps < 1 || got.Seconds < 0.12 || last.Share != 1 {
		t.Errorf("%d steps in %v s, share %v", got.Steps, got.Seconds, last.Share)
	}
	if last.LR >= r.Config.Train.LR/2 {
		t.Errorf("the last rate is %v of %v", last.LR, r.Config.Train.LR)
	}
}

// TestCarriedLoss: one window over the whole held-out text and a carried state read the same, shorter windows other things.
// A model without such a state has no such loss.
func TestCarriedLoss(t *testing.T) {
	whole := mustStart(t, tiny(t, "data.seq_len=199", "data.batch_size=1")) // of 200 held-out bytes
	if whole.CarriedValLoss == nil || math.Abs(*whole.CarriedValLoss-whole.ValLoss) > 1e-12 {
		t.Errorf("carried %v, in one window %v", whole.CarriedValLoss, whole.ValLoss)
	}
	records := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(records, []byte(strings.Repeat(`{"text":"Light is bent."}`+"\n"+`{"text":"So."}`+"\n"+`{"text":"!"}`+"\n", 200)), 0o644); err != nil {
		t.Fatal(err)
	}
	several := mustStart(t, tiny(t, "data.corpus="+records, "data.seq_len=380", "data.batch_size=1"))
	if several.CarriedValLoss == nil || math.Abs(*several.CarriedValLoss-several.ValLoss) > 1e-12 {
		t.Errorf("carried over several documents %v, in one window %v", several.CarriedValLoss, several.ValLoss)
	}
	short := mustStart(t, tiny(t, "data.seq_len=4"))
	if short.CarriedValLoss == nil || *short.CarriedValLoss == short.ValLoss {
		t.Errorf("carried %v, in windows of 4 bytes %v", short.CarriedValLoss, short.ValLoss)
	}
	other := mustStart(t, tiny(t, "model.arch=transformer", "model.hidden_size=16", "model.num_attention_heads=2"))
	if other.CarriedValLoss != nil {
		t.Errorf("a transformer carries %v", *other.CarriedValLoss)
	}
}
