//go:build amd64 && !noasm

package amd64_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestIntsGenerated regenerates the integer gradients and demands the same files; and that no product in them is fused,
// estimated or saturated, and that only the one tile uses VNNI.
func TestIntsGenerated(t *testing.T) {
	committed, err := os.ReadFile("ints_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`VF?N?M(ADD|SUB)\d+|VRCP|VRSQRT|MXCSR|VPDPWSSDS|VPADDS|VPDPB`).Find(committed); bad != nil {
		t.Errorf("ints_amd64.s has %s: the twins must round, and wrap, as package generic does", bad)
	}
	for _, routine := range bytes.Split(committed, []byte("\nTEXT ·"))[1:] {
		vnni := bytes.Contains(routine, []byte("VPDPWSSD"))
		if name, _, _ := bytes.Cut(routine, []byte("(")); vnni != (string(name) == "intTile512") {
			t.Errorf("%s: VNNI %v", name, vnni)
		}
	}
	for _, need := range regexp.MustCompile(`// Requires: (.*)\nTEXT ·(\w+)`).FindAllSubmatch(committed, -1) {
		allowed := `^(AVX|AVX2|SSE2)$`
		if name := string(need[2]); bytes.Contains(need[2], []byte("512")) {
			allowed = `^(AVX|AVX2|AVX512F|AVX512BW|AVX512VL|BMI2|SSE2)$`
			if name == "intTile512" {
				allowed = `^(AVX|AVX512F|AVX512BW|AVX512VNNI)$`
			}
		}
		for _, feature := range bytes.Split(need[1], []byte(", ")) {
			if !regexp.MustCompile(allowed).Match(feature) {
				t.Errorf("%s needs %s", need[2], feature)
			}
		}
	}
	if testing.Short() {
		t.Skip("the rest builds the generator")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	run := exec.Command("go", "run", "./ints", "-out", path("ints_amd64.s"), "-stubs", path("ints_amd64.go"), "-pkg", "amd64")
	run.Dir = "../_gen"
	run.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off")
	if out, err := run.CombinedOutput(); err != nil {
		t.Skipf("the generator does not run here, perhaps for want of its modules: %v\n%s", err, out)
	}
	for _, name := range []string{"ints_amd64.s", "ints_amd64.go"} {
		got, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// The first line names the command with its paths.
		_, got, _ = bytes.Cut(got, []byte("\n"))
		_, want, _ = bytes.Cut(want, []byte("\n"))
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes: go generate ./ternary/kernel/amd64", name)
		}
	}
}
