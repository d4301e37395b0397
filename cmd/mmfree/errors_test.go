package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mmfree/autograd"
	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/hf"
	"mmfree/ternary/pack"
	"mmfree/train"
	"mmfree/train/metrics"
	"mmfree/train/verify"
)

// TestEveryClassHasARow reads the source for classes of errors, Err… of any package, and looks for each in errors.go, so
// that a class that is added is judged too.
func TestEveryClassHasARow(t *testing.T) {
	exempt := []string{
		"op.ErrNotFinite",  // autograd.ErrNotFinite is the same
		"faults.ErrKilled", // of tests
	}
	table, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	class := regexp.MustCompile(`(?m)^(?:var )?\s*(Err[A-Z]\w*)\s+= `)
	found := 0
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil // a neighbour's temporary file
		}
		for _, m := range class.FindAllSubmatch(text, -1) {
			name := filepath.Base(filepath.Dir(path)) + "." + string(m[1])
			found++
			if !strings.Contains(string(table), "{"+name+", ") && !strings.Contains(strings.Join(exempt, " "), name) {
				t.Errorf("%s: the class %s has no row in errors.go", path, name)
			}
		}
		return nil
	})
	if err != nil || found < 15 {
		t.Errorf("found %d classes, %v", found, err)
	}
}

// TestOutcomes holds what a caller may rely on: a wrong file is the request's fault, a failed run is not.
func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{&checkpoints.Error{Path: "p", Problem: "x", Cause: fs.ErrNotExist}, exitRequest},
		{&hf.FolderError{Path: "p", Problem: "x", Cause: fs.ErrPermission}, exitRequest},
		{&format.Error{Problem: "x"}, exitRequest},
		{&pack.Error{Problem: "x"}, exitRequest},
		{&metrics.Error{Problem: "x"}, exitRequest},
		{&train.InputError{Problem: "x"}, exitRequest},
		{fmt.Errorf("%w: x", autograd.ErrInput), exitRequest},
		{fmt.Errorf("step 3: %w", autograd.ErrNotFinite), exitFailed},
		{fmt.Errorf("%w: x", train.ErrDiverged), exitFailed},
		{&differentError{&verify.Report{First: &verify.Difference{}}}, exitDifferent},
		{&durable.WriteError{Path: "p", Err: fs.ErrPermission}, exitFailed},
		{&durable.WriteError{Path: "p", Err: fs.ErrNotExist}, exitFailed},
		{&durable.WriteError{Path: "p", Err: fs.ErrExist}, exitRequest},
		{errStopped, exitInterrupted},
		{errors.New("x"), exitFailed},
	} {
		if got := classify(tt.err); got.code != tt.want || got.fix == "" {
			t.Errorf("%T %v: exit code %d, want %d", tt.err, tt.err, got.code, tt.want)
		}
	}
}
