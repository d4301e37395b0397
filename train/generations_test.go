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
)

// generations is a request for a run and those before it, 12 steps each.
func generations(t *testing.T, changes ...string) Request {
	t.Helper()
	return tiny(t, append([]string{"distill.generations=2", "distill.share=0.5", "distill.top_k=5", "train.seed=7"}, changes...)...)
}

// TestGenerations: three generations are three runs, each with the next one's seed and the model before it as teacher.
func TestGenerations(t *testing.T) {
	r := generations(t, "distill.generations=3")
	var began []string
	r.Hooks.Start = func(p Plan) {
		if p.Bare != strings.HasSuffix(p.Dir, TeacherFolder) {
			t.Errorf("%s: bare %v", p.Dir, p.Bare)
		}
		began = append(began, p.Dir)
	}
	got := mustStart(t, r)
	second := filepath.Join(r.Dir, TeacherFolder)
	first := filepath.Join(second, TeacherFolder)
	if want := []string{first, second, r.Dir}; strings.Join(began, " ") != strings.Join(want, " ") {
		t.Errorf("runs began in %q, want %q", began, want)
	}
	if v := got.Verify; v == nil || !v.Identical {
		t.Errorf("verification %+v", v)
	}
	before := got.TeacherRun
	if before == nil || before.RunDir != second || before.Steps != 12 || before.Packed != nil || !(before.ValLoss > 0) ||
		before.TeacherRun == nil || before.TeacherRun.RunDir != first || before.TeacherRun.TeacherRun != nil {
		t.Fatalf("the generation before came to %+v", before)
	}

	taught := ""
	for i, dir := range []string{first, second, r.Dir} {
		single := generations(t, "distill.generations=1", "distill.teacher="+taught)
		single.Config.Data.Corpus, single.Config.Train.Seed, single.Bare = r.Config.Data.Corpus, uint64(9-i), true
		mustStart(t, single)
		if model(t, Request{Dir: dir}, "step-12") != model(t, single, "step-12") {
			t.Errorf("generation %d is another model than a run by itself makes", i+1)
		}
		taught = single.Dir
	}
	c, err := ReadConfig(filepath.Join(r.Dir, ConfigFile))
	if err != nil || c.Distill.Generations != 3 || c.Distill.Teacher != "" || c.Train.Seed != 7 {
		t.Errorf("the configuration in the folder does not repeat the run: %+v, %v", c.Distill, err)
	}
}

// TestGenerationsResume stops both generations behind every other step, and between them, and goes on.
func TestGenerationsResume(t *testing.T) {
	reference := generations(t)
	mustStart(t, reference)
	r := generations(t)
	r.Config.Data.Corpus = reference.Config.Data.Corpus
	goOn := func() {
		t.Helper()
		r.Resume = true
		var err error
		if r.Config, err = ReadConfig(filepath.Join(r.Dir, ConfigFile)); err != nil {
			t.Fatal(err)
		}
	}
	for _, generation := range []string{filepath.Join(r.Dir, TeacherFolder), r.Dir} {
		for stop := int64(2); stop <= 12; stop += 2 {
			ctx, cancel := context.WithCancel(t.Context())
			var dir string
			r.Hooks.Start = func(p Plan) { dir = p.Dir }
			r.Hooks.Step = func(p Progress) {
				if dir == generation && p.Step == stop {
					cancel()
				}
			}
			got, err := Start(ctx, r)
			if err != nil || !got.Interrupted || got.RunDir != r.Dir {
				t.Fatalf("%s stopped behind step %d: %+v, %v", generation, stop, got, err)
			}
			if unbegun := generation != r.Dir; unbegun && (got.Steps != 0 || got.TeacherRun.Steps != stop || !math.IsNaN(got.ValLoss)) {
				t.Errorf("the teacher stopped behind step %d: %+v", stop, got)
			}
			goOn()
		}
	}
	r.Hooks = Hooks{}
	mustStart(t, r)
	for _, folder := range []string{"", TeacherFolder} {
		if model(t, Request{Dir: filepath.Join(r.Dir, folder)}, "step-12") != model(t, Request{Dir: filepath.Join(reference.Dir, folder)}, "step-12") {
			t.Errorf("%q: resumed runs made another model", folder)
		}
	}

	// More steps are the run's alone once it has begun.
	if err := r.Config.Set("train.steps=14"); err != nil {
		t.Fatal(err)
	}
	if got := mustStart(t, r); got.Steps != 14 || got.TeacherRun.Steps != 12 {
		t.Errorf("%d steps, its teacher %d, want 14 and 12", got.Steps, got.TeacherRun.Steps)
	}
}

