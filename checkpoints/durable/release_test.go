package durable_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"mmfree/checkpoints/durable"
)

// TestRelease: bytes of a mapped file are read again, bytes of memory are never given away.
func TestRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	want := bytes.Repeat([]byte("0123456789"), 10_000)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	data, unload, err := durable.Map(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{data, data[1:], data[5000:70_000], data[:10], nil} {
		durable.Release(part)
		if !bytes.Equal(data, want) {
			t.Fatal("the file reads otherwise")
		}
	}
	own := bytes.Clone(want)
	durable.Release(own)
	if !bytes.Equal(own, want) {
		t.Error("memory was given away")
	}
	if err := unload(); err != nil {
		t.Fatal(err)
	}
}
