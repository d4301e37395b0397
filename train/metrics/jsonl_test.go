package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"mmfree/checkpoints/durable"
)

func TestLineJSON(t *testing.T) {
	for _, tc := range []struct {
		name string
		line Line
		want string
	}{
		{
			"plain",
			Line{Step: 3, Tokens: 4096, Loss: 1.0 / 3, LR: 3e-7, GradNorm: 1e21, TokensPerSecond: 1234.5, Seconds: 2},
			`{"step":3,"tokens":4096,"loss":0.3333333333333333,"lr":3e-07,"grad_norm":1e+21,"tokens_per_second":1234.5,` +
				`"seconds":2,"skipped_steps":0,"rss_bytes":0}`,
		},
		{
			"evaluated",
			Line{Evaluated: true, ValLoss: 0, ValBitsPerByte: 2.5, SkippedSteps: 1, RSSBytes: 1 << 40},
			`{"step":0,"tokens":0,"loss":0,"lr":0,"grad_norm":0,"tokens_per_second":0,"seconds":0,` +
				`"val_loss":0,"val_bits_per_byte":2.5,"skipped_steps":1,"rss_bytes":1099511627776}`,
		},
		{
			"not finite",
			Line{Loss: math.NaN(), GradNorm: math.Inf(1), Evaluated: true, ValLoss: math.Inf(-1), ValBitsPerByte: math.NaN()},
			`{"step":0,"tokens":0,"loss":null,"lr":0,"grad_norm":null,"tokens_per_second":0,"seconds":0,` +
				`"val_loss":null,"val_bits_per_byte":null,"skipped_steps":0,"rss_bytes":0}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := json.Marshal(tc.line)
			if err != nil || string(got) != tc.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
}

func TestLineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		finite := func(name string) float64 { return rapid.Float64().Draw(t, name) }
		want := Line{
			Step: rapid.Int64().Draw(t, "step"), Tokens: rapid.Int64().Draw(t, "tokens"), Loss: finite("loss"), LR: finite("lr"),
			GradNorm: math.NaN(), TokensPerSecond: finite("rate"), Seconds: finite("seconds"),
			SkippedSteps: rapid.Int64().Draw(t, "skipped"), RSSBytes: rapid.Int64().Draw(t, "rss"),
		}
		if rapid.Bool().Draw(t, "evaluated") {
			want.Evaluated, want.ValLoss, want.ValBitsPerByte = true, finite("val"), math.NaN()
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Line
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
	})
}

func write(t *testing.T, w *Writer, steps ...int64) {
	t.Helper()
	for _, s := range steps {
		if err := w.Append(Line{Step: s, Loss: 1 / float64(s)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func steps(t *testing.T, path string) string {
	t.Helper()
	lines, warning, err := Read(durable.OS{}, path)
	if err != nil || warning != "" {
		t.Fatal(warning, err)
	}
	var steps []int64
	for _, l := range lines {
		steps = append(steps, l.Step)
	}
	return fmt.Sprint(steps)
}

// resume opens a file in which nothing is damaged.
func resume(t *testing.T, path string, step int64) *Writer {
	t.Helper()
	w, warning, err := Resume(durable.OS{}, path, step)
	if err != nil || warning != "" {
		t.Fatal(warning, err)
	}
	return w
}

func TestResume(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "metrics.jsonl")
	write(t, resume(t, path, 0), 10, 20, 30)
	write(t, resume(t, path, 20), 25, 35)
	if got := steps(t, path); got != "[10 20 25 35]" {
		t.Errorf("after resuming at 20: %s", got)
	}
	write(t, resume(t, path, 0))
	if got := steps(t, path); got != "[]" {
		t.Errorf("after resuming at 0: %s", got)
	}
	write(t, resume(t, filepath.Join(folder, "new.jsonl"), 5), 6)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A file cut at any byte can be read and resumed, and whole lines are never lost.
func TestTornEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	write(t, resume(t, path, 0), 1, 2)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(whole, '\n')
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		want := "[]"
		switch {
		case cut >= len(whole)-1: // all but perhaps the line end
			want = "[1 2]"
		case cut >= first:
			want = "[1]"
		}
		if got := steps(t, path); got != want {
			t.Fatalf("cut at %d: read %s, want %s", cut, got, want)
		}
		write(t, resume(t, path, 2), 3)
		if got, want := steps(t, path), strings.ReplaceAll(want[:len(want)-1]+" 3]", "[ ", "["); got != want {
			t.Fatalf("cut at %d: resumed as %s, want %s", cut, got, want)
		}
	}
}

func TestDamagedLines(t *testing.T) {
	good := `{"step":1}` + "\n"
	for _, tc := range []struct {
		name, text, want string
	}{
		{"not JSON", good + "step 2\n" + good, ":2: invalid character"},
		{"empty line", good + "\n" + good, ":2: unexpected end"},
		{"no step", `{"loss":1}` + "\n", ":1: no key step"},
		{"a list", "[]\n", ":1: json: cannot unmarshal array"},
		{"wrong type", `{"step":1,"loss":"x"}` + "\n", ":1: json: cannot unmarshal string"},
		{"endless line", good + strings.Repeat("x", maxLine+1), ":2: a line of more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metrics.jsonl")
			if err := os.WriteFile(path, []byte(tc.text), 0o644); err != nil {
				t.Fatal(err)
			}
			whole := strings.Count(tc.text, good)
			lines, warning, err := Read(durable.OS{}, path)
			if err != nil || len(lines) != whole || !strings.Contains(warning, tc.want) {
				t.Errorf("%d lines, warning %q, %v; want %q", len(lines), warning, err, tc.want)
			}
			// A run that goes on keeps what can be read, and says what not.
			w, warning, err := Resume(durable.OS{}, path, 1)
			if err != nil || !strings.Contains(warning, tc.want) {
				t.Fatalf("resuming warns %q, %v; want %q", warning, err, tc.want)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != strings.Repeat(good, whole) {
				t.Errorf("resumed as %q, %v", after, err)
			}
		})
	}
	if _, _, err := Read(durable.OS{}, filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func FuzzScan(f *testing.F) {
	text, err := json.Marshal(Line{Step: 7, Evaluated: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(text, '\n'))
	f.Add([]byte("{\"step\":1}\n{\"st"))
	f.Add([]byte("{\"step\":1,\"loss\":null,\"val_loss\":1e308}\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		kept := 0
		warning, err := scan(text, "fuzz", func(l Line, line []byte) {
			kept++
			if _, err := json.Marshal(l); err != nil {
				t.Fatalf("%s was read and cannot be written: %v", line, err)
			}
		})
		if ends := bytes.Count(text, []byte("\n")); kept < ends && warning == "" || kept > ends+1 {
			t.Fatalf("%d lines of %d, warning %q", kept, ends, warning)
		}
		if err != nil && !errors.Is(err, ErrMetrics) {
			t.Fatal(err)
		}
	})
}
