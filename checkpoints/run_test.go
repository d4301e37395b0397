package checkpoints_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/durable/faults"
	"mmfree/checkpoints/hf"
	"mmfree/ternary/spec"
)

func config() spec.Config {
	c := spec.Default()
	c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = 7, 4, 1, 6
	return c
}

// parts returns the parts of a step, every value a function of it.
func parts(t testing.TB, step int) checkpoints.Parts {
	t.Helper()
	w, err := spec.NewWeights(config())
	must(t, err)
	w.Init(uint64(step))
	m, v := w.Like(), w.Like()
	m.Init(uint64(step) + 1000)
	v.Init(uint64(step) + 2000)
	return checkpoints.Parts{
		Weights:   w,
		Optimizer: append(checkpoints.Moments("exp_avg", m), checkpoints.Moments("exp_avg_sq", v)...),
		State:     fmt.Appendf(nil, "{\"step\":%d}\n", step),
		Tokenizer: []byte(`{"version":"1.0"}`),
	}
}

// load restores a folder into fresh parts.
func load(dir string) (p checkpoints.Parts, err error) {
	if p.Weights, err = spec.NewWeights(config()); err != nil {
		return p, err
	}
	p.Optimizer = append(checkpoints.Moments("exp_avg", p.Weights.Like()), checkpoints.Moments("exp_avg_sq", p.Weights.Like())...)
	return p, checkpoints.LoadParts(dir, &p)
}

// differ says how two parts differ, or nothing.
func differ(a, b checkpoints.Parts) string {
	same := func(x, y []float32) bool {
		return slices.EqualFunc(x, y, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
	}
	if !same(a.Weights.Flat(), b.Weights.Flat()) {
		return "weights"
	}
	for i := range a.Optimizer {
		if a.Optimizer[i].Name != b.Optimizer[i].Name || !same(a.Optimizer[i].Values, b.Optimizer[i].Values) {
			return a.Optimizer[i].Name
		}
	}
	if !bytes.Equal(a.State, b.State) || !bytes.Equal(a.Tokenizer, b.Tokenizer) {
		return "state or tokenizer"
	}
	return ""
}

// savedRun returns a run folder with these steps.
func savedRun(t testing.TB, steps ...int) (*checkpoints.Run, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	r, err := checkpoints.OpenRun(&faults.FS{}, dir)
	must(t, err)
	for _, s := range steps {
		at, err := r.Save(s, parts(t, s))
		must(t, err)
		if at != stepDir(dir, s) {
			t.Fatalf("Save says %s", at)
		}
	}
	return r, dir
}

func stepDir(run string, step int) string {
	return filepath.Join(run, "checkpoints", fmt.Sprintf("step-%d", step))
}

func TestSaveAndLoad(t *testing.T) {
	r, dir := savedRun(t, 0, 5, 10)
	c, warnings, err := checkpoints.Newest(dir)
	must(t, err)
	if c.Step != 10 || c.Dir != stepDir(dir, 10) || len(warnings) != 0 {
		t.Fatalf("newest is %v, warnings %q", c, warnings)
	}
	got, err := load(c.Dir)
	must(t, err)
	if d := differ(parts(t, 10), got); d != "" {
		t.Errorf("%s differs", d)
	}
	names := slices.Sorted(maps.Keys(listing(t, c.Dir)))
	want := []string{"config.json", "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json"}
	if !slices.Equal(names, want) {
		t.Errorf("the folder holds %v, want %v", names, want)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "checkpoints", "latest")); string(text) != "step-10\n" {
		t.Errorf("latest is %q", text)
	}
	// A checkpoint is a Hugging Face folder too.
	w, info, err := hf.Load(c.Dir)
	must(t, err)
	if !slices.Equal(w.Flat(), got.Weights.Flat()) || string(info.Side["tokenizer.json"]) != string(got.Tokenizer) {
		t.Error("read as a Hugging Face folder it differs")
	}
	// The same step again replaces it.
	p := parts(t, 77)
	if _, err := r.Save(10, p); err != nil {
		t.Fatal(err)
	}
	got, err = load(stepDir(dir, 10))
	must(t, err)
	if d := differ(p, got); d != "" {
		t.Errorf("after replacing: %s differs", d)
	}
	if _, err := r.Save(-1, p); !errors.Is(err, checkpoints.ErrCheckpoint) {
		t.Errorf("step -1: %v", err)
	}
}

