//go:build unix

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKilledExport kills exports at any moment, over nothing and over another model: under the final name lies nothing, all of
// the former or all of the new, and never a part; a folder that is missing is named where it lies. The next export clears up
// and is whole.
func TestKilledExport(t *testing.T) {
	dir := tinyFolder(t)
	for name, seed := range map[string]string{"old": "1", "new": "2"} {
		mustRun(t, dir, "train", "tiny.yaml", "--corpus", "text.txt", "--out", name, "--seed", seed, "--set", "train.steps=1", "sample.tokens=0")
	}
	// content joins the files of a path that an export writes; nil: nothing is there.
	content := func(path string) []byte {
		if info, err := os.Stat(path); err != nil {
			return nil
		} else if !info.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		all := []byte("folder\n")
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(path, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(append(append(all, e.Name()...), '\n'), b...)
		}
		return all
	}
	kills := 10
	if testing.Short() {
		kills = 3
	}
	rng := rand.New(rand.NewPCG(5, 5))
	struck, states := 0, map[string]int{}
	for _, format := range []string{"packed", "hf", "gguf"} {
		was := filepath.Join(dir, "was-"+format)
		mustRun(t, dir, "export", "old", "--format", format, "--out", was)
		begin := time.Now()
		mustRun(t, dir, "export", "new", "--format", format, "--out", filepath.Join(dir, "is-"+format))
		took := time.Since(begin)
		before, after := content(was), content(filepath.Join(dir, "is-"+format))
		if len(before) == 0 || len(after) == 0 || bytes.Equal(before, after) {
			t.Fatalf("%s: the two models are the same", format)
		}
		for _, over := range []bool{false, true} {
			for range kills {
				place := t.TempDir()
				out := filepath.Join(place, "model")
				if over {
					mustRun(t, dir, "export", "old", "--format", format, "--out", out)
				}
				p := command(dir, "export", "new", "--format", format, "--out", out, "--force")
				if err := p.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took))), func() { _ = p.Process.Kill() })
				if code := p.code(t); code == -1 {
					struck++
				} else if code != 0 {
					t.Fatalf("%s: exit code %d: %s", format, code, &p.stderr)
				}
				timer.Stop()
				got := content(out)
				switch {
				case bytes.Equal(got, after):
					states["new"]++
				case got != nil && bytes.Equal(got, before) && over:
					states["former"]++
				case got == nil && !over:
					states["nothing"]++
				case got == nil && format == "hf":
					states["former beside it"]++
					q := command(dir, "inspect", out)
					if err := q.Start(); err != nil {
						t.Fatal(err)
					}
					if code := q.code(t); code != 2 || !strings.Contains(q.stderr.String(), out+".old-") {
						t.Errorf("exit code %d, and it does not name the former folder: %s", code, &q.stderr)
					}
				default:
					t.Fatalf("%s, over another: %v: %d bytes that are neither model", format, over, len(got))
				}
				mustRun(t, dir, "export", "new", "--format", format, "--out", out, "--force")
				var left []string
				entries, err := os.ReadDir(place)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					left = append(left, e.Name())
				}
				if !slices.Equal(left, []string{"model"}) || !bytes.Equal(content(out), after) {
					t.Fatalf("%s: after exporting again there is %v", format, left)
				}
			}
		}
	}
	t.Logf("%d kills struck; under the final name lay %v", struck, states)
}
