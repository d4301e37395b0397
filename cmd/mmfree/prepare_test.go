//go:build unix

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPrepareKilled kills mmfree prepare at random moments and goes on until it ends by itself: every byte is as if it had
// never been killed. One run is stopped by a signal that lets it save.
func TestPrepareKilled(t *testing.T) {
	dir := t.TempDir()
	g := rand.New(rand.NewPCG(7, 7))
	var text strings.Builder
	for range 2000 {
		fmt.Fprintf(&text, "document %d of the corpus\n", g.IntN(1500))
		text.WriteString(strings.Repeat("It has lines enough to fill a shard. ", g.IntN(60)) + "<|end|>")
	}
	if err := os.WriteFile(filepath.Join(dir, "text.txt"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	args := func(out string) []string {
		return []string{"prepare", "--corpus", "text.txt=1.5", "--tokenizer", "bytes", "--separator", "<|end|>", "--dedup", "--val-fraction", "0.1", "--shard-tokens", "40000", "--out", out}
	}
	begun := time.Now()
	mustRun(t, dir, args("whole")...)
	whole := time.Since(begun)

	var kills, stops int
	longest := whole / 5 // and longer from kill to kill, so that it ends on any machine
	for done := false; !done; longest += longest / 10 {
		p := command(dir, args("killed")...)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(g.Int64N(int64(longest))))
		signal := syscall.SIGKILL
		if kills%5 == 4 {
			signal = syscall.SIGTERM
		}
		_ = p.Process.Signal(signal) // it may have ended
		switch code := p.code(t); {
		case code == 0:
			done = true
		case code == -1 && signal == syscall.SIGKILL, code == -1 && kills%5 == 4: // before the handler stood
			kills++
		case code == exitInterrupted && signal == syscall.SIGTERM:
			kills++
			stops++
			if !strings.Contains(p.stderr.String(), "to go on: run the same command again") {
				t.Errorf("stopped with %q", &p.stderr)
			}
		case code == exitRequest && kills > 0 && strings.Contains(p.stderr.String(), "the folder holds whole shards"):
			done = true // the last kill came behind the last write
		default:
			t.Fatalf("exit %d after %d kills:\n%s", code, kills, &p.stderr)
		}
	}
	t.Logf("killed %d times, %d of them politely; a whole run takes %v", kills, stops, whole)
	if kills < 3 {
		t.Errorf("only %d kills", kills)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "killed"))
	if err != nil {
		t.Fatal(err)
	}
	if more, err := os.ReadDir(filepath.Join(dir, "whole")); err != nil || len(more) != len(entries) || len(more) < 20 {
		t.Errorf("%d files and %d, %v", len(entries), len(more), err)
	}
	for _, e := range entries {
		a, err := os.ReadFile(filepath.Join(dir, "whole", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "killed", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs after %d kills", e.Name(), kills)
		}
	}
}

// TestPrepareWaits: a signal ends the wait for a pipe that nobody writes to.
func TestPrepareWaits(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	p := command(dir, "prepare", "--corpus", "-", "--tokenizer", "bytes", "--out", "out")
	p.Stdin = r
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	appears(t, filepath.Join(dir, "out", "tokenizer.json"))
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	go func() { ended <- p.code(t) }()
	select {
	case code := <-ended:
		if code != exitInterrupted {
			t.Errorf("exit %d:\n%s", code, &p.stderr)
		}
	case <-time.After(20 * time.Second):
		t.Error("it still waits")
		_ = p.Process.Kill()
	}
}
