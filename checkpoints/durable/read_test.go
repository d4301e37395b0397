//go:build unix

package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mmfree/checkpoints/durable"
)

// A file of the limit is read, one byte more is not, and a named pipe that nobody writes to is an answer, not a wait.
func TestReadBounded(t *testing.T) {
	dir := t.TempDir()
	path, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	want := bytes.Repeat([]byte("abc"), 1000)
	must(t, os.WriteFile(path, want, 0o644))
	must(t, syscall.Mkfifo(pipe, 0o644))
	if got, err := durable.ReadBounded(path, 3000); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for name, c := range map[string]struct {
		path    string
		limit   int64
		problem string
	}{
		"one byte more": {path, 2999, "has more than 2999 bytes"},
		"pipe":          {pipe, 3000, "is not a regular file"},
		"folder":        {dir, 1 << 40, "is not a regular file"},
		"device":        {"/dev/zero", 3000, "is not a regular file"},
	} {
		got, err := durable.ReadBounded(c.path, c.limit)
		var unfit *durable.UnfitError
		if got != nil || !errors.As(err, &unfit) || !strings.Contains(unfit.Problem, c.problem) {
			t.Errorf("%s: %d bytes, %v; want %q", name, len(got), err, c.problem)
		}
	}
	if _, err := durable.ReadBounded(filepath.Join(dir, "absent"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat("/proc/self/status"); err == nil { // its size is told as 0
		if got, err := durable.ReadBounded("/proc/self/status", 1<<20); err != nil || len(got) == 0 {
			t.Errorf("a file that does not tell its size: %d bytes, %v", len(got), err)
		}
		var unfit *durable.UnfitError
		if _, err := durable.ReadBounded("/proc/self/status", 5); !errors.As(err, &unfit) {
			t.Errorf("a file that does not tell its size, and is too large: %v", err)
		}
	}
}
