package durable_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"mmfree/checkpoints/durable"
)

// What can be read is read whole, whatever pieces it comes in, and errors come through behind what was before them.
func TestStoppable(t *testing.T) {
	text := strings.Repeat("a long text ", 30_000)
	broken := errors.New("broken")
	for name, r := range map[string]io.Reader{
		"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text[:5000])),
		"end with the data": iotest.DataErrReader(strings.NewReader(text)),
		"broken":            io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)),
	} {
		got, err := io.ReadAll(durable.Stoppable(t.Context(), r))
		if len(got) == 0 || !strings.HasPrefix(text, string(got)) || name != "byte by byte" && len(got) != len(text) {
			t.Errorf("%s: %d bytes of %d", name, len(got), len(text))
		}
		if (name == "broken") != errors.Is(err, broken) || name != "broken" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Waiting for what never comes ends with the context.
func TestStoppableWaits(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	s := durable.Stoppable(ctx, r)
	go func() { _, _ = w.Write([]byte("first")) }()
	if n, err := io.ReadFull(s, make([]byte, 5)); err != nil {
		t.Fatal(n, err)
	}
	cancel()
	if n, err := s.Read(make([]byte, 5)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := durable.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); string(got) != "text" || err != nil || f.Close() != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := durable.Open(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is missing: %v", err)
	}
	f, err = durable.Open(t.Context(), dir)
	if err == nil {
		_, err = io.ReadAll(f)
	}
	if err == nil {
		t.Error("a folder was read")
	}
}
