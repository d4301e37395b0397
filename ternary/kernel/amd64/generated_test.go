//go:build amd64 && !noasm

package amd64_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated runs every generator and demands the files that are committed.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generators")
	}
	for name, files := range map[string]map[string]string{ // file by flag
		"products": {"-out": "products_amd64.s", "-stubs": "products_amd64.go"},
		"rows":     {"-out": "rows_amd64.s", "-stubs": "rows_amd64.go", "-widths": "rows_widths_amd64.go"},
		"ints":     {"-out": "ints_amd64.s", "-stubs": "ints_amd64.go"},
		"probe":    {"-out": "probe_amd64.s", "-stubs": "probe_amd64.go"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"run", "./" + name, "-pkg", "amd64"}
			for flag, file := range files {
				args = append(args, flag, filepath.Join(dir, file))
			}
			run := exec.Command("go", args...)
			run.Dir = "../_gen"
			run.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off")
			if out, err := run.CombinedOutput(); err != nil {
				t.Skipf("the generator does not run here, perhaps for want of its modules: %v\n%s", err, out)
			}
			for _, file := range files {
				if !bytes.Equal(generated(t, filepath.Join(dir, file)), generated(t, file)) {
					t.Errorf("%s is not what the generator writes: go generate ./ternary/kernel/amd64", file)
				}
			}
		})
	}
}

// generated returns a file without its first line, which names the command with its paths.
func generated(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	return rest
}
