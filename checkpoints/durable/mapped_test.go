//go:build unix

package durable_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
)

// TestGuard cuts a mapped file short: reading what is gone is an error that names the file, reading what is left none, and
// other panics stay what they are.
func TestGuard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	other := filepath.Join(t.TempDir(), "other")
	for _, p := range []string{path, other} {
		must(t, os.WriteFile(p, bytes.Repeat([]byte{7}, 1<<20), 0o644))
	}
	kept, unloadKept, err := durable.Map(other)
	must(t, err)
	data, unload, err := durable.Map(path)
	must(t, err)
	sum := 0
	read := func(b []byte) func() error {
		return func() error {
			for _, x := range b {
				sum += int(x)
			}
			return nil
		}
	}
	must(t, durable.Guard(read(data)))
	must(t, os.Truncate(path, 100))
	must(t, durable.Guard(read(data[:100])))
	for _, b := range [][]byte{data, data[len(data)-1:], data[128<<10:]} {
		err := durable.Guard(read(b))
		if !errors.Is(err, durable.ErrGone) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("reading what is gone: %v", err)
		}
	}
	if err := durable.Guard(func() error { copy(sink, data[1<<19:]); return nil }); !errors.Is(err, durable.ErrGone) {
		t.Errorf("copying what is gone: %v", err)
	}
	must(t, durable.Guard(read(kept)))
	must(t, errors.Join(unload(), unloadKept()))
	func() {
		defer func() {
			if r := recover(); r != "mine" || durable.Gone(r) != nil {
				t.Errorf("a panic of another kind became %v", r)
			}
		}()
		_ = durable.Guard(func() error { panic("mine") })
	}()
	mine := errors.New("mine")
	if err := durable.Guard(func() error { return mine }); err != mine {
		t.Errorf("an error became %v", err)
	}
}

var sink = make([]byte, 1<<20)