func TestSaveIsDeterministic(t *testing.T) {
	_, a := savedRun(t, 3)
	b := filepath.Join(t.TempDir(), "run")
	r, err := checkpoints.OpenRun(durable.OS{}, b) // the real file system, once
	must(t, err)
	if _, err := r.Save(3, parts(t, 3)); err != nil {
		t.Fatal(err)
	}
	for name := range listing(t, stepDir(a, 3)) {
		x, err1 := os.ReadFile(filepath.Join(stepDir(a, 3), name))
		y, err2 := os.ReadFile(filepath.Join(stepDir(b, 3), name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs (%v)", name, err)
		}
	}
}

// Checkpoints of manifests of version 1, with SHA-256, are compared as before.
func TestManifestVersion1(t *testing.T) {
	_, dir := savedRun(t, 1)
	folder := stepDir(dir, 1)
	path := filepath.Join(folder, "manifest.json")
	var m checkpoints.Manifest
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(text, &m))
	m.Version = 1
	for name, f := range m.Files {
		data, err := os.ReadFile(filepath.Join(folder, name))
		must(t, err)
		m.Files[name] = checkpoints.ManifestFile{Bytes: f.Bytes, SHA256: fmt.Sprintf("%x", sha256.Sum256(data))}
	}
	text, err = json.Marshal(m)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o644))
	if _, err := checkpoints.Verify(folder); err != nil {
		t.Error(err)
	}
	state := filepath.Join(folder, "state.json")
	data, err := os.ReadFile(state)
	must(t, err)
	data[0] ^= 1
	must(t, os.WriteFile(state, data, 0o644))
	if _, err := checkpoints.Verify(folder); err == nil || !strings.Contains(err.Error(), "state.json") {
		t.Errorf("a flipped bit: %v", err)
	}
}

// TestDamageIsNamed damages each file of the newest checkpoint in four ways: the one before is found, with a warning
// that names the file.
func TestDamageIsNamed(t *testing.T) {
	_, dir := savedRun(t, 1, 2)
	newest := stepDir(dir, 2)
	for name := range listing(t, newest) {
		path := filepath.Join(newest, name)
		whole, err := os.ReadFile(path)
		must(t, err)
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 0x10
		for what, damage := range map[string]func() error{
			"flipped": func() error { return os.WriteFile(path, flipped, 0o644) },
			"cut":     func() error { return os.WriteFile(path, whole[:len(whole)-1], 0o644) },
			"empty":   func() error { return os.WriteFile(path, nil, 0o644) },
			"gone":    func() error { return os.Remove(path) },
		} {
			if name == "manifest.json" && what == "cut" {
				continue // its last byte is a newline: still whole
			}
			must(t, damage())
			_, verr := checkpoints.Verify(newest)
			c, warnings, err := checkpoints.Newest(dir)
			text := strings.Join(warnings, "\n")
			// A flipped byte of the manifest may spoil the sum of any file.
			if err != nil || c.Step != 1 || verr == nil || !strings.Contains(text, filepath.Join("step-2", name)) && !(name == "manifest.json" && what == "flipped") {
				t.Errorf("%s %s: newest is %v, error %v, warnings %q, Verify %v", name, what, c, err, warnings, verr)
			}
			must(t, os.WriteFile(path, whole, 0o644))
		}
	}
	if c, warnings, err := checkpoints.Newest(dir); err != nil || c.Step != 2 || len(warnings) != 0 {
		t.Errorf("restored: %v %v %v", c, warnings, err)
	}
}

