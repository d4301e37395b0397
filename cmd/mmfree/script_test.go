package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/kernel"
)

// TestMain lets the test binary be mmfree itself, so that scripts run the program's own main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mmfree": main})
}

// TestScripts runs testdata/script/VERB_*.txtar, a file a behaviour: what is typed, and what stdout, stderr and the
// exit code are then. Every script finds tiny.yaml, a model that trains in a blink, and text.txt to train it on.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			return writeTiny(env.WorkDir)
		},
		Condition: func(name string) (bool, error) { // [isa:NAME]: this machine can run that set of kernels
			isa, ok := strings.CutPrefix(name, "isa:")
			if !ok {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return slices.ContainsFunc(kernel.Available(), func(s *kernel.Set) bool { return s.Name == isa }), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "fails": fails, "json": jsonHas, "whole": whole, "flip": flip, "cut": cut, "lines": lines, "examples": examples,
		},
	})
}

const tinyConfig = `model: {hidden_size: 16, num_hidden_layers: 1, intermediate_size: 24}
data: {seq_len: 16, batch_size: 2}
train: {steps: 4, warmup_steps: 1, log_every: 1, eval_every: 0, save_every: 2}
sample: {tokens: 4}
`

// writeTiny puts a configuration and a text into dir.
func writeTiny(dir string) error {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "%d green bottles hanging on the wall.\n", i*i%97)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "tiny.yaml"), []byte(tinyConfig), 0o644),
		os.WriteFile(filepath.Join(dir, "text.txt"), []byte(text.String()), 0o644))
}

// exits runs "exits CODE PROGRAM ARG..." and demands that exit code; a script's own "! exec" takes any but 0.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	if got := exitCode(ts, args[1:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%q exits with %d, want %s", args[1:], got, args[0])
	}
}

func exitCode(ts *testscript.TestScript, command []string) int {
	err := ts.Exec(command[0], command[1:]...)
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		ts.Fatalf("%q: %v", command, err)
	}
	return exit.ExitCode()
}

// fails runs "fails CODE VERB PROBLEM HINT PROGRAM ARG..." and demands that exit code, nothing on stdout, and on stderr,
// behind progress and warnings, the two lines that the contract promises: "mmfree: VERB: …" and what to do, each
// matched by its regular expression.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 5 {
		ts.Fatalf("usage: fails CODE VERB PROBLEM HINT PROGRAM ARG...")
	}
	if got := exitCode(ts, args[4:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exits with %d, want %s", got, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is not empty: %q", out)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	for len(lines) > 0 && !strings.HasPrefix(lines[0], "mmfree: ") {
		if args[0] == "2" && !strings.HasPrefix(lines[0], "warning: ") && args[1] != "train" {
			ts.Fatalf("%q stands before the error", lines[0])
		}
		lines = lines[1:]
	}
	want := "^mmfree: " + regexp.QuoteMeta(args[1]) + ": .*(?:" + args[2] + ")"
	switch {
	case len(lines) < 2 || len(lines)%2 != 0:
		ts.Fatalf("%d lines of error, want two for each", len(lines))
	case !regexp.MustCompile(want).MatchString(lines[0]):
		ts.Fatalf("%q does not match %q", lines[0], want)
	case !regexp.MustCompile(args[3]).MatchString(lines[1]):
		ts.Fatalf("hint %q does not match %q", lines[1], args[3])
	}
}

// jsonHas runs "json FILE PATH PATTERN": FILE holds exactly one JSON object on one line, and what lies at PATH
// (verify.identical, tensors.0.name) matches the regular expression as a whole, as JSON.
func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH PATTERN")
	}
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 {
		ts.Fatalf("%d lines, want one", strings.Count(text, "\n"))
	}
	got, err := jsonAt([]byte(text), args[1])
	ts.Check(err)
	if regexp.MustCompile("^(?:"+args[2]+")$").MatchString(got) == neg {
		ts.Fatalf("%s is %s, want %s (negated: %t)", args[1], got, args[2], neg)
	}
}

func jsonAt(text []byte, path string) (string, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "", err
	}
	for _, key := range strings.Split(path, ".") {
		ok := false
		switch x := v.(type) {
		case map[string]any:
			v, ok = x[key]
		case []any:
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(x) {
				v, ok = x[i], true
			}
		}
		if !ok {
			return "", fmt.Errorf("%s: there is no %q", path, key)
		}
	}
	out, err := json.Marshal(v)
	return string(out), err
}

// whole demands that nothing unfinished lies below the folders: no temporary names.
func whole(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && (durable.IsTemp(path) || strings.HasPrefix(d.Name(), ".") && d.Name() != "." && d.Name() != ".tmp") {
				return fmt.Errorf("%s was left behind", path)
			}
			return err
		}))
	}
}

// flip changes the lowest bit of FILE's byte at OFFSET, counted from the end where negative.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	change(ts, args, func(b []byte, n int) []byte { b[(n+len(b))%len(b)] ^= 1; return b })
}

// cut cuts N bytes from FILE's end.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	change(ts, args, func(b []byte, n int) []byte { return b[:len(b)-n] })
}

func change(ts *testscript.TestScript, args []string, how func(b []byte, n int) []byte) {
	if len(args) != 2 {
		ts.Fatalf("usage: COMMAND FILE N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path, how(b, n), 0o644))
}

// lines waits until FILE has N lines, which a command in the background writes.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && bytes.Count(text, []byte("\n")) >= n {
			return
		}
	}
	ts.Fatalf("%s has no %d lines", args[0], n)
}

// examples runs the example of every verb's help as a shell would, in the order of help, and demands success.
func examples(ts *testscript.TestScript, neg bool, args []string) {
	var each func(commands []*cli.Command)
	each = func(commands []*cli.Command) {
		for _, c := range commands {
			if c.Description != "" {
				ts.Logf("> %s", c.Description)
				if code := exitCode(ts, []string{"sh", "-c", c.Description}); code != 0 {
					ts.Fatalf("%s exits with %d", c.Description, code)
				}
			}
			each(c.Subcommands)
		}
	}
	each(verbs())
}
