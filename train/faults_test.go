package train

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/ternary/par"
)

var faultPoints = flag.Int("faults", 100, "fault points of TestFaultPoints")

const (
	faultSteps = 60
	faultsARun = 4 // about: a fault comes within such a part of a run's calls
)

// saving is a request for a small run that saves at every second step and at its best ones.
func saving(t *testing.T) Request {
	r := tiny(t, "model.hidden_size=9", "model.num_hidden_layers=1", "model.intermediate_size=12", "data.seq_len=8", "data.batch_size=2",
		fmt.Sprintf("train.steps=%d", faultSteps), "train.eval_every=5", "train.eval_tokens=16", "train.save_every=2", "sample.tokens=0")
	pool := par.New(1)
	t.Cleanup(pool.Close)
	r.Machine.Pool = pool
	return r
}

// reference is an undisturbed run: what a whole checkpoint of each step must hold, and the lines of metrics.
type reference struct {
	bits    map[int]string
	metrics [][5]float64
	packed  []byte
}

// bits returns what a checkpoint promises to keep: checksums of weights and moments, and the state but for the clock.
func bits(dir string) (string, error) {
	m, err := checkpoints.Verify(dir)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		return "", err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return "", err
	}
	s.Seconds = 0
	if text, err = json.Marshal(s); err != nil {
		return "", err
	}
	return fmt.Sprint(m.Files["model.safetensors"], m.Files["optimizer.safetensors"], m.Files["tokenizer.json"], string(text)), nil
}

func undisturbed(t *testing.T) *reference {
	r := saving(t)
	if err := r.Config.Set("train.save_every=1", "train.keep_last=1000"); err != nil {
		t.Fatal(err)
	}
	mustStart(t, r)
	ref := &reference{bits: map[int]string{}, metrics: losses(t, r)}
	for step := 1; step <= faultSteps; step++ {
		b, err := bits(filepath.Join(r.Dir, "checkpoints", fmt.Sprintf("step-%d", step)))
		if err != nil {
			t.Fatal(err)
		}
		ref.bits[step] = b
	}
	if len(ref.metrics) != faultSteps {
		t.Fatalf("%d lines of metrics", len(ref.metrics))
	}
	var err error
	if ref.packed, err = os.ReadFile(filepath.Join(r.Dir, PackedFile)); err != nil {
		t.Fatal(err)
	}
	return ref
}

// life trains in r.Dir on fsys, to the end or to the fault, and returns the steps whose saving was confirmed. With export it
// also does what comes behind the last step.
func life(t *testing.T, r Request, fsys *faults.FS, export bool) (confirmed []int, done bool, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.FS = fsys
	_, serr := os.Stat(filepath.Join(r.Dir, ConfigFile))
	r.Resume = serr == nil // as a user would: with --resume, or again from the start where nothing is there yet
	x := newRun(r)
	err = x.prepare()
	if err != nil {
		t.Fatal(err)
	}
	confirm := func() {
		if n := int(x.saved); n >= 0 && !slices.Contains(confirmed, n) {
			confirmed = append(confirmed, n)
		}
	}
	x.Hooks.Step = func(Progress) {
		confirm()
		if fsys.Dead() {
			cancel()
		}
	}
	if err = x.open(); err == nil {
		if export {
			_, err = x.do(ctx)
		} else {
			err = x.steps(ctx)
		}
		done = err == nil && ctx.Err() == nil
	}
	confirm()
	return confirmed, done, errors.Join(err, x.close())
}

