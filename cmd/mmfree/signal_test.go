//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/train"
	"mmfree/train/metrics"
)

// program is one run of the program as its own process.
type program struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

func command(dir string, args ...string) *program {
	p := &program{Cmd: exec.Command("mmfree", args...)}
	p.Dir, p.Stdout, p.Stderr = dir, &p.stdout, &p.stderr
	return p
}

// code waits for the process and returns its exit code, −1 when a signal ended it.
func (p *program) code(t *testing.T) int {
	t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(p.stderr.String(), "goroutine") {
		t.Errorf("%q printed a stack trace:\n%s", p.Args, &p.stderr)
	}
	return p.ProcessState.ExitCode()
}

// mustRun runs the program to its end and returns stdout.
func mustRun(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	p := command(dir, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Fatalf("mmfree %q exits with %d:\n%s", args, code, &p.stderr)
	}
	return p.stdout.Bytes()
}

func tinyFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeTiny(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// appears waits until a path exists, while the process runs.
func appears(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}

// TestSignalSaves stops a run in the middle: exit code 130, one line that says how to go on, a whole checkpoint of the
// very step that was reached, and a run that goes on to the bits of one that was never stopped.
func TestSignalSaves(t *testing.T) {
	dir := tinyFolder(t)
	flags := []string{"tiny.yaml", "--corpus", "text.txt", "--set", "train.steps=600", "train.save_every=20"}
	mustRun(t, dir, append([]string{"train", "--out", "control"}, flags...)...)
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		name := "run-" + signal.String()
		p := command(dir, append([]string{"train", "--out", name, "--json"}, flags...)...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		appears(t, filepath.Join(dir, name, "checkpoints", "latest"))
		if err := p.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := p.code(t); code != 130 {
			t.Fatalf("%v: exit code %d, want 130:\n%s", signal, code, &p.stderr)
		}
		var result struct {
			Interrupted bool
			Steps       int
		}
		if err := json.Unmarshal(p.stdout.Bytes(), &result); err != nil || !result.Interrupted || result.Steps < 20 {
			t.Errorf("%v: printed %q, %v", signal, &p.stdout, err)
		}
		if !strings.Contains(p.stderr.String(), "mmfree: train: stopped by a signal") {
			t.Errorf("%v: stderr\n%s", signal, &p.stderr)
		}
		newest, warnings, err := checkpoints.Newest(filepath.Join(dir, name))
		if err != nil || len(warnings) > 0 || newest.Step != result.Steps {
			t.Errorf("%v: stopped at step %d, newest checkpoint %v, %q, %v", signal, result.Steps, newest.Step, warnings, err)
		}
		if result.Steps == 600 {
			t.Errorf("%v: the run was over before the signal came", signal)
		}
		mustRun(t, dir, "train", "--resume", name)
		sameRun(t, dir, name, 600)
	}
}

// TestSignalStopsGenerate ends a generation that would last for hours.
func TestSignalStopsGenerate(t *testing.T) {
	dir := tinyFolder(t)
	mustRun(t, dir, "train", "tiny.yaml", "--corpus", "text.txt", "--out", "run")
	p := command(dir, "generate", "run", "--prompt", "a", "--max-tokens", "16000000")
	p.Stdout = nil
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it writes: the handler stands
		t.Fatal(err)
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for err == nil {
		_, err = out.Read(buffer)
	}
	if code := p.code(t); code != 130 || !strings.Contains(p.stderr.String(), "mmfree: generate: stopped by a signal\n") {
		t.Errorf("exit code %d, stderr %q", code, &p.stderr)
	}
}

// TestSignalEndsWaiting stops verbs that wait for the other end of a pipe: the first signal ends them where they read what may
// well be one, the second one everywhere.
func TestSignalEndsWaiting(t *testing.T) {
	dir := tinyFolder(t)
	mustRun(t, dir, "train", "tiny.yaml", "--corpus", "text.txt", "--out", "run", "--set", "sample.tokens=0")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	idle, other, err := os.Pipe() // standard input that nobody writes to
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	defer other.Close()
	for _, c := range []struct {
		signals int
		args    []string
	}{
		{1, []string{"eval", "task", "piqa", "run", "--data", "pipe"}},
		{1, []string{"eval", "task", "piqa", "run", "--data", "/dev/stdin"}},
		{1, []string{"tokenizer", "encode", "--tokenizer", "bytes", "--file", "pipe"}},
		{1, []string{"tokenizer", "decode", "--tokenizer", "bytes", "--ids-file", "-"}},
		{1, []string{"prepare", "--corpus", "-", "--tokenizer", "bytes", "--out", "shards"}},
		{2, []string{"train", "pipe", "--out", "other"}},
	} {
		code := -1
		for delay := 50 * time.Millisecond; code == -1 && delay < 10*time.Second; delay *= 2 { // −1: before the handler stood
			p := command(dir, c.args...)
			p.Stdin = idle
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(delay)
			for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM}[:c.signals] { // of two equal ones one may get lost
				if err := p.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			hung := time.AfterFunc(30*time.Second, func() {
				t.Errorf("%q goes on after %d signals", c.args, c.signals)
				_ = p.Process.Kill()
			})
			code = p.code(t)
			hung.Stop()
			want := "stopped by a signal"
			if c.signals == 2 {
				want = "stopped by a second signal"
			}
			if code != -1 && !strings.Contains(p.stderr.String(), want) {
				t.Errorf("%q: stderr %q", c.args, &p.stderr)
			}
		}
		if code != exitInterrupted {
			t.Errorf("%q: exit code %d after %d signals, want %d", c.args, code, c.signals, exitInterrupted)
		}
	}
}

// TestKilledRuns kills a training process again and again, at any moment, before the first checkpoint and while it saves
// too. The run that is resumed after each must end with the bits of one that was never killed.
func TestKilledRuns(t *testing.T) {
	const steps = 60
	kills := 20
	if testing.Short() {
		kills = 5
	}
	killedRuns(t, tinyFolder(t), kills, steps, func(out string) []string {
		return []string{
			"train", "tiny.yaml", "--corpus", "text.txt", "--out", out, "--threads", "1",
			"--set", fmt.Sprintf("train.steps=%d", steps), "train.save_every=2", "sample.tokens=0",
		}
	})
}

// TestKilledConversions does the same to a transformer that becomes a BitNet by degrees, with the transformer as teacher.
func TestKilledConversions(t *testing.T) {
	const steps = 40
	dir := tinyFolder(t)
	mustRun(t, dir, "train", "tiny.yaml", "--corpus", "text.txt", "--out", "parent", "--set", "model.arch=transformer", "sample.tokens=0")
	killedRuns(t, dir, 6, steps, func(out string) []string {
		return []string{
			"finetune", "--from", "parent", "tiny.yaml", "--to", "bitnet", "--corpus", "text.txt", "--out", out, "--threads", "1",
			"--set", fmt.Sprintf("train.steps=%d", steps), "train.save_every=2", "sample.tokens=0", "quant.schedule=linear", "distill.teacher=parent",
		}
	})
}

// TestKilledGenerations does the same to a run that trains its own teacher first.
func TestKilledGenerations(t *testing.T) {
	const steps = 30
	killedRuns(t, tinyFolder(t), 6, steps, func(out string) []string {
		return []string{
			"train", "tiny.yaml", "--corpus", "text.txt", "--out", out, "--threads", "1",
			"--set", fmt.Sprintf("train.steps=%d", steps), "train.save_every=2", "sample.tokens=0", "distill.generations=2",
		}
	})
}

// killedRuns kills runs of dir, made by the command line flags(NAME), until kills processes have died, and compares each
// with the run control.
func killedRuns(t *testing.T, dir string, kills, steps int, flags func(out string) []string) {
	t.Helper()
	const limit = time.Minute // a machine under load gets fewer in
	rng := rand.New(rand.NewPCG(7, 7))
	start := time.Now()
	mustRun(t, dir, flags("control")...)
	whole := time.Since(start)

	hit, before, rounds := 0, 0, 0
	for hit < kills && time.Since(start) < limit {
		name := fmt.Sprintf("run-%d", rounds)
		rounds++
		for done := false; !done; {
			// A run's first process dies young, so that some leave no checkpoint behind.
			args, most := flags(name), whole/12
			if _, err := os.Stat(filepath.Join(dir, name, train.ConfigFile)); err == nil {
				args, most = []string{"train", "--resume", name, "--threads", "1"}, whole*3/4
			}
			p := command(dir, args...)
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			delay := time.Hour
			if hit < kills {
				delay = time.Duration(rng.Int64N(int64(most)))
			}
			timer := time.AfterFunc(delay, func() { _ = p.Process.Kill() })
			code := p.code(t)
			timer.Stop()
			switch code {
			case 0:
				done = true
			case -1:
				hit++
				if _, err := os.Stat(filepath.Join(dir, name, "checkpoints", "latest")); err != nil {
					before++
				}
			default:
				t.Fatalf("exit code %d after %d kills:\n%s", code, hit, &p.stderr)
			}
		}
		sameRun(t, dir, name, steps)
	}
	t.Logf("%d kills hit, %d of them before the first checkpoint, in %d runs; a run takes %v", hit, before, rounds, whole)
	if hit < 5 {
		t.Errorf("only %d of %d kills hit", hit, kills)
	}
}

// sameRun compares a finished run with the one that was never stopped: weights, moments and packed file in every bit,
// each logged step once, and nothing left behind.
func sameRun(t *testing.T, dir, name string, steps int) {
	t.Helper()
	last := fmt.Sprintf("checkpoints/step-%d/", steps)
	for _, file := range []string{last + "model.safetensors", last + "optimizer.safetensors", train.PackedFile} {
		want, err := os.ReadFile(filepath.Join(dir, "control", file))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name, file)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s differs from the run that was never stopped (%v)", name, file, err)
		}
	}
	var want, got []int64
	for step := range int64(steps) {
		want = append(want, step+1)
	}
	lines, _, err := metrics.Read(durable.OS{}, filepath.Join(dir, name, train.MetricsFile))
	for _, l := range lines {
		got = append(got, l.Step)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: %s holds steps %v, %v", name, train.MetricsFile, got, err)
	}
	err = filepath.WalkDir(filepath.Join(dir, name), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && durable.IsTemp(path) {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
