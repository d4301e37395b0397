package corpus

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// opticks is a book that the Go project ships for its compression tests: about 570 kB of English prose.
const opticks = "src/testdata/Isaac.Newton-Opticks.txt"

// builtinBytes is about how much source stands in for the book: enough for a quick first run, no more.
const builtinBytes = 2_000_000

// builtinPackages is the source that stands in for the book, most readable first. Whole packages, so that a name
// used is a name seen.
func builtinPackages() []string {
	return []string{
		"strings", "bytes", "sort", "bufio", "io", "fmt", "errors", "strconv", "unicode/utf8", "time", "os", "path",
		"text/template", "encoding/json", "encoding/csv", "go/ast", "go/parser", "go/types", "net/http", "regexp",
	}
}

// Builtin returns the text that a machine with Go and nothing else has, and its name: Newton's Opticks where the
// installation at goroot holds it, else about 2 MB of the standard library's source. The choice and the order depend
// on the installation alone. Where goroot is empty or has neither, the error says to name a corpus.
func Builtin(goroot string) (c *Corpus, name string, err error) {
	none := &Error{
		Path: goroot, Problem: "no Go installation with a text to train on",
		Fix: "pass --corpus FILE with any text file of 100 kB or more",
	}
	if goroot == "" {
		return nil, "", none
	}
	if c, err = Load([]string{filepath.Join(goroot, filepath.FromSlash(opticks))}); err == nil {
		return c, "Isaac Newton, Opticks", nil
	}
	var sources []Source
	var total int64
	for _, pkg := range builtinPackages() {
		found, err := packageSource(filepath.Join(goroot, "src", filepath.FromSlash(pkg)))
		if err != nil {
			continue // a trimmed installation may lack a package; the rest will do
		}
		for _, s := range found {
			if total += s.Bytes; total > builtinBytes {
				break
			}
			sources = append(sources, s)
		}
	}
	if len(sources) == 0 {
		return nil, "", none
	}
	if c, err = read(sources, maxBytes); err != nil {
		return nil, "", err
	}
	return c, "the Go standard library's source", nil
}

// packageSource lists the Go files of a folder and those below it, in sorted order, without tests.
func packageSource(folder string) ([]Source, error) {
	return walk(folder, "no Go files below this folder", func(name string) bool {
		return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
	})
}

// GoRoot finds the Go installation: what `go env GOROOT` says where go can be run, else what the environment or the
// build of this program says. Empty when there is none; it never fails and takes ten seconds at most.
func GoRoot() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "env", "GOROOT")
	// Outside any module and held to the local toolchain, the command can have no reason to download another one.
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	cmd.WaitDelay = time.Second
	candidates := []string{os.Getenv("GOROOT"), builtWith()}
	if out, err := cmd.Output(); err == nil {
		candidates = append([]string{strings.TrimSpace(string(out))}, candidates...)
	}
	for _, dir := range candidates {
		if info, err := os.Stat(filepath.Join(dir, "src")); dir != "" && err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}

// builtWith is the installation that built this program, if it is still there; empty under -trimpath.
func builtWith() string {
	//lint:ignore SA1019 deprecated because it may name another machine's folder; GoRoot looks before it believes it.
	return runtime.GOROOT()
}