// TestGenerationsRefused: what could be known is said before anything is trained or written, and a run that is there stays.
func TestGenerationsRefused(t *testing.T) {
	done := generations(t)
	mustStart(t, done)
	for want, r := range map[string]Request{
		"distill.generations: is 0":  generations(t, "distill.generations=0"),
		"distill.generations: is 17": generations(t, "distill.generations=17"),
		"distill.cache":              generations(t, "distill.cache=said.bin"),
		"distill.attention":          generations(t, "distill.attention=1"),
		"model.vocab_size":           generations(t, "model.vocab_size=3"),
	} {
		if _, err := Start(t.Context(), r); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := os.Stat(r.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the run folder was made (%v)", want, err)
		}
		r.Dir, r.Replace = done.Dir, true
		if _, err := Start(t.Context(), r); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Start(t.Context(), done); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a run is there already, and got %v", err)
	}
	if model(t, done, "step-12") == "" {
		t.Error("the run that was there is gone")
	}

	gone := done
	gone.Resume = true
	if err := os.Rename(filepath.Join(done.Dir, TeacherFolder), filepath.Join(t.TempDir(), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), gone); err == nil || !strings.Contains(err.Error(), TeacherFolder) {
		t.Errorf("the teacher is gone, and got %v", err)
	}

	again := done
	again.Replace = true
	if got := mustStart(t, again); got.TeacherRun == nil || got.TeacherRun.Steps != 12 {
		t.Errorf("replaced: %+v", got.TeacherRun)
	}
}

// TestGenerationsFromWeights: where a run starts from a model, each generation does, and converts it by degrees. Relations of
// attention, which the model's shape allows whatever the configuration says, are taught too.
func TestGenerationsFromWeights(t *testing.T) {
	parent, changes := transformerBase(t)
	r := tiny(t, append(changes, "distill.generations=2", "distill.attention=0.5")...)
	ctx, cancel := context.WithCancel(t.Context())
	r.Hooks.Step = func(p Progress) {
		if p.Step == 5 {
			cancel()
		}
	}
	before := filepath.Join(r.Dir, TeacherFolder)
	got, err := Start(ctx, r)
	if err != nil || !got.Interrupted || got.FineTuned == nil || *got.FineTuned.Teacher != before || got.FineTuned.From != parent.RunDir {
		t.Fatalf("stopped in the first generation: %+v, %v", got, err)
	}
	r.Hooks, r.Resume = Hooks{}, true
	if r.Config, err = ReadConfig(filepath.Join(r.Dir, ConfigFile)); err != nil {
		t.Fatal(err)
	}
	got = mustStart(t, r)
	if f := got.FineTuned; f.Teacher == nil || *f.Teacher != before || f.StartValLoss != parent.ValLoss || !got.Verify.Identical {
		t.Errorf("the second generation: %+v, verification %+v", f, got.Verify)
	}
	if f := got.TeacherRun.FineTuned; f == nil || f.Teacher != nil || f.StartValLoss != parent.ValLoss {
		t.Errorf("the first generation: %+v, the parent ended at %v", f, parent.ValLoss)
	}
}
