package repro

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/train"
)

func machine(t *testing.T) train.Machine {
	t.Helper()
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return train.Machine{Set: set, Pool: pool}
}

// text writes a text of a few sentences, said again and again.
func text(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "The %d rivers run to the sea, and the sea is not full.\n", i*i%97)
	}
	path := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func request(t *testing.T, dir string, ids ...string) Request {
	return Request{IDs: ids, Budget: Test, Corpus: []string{text(t)}, Dir: dir, Seed: 1, Machine: machine(t)}
}

// The whole engine: everything runs, the report is whole, and nothing that is finished runs again.
func TestStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	r := request(t, dir)
	var runs int
	r.Hooks.Run = func(string) { runs++ }
	r.Hooks.Begin = func(e *Experiment) {
		rules, err := os.ReadFile(filepath.Join(dir, RulesFile))
		if err != nil || !strings.Contains(string(rules), e.Rule) || !strings.Contains(string(rules), e.Claim) {
			t.Errorf("%s begins before its rule is stated: %v", e.ID, err)
		}
	}
	report, err := Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Tables) != len(Experiments()) || runs == 0 {
		t.Fatalf("%d tables of %d runs", len(report.Tables), runs)
	}
	markdown, err := os.ReadFile(filepath.Join(dir, ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range report.Tables {
		if len(table.Rows) == 0 || table.Because == "" || table.Rule == "" || table.Verdict != Confirmed && table.Verdict != Contradicted && table.Verdict != Inconclusive {
			t.Errorf("%s: %+v", table.ID, table)
		}
		ours, papers, zeros := 0, 0, 0
		for _, row := range table.Rows {
			if strings.HasPrefix(row.Metric, "scores that are 0") && row.Ours > 0 && row.Ours < 1 {
				zeros++
			}
			if !math.IsNaN(float64(row.Ours)) {
				ours++
			}
			if !math.IsNaN(float64(row.Paper)) {
				papers++
			}
		}
		if ours == 0 || papers == 0 {
			t.Errorf("%s: %d figures of ours, %d of the paper's", table.ID, ours, papers)
		}
		if table.ID == "R3" && zeros != 4 { // three rates with a softmax, one without
			t.Errorf("R3: %d shares of zero scores", zeros)
		}
		for _, name := range table.Plots {
			f, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := png.Decode(f); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			f.Close()
			if !strings.Contains(string(markdown), name) {
				t.Errorf("%s is not in the report", name)
			}
		}
		for _, run := range table.Runs {
			if _, err := os.Stat(filepath.Join(dir, run, runFile)); err != nil {
				t.Error(err)
			}
		}
	}

	runs = 0
	again, err := Start(t.Context(), r)
	if err != nil || runs != 0 {
		t.Fatalf("%d runs were repeated, %v", runs, err)
	}
	for i := range again.Tables {
		again.Tables[i].Seconds = report.Tables[i].Seconds
	}
	if got, want := fmt.Sprint(again.Tables), fmt.Sprint(report.Tables); got != want {
		t.Errorf("the tables changed:\n%s\n%s", got, want)
	}

	r.Seed = 2
	if _, err := Start(t.Context(), r); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another seed in the same folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ReportFile)); err != nil {
		t.Error(err)
	}
}

// A report that was stopped in the middle of a run comes to the same figures.
func TestStopped(t *testing.T) {
	whole := request(t, filepath.Join(t.TempDir(), "whole"), "r4")
	want, err := Start(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	stopped := whole
	stopped.Dir = filepath.Join(t.TempDir(), "stopped")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	stopped.Hooks.Step = func(train.Progress) {
		if steps++; steps == 6 { // in the second run
			cancel()
		}
	}
	if _, err := Start(ctx, stopped); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped: %v", err)
	}
	stopped.Hooks.Step = nil
	got, err := Start(t.Context(), stopped)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := fmt.Sprint(got.Tables[0].Rows), fmt.Sprint(want.Tables[0].Rows); g != w {
		t.Errorf("stopped and continued:\n%s\nnever stopped:\n%s", g, w)
	}
}

func TestStartRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *Request)
		class  error
	}{
		"no such experiment": {func(r *Request) { r.IDs = []string{"R99"} }, train.ErrConfig},
		"a foreign folder": {func(r *Request) {
			r.Dir = t.TempDir()
			if err := os.WriteFile(filepath.Join(r.Dir, "mine.txt"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, fs.ErrExist},
		"a damaged setting": {func(r *Request) {
			if err := os.WriteFile(filepath.Join(r.Dir, settingFile), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, train.ErrInput},
	} {
		r := request(t, t.TempDir(), "R4")
		c.change(&r)
		if _, err := Start(t.Context(), r); !errors.Is(err, c.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A table written by hand decides whether a rule's noise is what rules.md says.
func TestDifference(t *testing.T) {
	for name, c := range map[string]struct {
		a, b   sample
		margin float64
		above  bool
	}{
		"one seed each":      {sample{1.06}, sample{1}, 2 * math.Sqrt2 * 0.02, true},
		"one seed, near":     {sample{1.05}, sample{1}, 2 * math.Sqrt2 * 0.02, false},
		"three alike":        {sample{1.1, 1.1, 1.1}, sample{1, 1, 1}, 2 * math.Sqrt(2*0.01*0.01/3), true},
		"three far apart":    {sample{0.9, 1.1, 1.3}, sample{1, 1, 1}, 2 * math.Sqrt(0.04/3+0.0001/3), false},
		"below is not above": {sample{1}, sample{2}, 2 * math.Sqrt2 * 0.02, false},
	} {
		d := less(c.a, c.b)
		if math.Abs(d.margin-c.margin) > 1e-12 || d.above() != c.above {
			t.Errorf("%s: %+v, want margin %v", name, d, c.margin)
		}
	}
}

func TestFits(t *testing.T) {
	x := []float64{12, 13, 14, 15, 16}
	var straight, bent []float64
	for _, v := range x {
		straight = append(straight, 9.673-0.3504*v)
		bent = append(bent, 1.2+math.Pow(10, 2-0.2*v))
	}
	l := fitLine(x, straight)
	if math.Abs(l.Slope+0.3504) > 1e-9 || math.Abs(l.Intercept-9.673) > 1e-9 {
		t.Errorf("line %+v", l)
	}
	p := fitPower(x, bent)
	for i := range x {
		if math.Abs(p.at(x[i])-bent[i]) > 0.002 {
			t.Errorf("power law %+v at %v: %v, want %v", p, x[i], p.at(x[i]), bent[i])
		}
	}
	// The paper's own lines cross at about 7.5e22.
	if c := crossing(line{9.673, -0.3504}, line{7.797, -0.2684}); math.Abs(c-22.878) > 0.01 {
		t.Errorf("crossing at 10^%v", c)
	}
	low, high := interval([]float64{5, 1, 2, math.NaN(), 3, 4}, 0.5)
	if low != 2 || high != 4 {
		t.Errorf("interval %v to %v", low, high)
	}
}

func TestNumber(t *testing.T) {
	for _, want := range []Number{1.5, none()} {
		text, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got Number
		if err := got.UnmarshalJSON(text); err != nil || !reflect.DeepEqual(fmt.Sprint(got), fmt.Sprint(want)) {
			t.Errorf("%v became %s, then %v", want, text, got)
		}
	}
}

// TestBigramEntropy: nothing where each token follows from the last one, ln 2 where two follow it equally often, and what
// sums over a table of counts say otherwise.
func TestBigramEntropy(t *testing.T) {
	if got := bigramEntropy([]int32{1, 2, 3, 1, 2, 3, 1}); got != 0 {
		t.Errorf("a cycle: %v nats, want 0", got)
	}
	if got := bigramEntropy([]int32{0, 0, 1, 1, 0}); math.Abs(got-math.Ln2) > 1e-12 { // 00, 01, 11, 10
		t.Errorf("two equal ways each: %v nats, want ln 2", got)
	}
	if got := bigramEntropy([]int32{5}); !math.IsNaN(got) {
		t.Errorf("one token: %v, want NaN", got)
	}
	ids := make([]int32, 5000)
	for i := range ids {
		ids[i] = int32(i * i % 97 % 7)
	}
	pairs, first := map[[2]int32]float64{}, map[int32]float64{}
	for i := range ids[1:] {
		pairs[[2]int32{ids[i], ids[i+1]}]++
		first[ids[i]]++
	}
	var want float64
	for p, n := range pairs {
		want -= n / float64(len(ids)-1) * math.Log(n/first[p[0]])
	}
	if got := bigramEntropy(ids); math.Abs(got-want) > 1e-9 {
		t.Errorf("got %v nats, the table says %v", got, want)
	}
}
