//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMalformedFiles gives the program every file of the shared malformed checkpoints: it takes or refuses each as the
// manifest says, names the file it refuses, and needs less than a second of processor time and 256 MiB.
func TestMalformedFiles(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set: the files are not committed")
	}
	top := filepath.Join(shared, "data", "robustness")
	folders, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := map[string]bool{"json": true, "jsonl": true, "text": true, "utf8": true} // texts: data/corpus and data/tasks
	files := 0
	for _, folder := range folders {
		if !folder.IsDir() || elsewhere[folder.Name()] {
			continue
		}
		dir := filepath.Join(top, folder.Name())
		text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
		if err != nil {
			t.Errorf("a folder that no test knows: %v", err)
			continue
		}
		var manifest struct {
			Cases []struct{ File, Expect, Why string }
		}
		if err := json.Unmarshal(text, &manifest); err != nil || len(manifest.Cases) == 0 {
			t.Fatal(dir, err)
		}
		listed := map[string]bool{"manifest.json": true}
		for _, c := range manifest.Cases {
			files++
			listed[c.File] = true
			p := command(dir, "inspect", c.File)
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() })
			code := p.code(t)
			timer.Stop()
			want := map[string]int{"accept": 0, "reject": 2}[c.Expect]
			says := p.stderr.String()
			if code != want || code == 2 && !strings.HasPrefix(says, "mmfree: inspect: "+c.File) {
				t.Errorf("%s/%s (%s): exit code %d, want %d: %s", folder.Name(), c.File, c.Why, code, want, says)
			}
			usage := p.ProcessState.SysUsage().(*syscall.Rusage)
			peak := usage.Maxrss
			if runtime.GOOS != "darwin" { // which counts bytes
				peak *= 1024
			}
			if took := p.ProcessState.UserTime() + p.ProcessState.SystemTime(); took > time.Second || peak > 256<<20 {
				t.Errorf("%s/%s: %v of processor time, %d bytes", folder.Name(), c.File, took, peak)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !listed[e.Name()] {
				t.Errorf("%s/%s is not in the manifest", folder.Name(), e.Name())
			}
		}
	}
	if files < 80 {
		t.Errorf("%d files only", files)
	}
	t.Logf("%d files", files)
}
