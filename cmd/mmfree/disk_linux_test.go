package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"mmfree/checkpoints"
)

// limitFiles sets the largest file that a process may write, while it runs.
func limitFiles(t *testing.T, pid int, bytes uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
}

// waitBuffer is a buffer that one goroutine fills while another looks.
type waitBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *waitBuffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *waitBuffer) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		found := strings.Contains(w.b.String(), text)
		w.mu.Unlock()
		if found {
			return
		}
	}
	t.Fatalf("it does not say %q:\n%s", text, &w.b)
}

// TestNoRoomForAWhile: a run on a disk without room for its files says so and goes on; when there is room again it saves,
// and ends with the bits and the metrics of a run that never noticed.
func TestNoRoomForAWhile(t *testing.T) {
	dir := tinyFolder(t)
	flags := []string{"tiny.yaml", "--corpus", "text.txt", "--set", "train.steps=1500", "train.save_every=20"}
	mustRun(t, dir, append([]string{"train", "--out", "control"}, flags...)...)
	p := command(dir, append([]string{"train", "--out", "run"}, flags...)...)
	says := &waitBuffer{}
	p.Stderr = says
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	appears(t, filepath.Join(dir, "run", "checkpoints", "latest"))
	limitFiles(t, p.Process.Pid, 1000)
	says.waitFor(t, "training goes on: ")
	says.waitFor(t, "wait in memory until they can be written")
	if newest, warnings, err := checkpoints.Newest(filepath.Join(dir, "run")); err != nil || newest.Step < 20 || len(warnings) > 0 {
		t.Errorf("meanwhile the newest checkpoint is %v, %q, %v", newest, warnings, err)
	}
	limitFiles(t, p.Process.Pid, ^uint64(0))
	if code := p.code(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &says.b)
	}
	sameRun(t, dir, "run", 1500)
}

// TestSmallDisk trains on a real file system that is full, then has room, then is read-only. It needs user namespaces.
func TestSmallDisk(t *testing.T) {
	if err := exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt").Run(); err != nil {
		t.Skipf("file systems cannot be mounted here: %v", err)
	}
	dir := tinyFolder(t)
	mustRun(t, dir, "train", "tiny.yaml", "--corpus", "text.txt", "--set", "train.steps=60", "train.save_every=2", "--out", "control")
	cmd := exec.Command("unshare", "-rm", "sh", "-c", `
		mkdir disk && mount -t tmpfs -o size=2m tmpfs disk && head -c 1800000 /dev/zero >disk/filler || exit 9
		mmfree train tiny.yaml --corpus text.txt --set train.steps=60 train.save_every=2 --out disk/run
		echo full: $? >&2
		rm disk/filler
		mmfree train --resume disk/run
		echo room: $? >&2
		mount -o remount,ro disk
		mmfree train --resume disk/run --steps 70
		echo read-only: $? >&2
		cp -r disk/run run`)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, want := range []string{
		"is not saved, the last whole checkpoint is of step 2; training goes on: ", "no space left on device",
		"mmfree: train: step 60 is not saved, the last whole checkpoint is of step 2: ", "the disk is full: free space and resume\n",
		"full: 1\n", "from step 3", "room: 0\n", "read-only file system\nthe folder cannot be written: ", "read-only: 1\n",
	} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	sameRun(t, dir, "run", 60)
}
