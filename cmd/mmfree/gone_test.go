//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mmfree/ternary/kernel"
)

// TestFileCutShortInUse cuts a packed file short while the program reads it in place, in the packed path and in the training
// graph, with every set of kernels: an error that names the file, and no crash.
func TestFileCutShortInUse(t *testing.T) {
	dir := tinyFolder(t)
	mustRun(t, dir, "train", "tiny.yaml", "--corpus", "text.txt", "--out", "run")
	whole, err := os.ReadFile(filepath.Join(dir, "run", "packed.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "p.safetensors")
	cut := func(isa string, args ...string) {
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		p := command(dir, append(args, "--threads", "3")...)
		p.Env = append(os.Environ(), "MMFREE_ISA="+isa)
		p.Stdout = nil
		out, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if args[0] == "generate" {
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		} else {
			time.Sleep(300 * time.Millisecond) // it says nothing while it compares; too early is an error of its own
		}
		if err := os.Truncate(path, 4096); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Fatal(err)
		}
		code, says := p.code(t), p.stderr.String()
		if code != 1 && args[0] == "generate" || !strings.Contains(says, "mmfree: "+args[0]+": p.safetensors: ") {
			t.Errorf("%s, %s: exit code %d, %s", isa, args[0], code, says)
		}
	}
	for _, set := range kernel.Available() {
		cut(set.Name, "generate", "p.safetensors", "--prompt", "a", "--max-tokens", "16000000")
	}
	cut("generic", "verify", "p.safetensors", "--tokens", "2000000")
}
