//go:build unix

package durable_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
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

// TestSourceGone writes a file from a mapped one that is cut short meanwhile, by copying and by handing its bytes to the system:
// the error names the source, and nothing is left of the file that was being written.
func TestSourceGone(t *testing.T) {
	for name, write := range map[string]func(io.Writer, []byte) error{
		"read":      func(w io.Writer, b []byte) error { _, err := w.Write(bytes.Clone(b)); return err },
		"handed on": func(w io.Writer, b []byte) error { _, err := w.Write(b); return err },
		"in pieces": func(w io.Writer, b []byte) error {
			_, err := io.Copy(struct{ io.Writer }{w}, bytes.NewReader(b))
			return err
		},
		"one by one": func(w io.Writer, b []byte) error { return binary.Write(w, binary.LittleEndian, b[len(b)-8:]) },
	} {
		dir := t.TempDir()
		source := filepath.Join(dir, "source")
		must(t, os.WriteFile(source, bytes.Repeat([]byte{7}, 1<<20), 0o644))
		data, unload, err := durable.Map(source)
		must(t, err)
		must(t, os.Truncate(source, 0))
		err = durable.WriteFile(durable.OS{}, filepath.Join(dir, "copy"), func(w io.Writer) error { return write(w, data) })
		if !errors.Is(err, durable.ErrGone) || !strings.HasPrefix(err.Error(), source+": ") {
			t.Errorf("%s: %v", name, err)
		}
		if got := list(t, dir); got != "source=" {
			t.Errorf("%s: left %q", name, got)
		}
		must(t, unload())
	}
}

var sink = make([]byte, 1<<20)
