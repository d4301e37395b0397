package checkpoints_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
)

const saverEnv = "MMFREE_TEST_SAVER_DIR"

// TestMain lets the test binary be the process that TestKilled kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(saverEnv); dir != "" {
		saveForEver(dir)
	}
	os.Exit(m.Run())
}

// saveForEver goes on from the newest checkpoint, alternating between two kinds of content, until it is killed.
func saveForEver(dir string) {
	t := &testing.T{} // for parts, which fails in no way a test could
	r, err := checkpoints.OpenRun(durable.OS{}, dir)
	if err != nil {
		os.Exit(1)
	}
	c, _, _ := checkpoints.Newest(dir)
	for step := c.Step + 1; ; step++ {
		if _, err := r.Save(step, parts(t, step%2)); err != nil {
			os.Exit(1)
		}
		if err := r.Retain(1); err != nil {
			os.Exit(1)
		}
	}
}

// TestKilled kills a process that saves without pause, at varying moments: the next one always goes on from a whole
// checkpoint, and never from an older one than before.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	last := 0
	for life := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), saverEnv+"="+dir)
		must(t, cmd.Start())
		deadline := time.Now().Add(20 * time.Second)
		for { // at least one more checkpoint, then a moment that differs each time
			c, _, err := checkpoints.Newest(dir)
			if err == nil && c.Step > last {
				last = c.Step
				break
			}
			if time.Now().After(deadline) {
				must(t, cmd.Process.Kill())
				_ = cmd.Wait()
				t.Fatalf("life %d: no new checkpoint: %v", life, err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(life*7) * time.Millisecond)
		must(t, cmd.Process.Kill())
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() == 1 {
			t.Fatalf("life %d: the process ended by itself", life)
		}
		c, warnings, err := checkpoints.Newest(dir)
		if err != nil || c.Step < last {
			t.Fatalf("life %d: newest is %v after %d, warnings %q, error %v", life, c, last, warnings, err)
		}
		got, err := load(c.Dir)
		must(t, err)
		if d := differ(parts(t, c.Step%2), got); d != "" {
			t.Fatalf("life %d: %s of step %d differs", life, d, c.Step)
		}
		last = c.Step
	}
}