// TestFaultPoints trains with frequent saves on a file system that fails at random points, reads included, in every mode,
// several times a run. After each fault the newest whole checkpoint is at least as new as the last one that was
// confirmed, and has the bits of the undisturbed run at that step; so has the run at its end.
func TestFaultPoints(t *testing.T) {
	points := *faultPoints
	if testing.Short() {
		points /= 5
	}
	ref := undisturbed(t)
	rng := rand.New(rand.NewPCG(17, uint64(points)))
	plain := &faults.FS{Reads: true}
	if _, done, err := life(t, saving(t), plain, true); !done || err != nil {
		t.Fatal(err)
	}
	modes := append(faults.Modes(), faults.PowerCut, faults.PowerCut, faults.Kill)
	struck, perMode, calls := 0, map[faults.Mode]int{}, map[string]int{}
	lives, runs, survived := 0, 0, 0
	for struck < points {
		r := saving(t)
		runs++
		export := runs%3 == 1
		newest, rot := 0, false
		rotten := false // metrics.jsonl, which has no checksums, itself or while it was written under a temporary name
		var hits []string
		for done := false; !done; {
			lives++
			fsys := &faults.FS{Reads: true, Seed: rng.Uint64() | 1}
			if struck < points {
				fsys.Mode = modes[rng.IntN(len(modes))]
				fsys.FailAt = 1 + rng.IntN(plain.Calls/faultsARun*2)
				if rng.IntN(3) == 0 {
					fsys.FailAt = 1 + rng.IntN(60) // while the run is opened, which is when most is read
				}
			}
			var confirmed []int
			var err error
			confirmed, done, err = life(t, r, fsys, export)
			if cerr := fsys.Crash(); cerr != nil {
				t.Fatal(cerr)
			}
			fail := func(format string, args ...any) {
				t.Helper()
				t.Fatalf("run %d, mode %q, seed %d, call %d (%s), confirmed %v, error %v: %s", runs, fsys.Mode, fsys.Seed, fsys.FailAt, fsys.Hit, confirmed, err, fmt.Sprintf(format, args...))
			}
			if fsys.Hit != "" {
				struck++
				perMode[fsys.Mode]++
				what, _, _ := strings.Cut(fsys.Hit, " ")
				calls[what]++
				rot = rot || fsys.Mode == faults.Rot
				rotten = rotten || fsys.Mode == faults.Rot && strings.Contains(fsys.Hit, MetricsFile)
				hits = append(hits, fmt.Sprintf("%s: %s", fsys.Mode, fsys.Hit))
				if done {
					survived++
				}
			} else if err != nil {
				fail("no fault, yet an error")
			}
			if err != nil && !done && !told(err) {
				fail("an error that says not what failed")
			}
			newest = check(t, ref, r, newest, confirmed, rot, fail)
		}
		finished(t, ref, r, rotten, export, hits)
	}
	t.Logf("%d faults in %d lives of %d runs, %d of them survived to the end; by mode %v, by call %v: 0 checkpoints lost, 0 bits different",
		struck, lives, runs, survived, perMode, calls)
	if len(perMode) < len(faults.Modes()) && points >= 100 {
		t.Errorf("modes %v only", slices.Sorted(maps.Keys(perMode)))
	}
}

// told reports whether an error belongs to a class that the program has an answer to.
func told(err error) bool {
	if errors.Is(err, durable.ErrWrite) || errors.Is(err, faults.ErrKilled) || errors.Is(err, checkpoints.ErrCheckpoint) {
		return true
	}
	var p *fs.PathError
	return errors.As(err, &p)
}

// check looks at what a life left behind, and returns the newest whole step.
func check(t *testing.T, ref *reference, r Request, before int, confirmed []int, rot bool, fail func(string, ...any)) int {
	t.Helper()
	least := before
	if n := len(confirmed); n > 0 {
		least = max(least, confirmed[n-1])
		if rot && n > 1 { // the last one may be damaged
			least = confirmed[n-2]
		} else if rot {
			least = 0
		}
	}
	c, warnings, err := checkpoints.Newest(r.Dir)
	if err != nil {
		if least > 0 {
			fail("lost step %d: %v", least, err)
		}
		return 0
	}
	if c.Step < least {
		fail("step %d was confirmed, %d is the newest: %q", least, c.Step, warnings)
	}
	steps, _ := os.ReadDir(filepath.Join(r.Dir, "checkpoints"))
	for _, e := range steps {
		if !e.IsDir() || durable.IsTemp(e.Name()) {
			continue
		}
		var step int
		if _, err := fmt.Sscanf(e.Name(), "step-%d", &step); err != nil {
			fail("%s: %v", e.Name(), err)
		}
		got, err := bits(filepath.Join(r.Dir, "checkpoints", e.Name()))
		switch {
		case err != nil && !rot:
			fail("%v", err)
		case err == nil && got != ref.bits[step]:
			fail("step %d has other bits:\n%s\n%s", step, got, ref.bits[step])
		}
	}
	return c.Step
}

// finished compares a run at its end with the undisturbed one.
func finished(t *testing.T, ref *reference, r Request, rotten, export bool, hits []string) {
	t.Helper()
	if got := losses(t, r); !rotten && !slices.Equal(got, ref.metrics) {
		t.Fatalf("metrics after the faults %q\n%v, want\n%v", hits, got, ref.metrics)
	}
	if !export {
		return
	}
	if got, err := os.ReadFile(filepath.Join(r.Dir, PackedFile)); err != nil || string(got) != string(ref.packed) {
		t.Fatalf("the packed file differs (%v)", err)
	}
}