func TestLatest(t *testing.T) {
	for _, c := range []struct {
		name    string
		content string // of latest; "-" = no such file
		steps   []int
		damaged []int
		want    int // −1 = an error
		warns   bool
	}{
		{"plain", "step-20\n", []int{5, 10, 20}, nil, 20, false},
		{"set back to an earlier step", "step-10", []int{5, 10, 20}, nil, 10, false},
		{"missing", "-", []int{5, 10, 20}, nil, 20, true},
		{"not a step", "rubbish", []int{5, 10, 20}, nil, 20, true},
		{"padded number", "step-010", []int{5, 10, 20}, nil, 20, true},
		{"leads outside", "../../x", []int{5}, nil, 5, true},
		{"names no folder", "step-15", []int{5, 10, 20}, nil, 10, true},
		{"damaged", "step-20", []int{5, 10, 20}, []int{20}, 10, true},
		{"two damaged", "step-20", []int{5, 10, 20}, []int{20, 10}, 5, true},
		{"only a later one is whole", "step-5", []int{5, 10, 20}, []int{5}, 20, true},
		{"all damaged", "step-5", []int{5, 10}, []int{5, 10}, -1, true},
		{"none", "-", nil, nil, -1, false},
	} {
		_, dir := savedRun(t, c.steps...)
		latest := filepath.Join(dir, "checkpoints", "latest")
		if c.content == "-" {
			must(t, os.RemoveAll(latest))
		} else {
			must(t, os.WriteFile(latest, []byte(c.content), 0o644))
		}
		for _, s := range c.damaged {
			must(t, os.Truncate(filepath.Join(stepDir(dir, s), "model.safetensors"), 100))
		}
		got, warnings, err := checkpoints.Newest(dir)
		if (err != nil) != (c.want < 0) || err == nil && got.Step != c.want || (len(warnings) > 0) != c.warns {
			t.Errorf("%s: got %v %v, warnings %q; want %d", c.name, got, err, warnings, c.want)
		}
		if err != nil && (!errors.Is(err, checkpoints.ErrCheckpoint) || len(c.damaged) > 0 && !strings.Contains(err.Error(), "model.safetensors")) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func TestLoadPartsRefuses(t *testing.T) {
	_, dir := savedRun(t, 1)
	fresh := func() checkpoints.Parts {
		w, err := spec.NewWeights(config())
		must(t, err)
		return checkpoints.Parts{Weights: w, Optimizer: append(checkpoints.Moments("exp_avg", w.Like()), checkpoints.Moments("exp_avg_sq", w.Like())...)}
	}
	other := func(change func(*spec.Config)) *spec.Weights {
		c := config()
		change(&c)
		w, err := spec.NewWeights(c)
		must(t, err)
		return w
	}
	for _, c := range []struct {
		name   string
		change func(p *checkpoints.Parts)
		want   string
	}{
		{"another width", func(p *checkpoints.Parts) { p.Weights = other(func(c *spec.Config) { c.HiddenSize = 8 }) }, "hidden_size is 8 here and 4 there"},
		{"another rounding", func(p *checkpoints.Parts) {
			p.Weights = other(func(c *spec.Config) { c.ActivationRounding = spec.HalfAway })
		}, "activation_rounding"},
		{"a moment more", func(p *checkpoints.Parts) {
			p.Optimizer = append(p.Optimizer, checkpoints.NamedTensor{Name: "more", Shape: []int{1}, Values: make([]float32, 1)})
		}, "more is missing"},
		{"a moment less", func(p *checkpoints.Parts) { p.Optimizer = p.Optimizer[1:] }, "is not expected"},
		{"a moment's shape", func(p *checkpoints.Parts) { p.Optimizer[0].Shape = []int{28} }, "not F32 [28]"},
	} {
		p := fresh()
		c.change(&p)
		err := checkpoints.LoadParts(stepDir(dir, 1), &p)
		if !errors.Is(err, checkpoints.ErrCheckpoint) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		for _, v := range p.Weights.Flat() {
			if v != 0 || p.State != nil {
				t.Fatalf("%s: refused, yet something was changed", c.name)
			}
		}
	}
	p := fresh()
	p.Optimizer = nil
	if err := checkpoints.LoadParts(stepDir(dir, 1), &p); err != nil || !slices.Equal(p.Weights.Flat(), parts(t, 1).Weights.Flat()) {
		t.Errorf("weights only: %v", err)
	}
	p.Weights.Config.Extra = map[string]json.RawMessage{"torch_dtype": json.RawMessage(`"float32"`)}
	if err := checkpoints.LoadParts(stepDir(dir, 1), &p); err != nil {
		t.Errorf("a field without meaning: %v", err)
	}
	must(t, os.Remove(filepath.Join(stepDir(dir, 1), "optimizer.safetensors")))
	q := fresh()
	if err := checkpoints.LoadParts(stepDir(dir, 1), &q); !errors.Is(err, checkpoints.ErrCheckpoint) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("optimizer gone: %v", err)
	}
}

func TestRetainAndBest(t *testing.T) {
	r, dir := savedRun(t, 1, 2, 3, 4, 5)
	if _, _, ok := r.Best(); ok {
		t.Error("a best from nothing")
	}
	for _, c := range []struct {
		step int
		loss float64
		want bool
	}{{2, 3.5, true}, {3, 3.5, false}, {3, math.NaN(), false}, {4, 3.6, false}, {1, 3.25, true}, {2, math.Inf(1), false}} {
		if got, err := r.MarkBest(c.step, c.loss); err != nil || got != c.want {
			t.Errorf("MarkBest(%d, %v) = %v, %v", c.step, c.loss, got, err)
		}
	}
	if _, err := r.MarkBest(9, 0); !errors.Is(err, checkpoints.ErrCheckpoint) {
		t.Errorf("a step that is not saved: %v", err)
	}
	if c, loss, ok := r.Best(); !ok || c.Step != 1 || loss != 3.25 || c.Dir != stepDir(dir, 1) {
		t.Errorf("Best: %v %v %v", c, loss, ok)
	}
	must(t, r.Retain(2))
	if got := steps(t, dir); got != "step-1 step-4 step-5" {
		t.Errorf("kept %q", got)
	}
	must(t, os.WriteFile(filepath.Join(dir, "checkpoints", "latest"), []byte("step-4\n"), 0o644)) // set back
	must(t, r.Retain(0))
	if got := steps(t, dir); got != "step-1 step-4 step-5" {
		t.Errorf("set back, kept %q", got)
	}
	must(t, os.Remove(filepath.Join(dir, "checkpoints", "latest")))
	must(t, r.Retain(1))
	if got := steps(t, dir); got != "step-1 step-4 step-5" {
		t.Errorf("without latest, kept %q", got)
	}
	must(t, os.RemoveAll(stepDir(dir, 1)))
	if _, _, ok := r.Best(); ok {
		t.Error("the best is gone and still named")
	}
	if got, err := r.MarkBest(4, 9); err != nil || !got {
		t.Errorf("a new best after the old one is gone: %v %v", got, err)
	}
}

// steps lists the names beginning with step- in checkpoints/, temporaries included.
func steps(t *testing.T, dir string) string {
	var out []string
	for name := range listing(t, filepath.Join(dir, "checkpoints")) {
		if strings.HasPrefix(name, "step-") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestEveryFault runs a life of a run folder with a fault at each of its calls in turn, refused, killed and with the
// power cut. Afterwards the next process always finds a whole checkpoint at least as new as the last one that Save
// confirmed, loads exactly what was saved, finds no temporaries, and can go on.
func TestEveryFault(t *testing.T) {
	want := map[int]checkpoints.Parts{}
	for _, s := range []int{1, 2, 3} {
		want[s] = parts(t, s)
	}
	again := parts(t, 22) // what step 2 is replaced by
	for _, mode := range []faults.Mode{faults.ErrNoSpace, faults.Kill, faults.PowerCut} {
		if testing.Short() && mode != faults.PowerCut {
			continue
		}
		for n := 1; ; n++ {
			dir := filepath.Join(t.TempDir(), "run")
			fsys := &faults.FS{FailAt: n, Mode: mode, Seed: uint64(n % 3)} // 0: nothing unsynced is left
			confirmed := 0
			if r, err := checkpoints.OpenRun(fsys, dir); err == nil {
				save := func(step int, p checkpoints.Parts) {
					if _, err := r.Save(step, p); err == nil {
						confirmed = step
					} else if mode == faults.ErrNoSpace && !errors.Is(err, durable.ErrWrite) {
						t.Fatalf("call %d: error %v is not of class ErrWrite", n, err)
					}
				}
				save(1, want[1])
				_, _ = r.MarkBest(1, 2)
				save(2, want[2])
				_, _ = r.MarkBest(2, 1)
				_ = r.Retain(1)
				save(2, again)
				save(3, want[3])
			}
			must(t, fsys.Crash())

			fail := func(format string, args ...any) {
				t.Helper()
				t.Fatalf("mode %d, call %d (%s), confirmed %d: %s", mode, n, fsys.Log[len(fsys.Log)-1], confirmed, fmt.Sprintf(format, args...))
			}
			r, err := checkpoints.OpenRun(&faults.FS{}, dir)
			must(t, err)
			for name := range listing(t, filepath.Join(dir, "checkpoints")) {
				if durable.IsTemp(name) {
					fail("temporary %s is left", name)
				}
			}
			c, warnings, err := checkpoints.Newest(dir)
			if confirmed > 0 || err == nil {
				if err != nil || c.Step < confirmed {
					fail("newest is %v, warnings %q, error %v", c, warnings, err)
				}
				got, err := load(c.Dir)
				if err != nil {
					fail("%v", err)
				}
				if d := differ(want[c.Step], got); d != "" && (c.Step != 2 || differ(again, got) != "") {
					fail("%s of step %d differs", d, c.Step)
				}
			}
			if best, _, ok := r.Best(); ok {
				if _, err := checkpoints.Verify(best.Dir); err != nil {
					fail("the best: %v", err)
				}
			}
			if _, err := r.Save(3, want[3]); err != nil {
				fail("cannot go on: %v", err)
			}
			if c, warnings, err := checkpoints.Newest(dir); err != nil || c.Step != 3 || len(warnings) != 0 {
				fail("after going on: %v %q %v", c, warnings, err)
			}
			if fsys.Calls < n {
				if confirmed != 3 {
					fail("no fault, yet not all is saved")
				}
				break
			}
		}
	}
}

func listing(t testing.TB, dir string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	out := map[string]bool{}
	for _, e := range entries {
		out[e.Name()] = true
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
