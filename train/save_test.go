package train

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
)

// gate holds up the writing of a checkpoint's weights until it is opened.
type gate struct {
	durable.OS
	held   chan struct{} // closed when a writer waits
	opened chan struct{}
}

func (g *gate) Create(path string) (durable.File, error) {
	if strings.HasPrefix(filepath.Base(path), "model.safetensors") && strings.Contains(path, "step-3") {
		close(g.held)
		<-g.opened
	}
	return g.OS.Create(path)
}

// stepsOnly trains without what comes behind the last step.
func stepsOnly(t *testing.T, r Request) error {
	t.Helper()
	x := newRun(r)
	err := x.prepare()
	if err != nil {
		return err
	}
	if err = x.open(); err == nil {
		err = x.steps(t.Context())
	}
	return errors.Join(err, x.close())
}

func mustStep(t *testing.T, r Request) {
	t.Helper()
	if err := stepsOnly(t, r); err != nil {
		t.Fatal(err)
	}
}

// TestSavesBeside: while a checkpoint is being written training goes on, its weights are those of its step all the same,
// and the end of the run waits for it.
func TestSavesBeside(t *testing.T) {
	reference := tiny(t, "train.save_every=1", "train.keep_last=20")
	mustStep(t, reference)
	r := tiny(t, "train.save_every=3", "train.eval_every=0", "train.keep_last=20")
	g := &gate{held: make(chan struct{}), opened: make(chan struct{})}
	r.FS = g
	waiting := int64(0)
	r.Hooks.Step = func(p Progress) {
		switch p.Step {
		case 4, 5: // two steps while step 3 is being written
			select {
			case <-g.held:
				waiting++
			case <-time.After(20 * time.Second):
				t.Error("the checkpoint is not being written")
			}
			if p.Step == 5 {
				close(g.opened)
			}
		}
	}
	mustStep(t, r)
	if waiting != 2 {
		t.Errorf("%d steps beside the writing", waiting)
	}
	for _, step := range []string{"step-3", "step-6", "step-9", "step-12"} {
		if model(t, r, step) != model(t, reference, step) {
			t.Errorf("%s has other weights", step)
		}
		if _, err := checkpoints.Verify(filepath.Join(r.Dir, "checkpoints", step)); err != nil {
			t.Error(err)
		}
	}
}

// TestSaveFails: training says what it could not save and what is whole, goes on, and has the bits of a run on a good disk;
// on a disk that stays bad it ends with the last whole checkpoint and an error that names it.
func TestSaveFails(t *testing.T) {
	reference := tiny(t)
	mustStep(t, reference)
	// Steps 3, 4 and 6 are the first that are saved, the fourth as the best.
	for _, c := range []struct {
		name  string
		fsys  *faults.FS
		says  []string
		ends  error
		whole int
	}{
		{
			"no space once", &faults.FS{Only: "create optimizer.safetensors", FailAt: 2},
			[]string{"step 4 is not saved, the last whole checkpoint is of step 3; training goes on: ", "no space left on device"},
			nil, 12,
		},
		{
			"no space for the first", &faults.FS{Only: "create manifest.json", FailAt: 1},
			[]string{"step 3 is not saved, there is no checkpoint yet; training goes on: "},
			nil, 12,
		},
		{
			"no space for the best's mark", &faults.FS{Only: "create best", FailAt: 1},
			[]string{"step 4 is saved, but then: ", "best: create: no space"},
			nil, 12,
		},
		{
			"disk full", &faults.FS{Only: "create model.safetensors", FailAt: 3, Mode: faults.Full},
			[]string{
				"step 6 is not saved, the last whole checkpoint is of step 4; training goes on",
				"wait in memory until they can be written: ", "step 9 is not saved, the last whole checkpoint is of step 4",
			},
			syscall.ENOSPC, 4,
		},
		{
			"read-only", &faults.FS{Only: "create model.safetensors", FailAt: 2, Mode: faults.ReadOnly},
			[]string{"step 4 is not saved, the last whole checkpoint is of step 3; training goes on", "read-only file system"},
			syscall.EROFS, 3,
		},
		{"read-only from the start", &faults.FS{FailAt: 1, Mode: faults.ReadOnly}, nil, syscall.EROFS, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := tiny(t)
			r.FS = c.fsys
			var said []string
			r.Hooks.Notice = func(text string) { said = append(said, text) }
			err := stepsOnly(t, r)
			all := strings.Join(said, "\n")
			if strings.Contains(all, ".tmp-") || err != nil && strings.Contains(err.Error(), ".tmp-") {
				t.Errorf("a temporary is named: %s, %v", all, err)
			}
			for _, want := range c.says {
				if !strings.Contains(all, want) {
					t.Errorf("it says\n%s\nwant %q", all, want)
				}
			}
			if !errors.Is(err, c.ends) || c.ends != nil && !errors.Is(err, durable.ErrWrite) {
				t.Errorf("it ends with %v, want %v", err, c.ends)
			}
			if c.whole == 0 {
				if _, err := os.Stat(r.Dir); err == nil {
					t.Error("a folder is left")
				}
				return
			}
			newest, warnings, nerr := checkpoints.Newest(r.Dir)
			if nerr != nil || newest.Step != c.whole || len(warnings) > 0 {
				t.Errorf("newest is %v, %q, %v", newest, warnings, nerr)
			}
			if c.ends != nil && (err == nil || !strings.Contains(err.Error(), "the last whole checkpoint is of step")) {
				t.Errorf("the error does not name it: %v", err)
			}
			r.FS, r.Resume = nil, true
			mustStep(t, r)
			if model(t, r, "step-12") != model(t, reference, "step-12") {
				t.Error("another model")
			}
			if got, want := losses(t, r), losses(t, reference); !slices.Equal(got, want) {
				t.Errorf("metrics %v, want %v", got, want)
			}
		})
	}
}
