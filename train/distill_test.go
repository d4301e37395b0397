package train

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/kernel"
	"mmfree/train/metrics"
)

// taught is a request for a run that learns from a trained transformer, from its own first weights.
func taught(t *testing.T, changes ...string) Request {
	t.Helper()
	base := tiny(t, "model.arch=transformer", "model.hidden_size=20", "model.num_attention_heads=2", "train.steps=40")
	base.Bare = true
	mustStart(t, base)
	return tiny(t, append([]string{
		"data.corpus=" + base.Config.Data.Corpus[0], "distill.teacher=" + base.Dir, "distill.top_k=7", "model.hidden_size=20",
	}, changes...)...)
}

func teacherLosses(t *testing.T, r Request) (list []float64) {
	t.Helper()
	lines, _, err := metrics.Read(durable.OS{}, filepath.Join(r.Dir, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		list = append(list, float64(l.TeacherLoss))
	}
	return list
}

// TestDistil: a run comes nearer to its teacher, by either divergence and with hidden states; the teacher changes the model;
// a model is as far from itself as rounding takes it.
func TestDistil(t *testing.T) {
	r := taught(t, "train.steps=30")
	plain := tiny(t, "data.corpus="+r.Config.Data.Corpus[0], "model.hidden_size=20", "train.steps=30")
	plain.Bare = true
	mustStart(t, plain)
	for name, changes := range map[string][]string{
		"forward": {"distill.temperature=2"}, "reverse": {"distill.loss=reverse", "distill.top_k=1000"}, "hidden": {"distill.hidden=1"},
		"relations": {"distill.attention=1", "model.arch=bitnet", "model.num_attention_heads=2"},
	} {
		run := r
		run.Dir = filepath.Join(t.TempDir(), name)
		if err := run.Config.Set(changes...); err != nil {
			t.Fatal(err)
		}
		run.Bare = name != "forward"
		if got := mustStart(t, run); !run.Bare && !got.Verify.Identical {
			t.Errorf("%s: %+v", name, got.Verify)
		}
		list := teacherLosses(t, run)
		if first, last := list[0], list[len(list)-1]; len(list) != 30 || !(last < 0.8*first) || !(last > 0) {
			t.Errorf("%s: divergence %v at first, %v at last", name, first, last)
		}
		if model(t, run, "step-30") == model(t, plain, "step-30") {
			t.Errorf("%s: the model of a run without a teacher", name)
		}
	}
	self := tuned(t, Request{Dir: r.Config.Distill.Teacher}, "data.corpus="+r.Config.Data.Corpus[0], "distill.teacher="+r.Config.Distill.Teacher,
		"distill.top_k=1000", "train.warmup_steps=100")
	self.Bare = true
	got := mustStart(t, self)
	if list := teacherLosses(t, self); math.Abs(list[0]) > 1e-6 {
		t.Errorf("a model is %v from itself", list[0])
	}
	if f := got.FineTuned; f.Teacher == nil || *f.Teacher != r.Config.Distill.Teacher {
		t.Errorf("teacher %v", f.Teacher)
	}
}

// TestDistilCache: with a cache that is empty, full, cut short, damaged or half made by a run that was stopped the model has
// the same bits as without; a full one is read and not added to.
func TestDistilCache(t *testing.T) {
	r := taught(t)
	r.Bare = true
	mustStart(t, r)
	want := model(t, r, "step-12")
	cache := filepath.Join(t.TempDir(), "a", "targets")
	cached := func(name string, stopped, resume bool) Request {
		t.Helper()
		run := r
		run.Dir, run.Resume = filepath.Join(filepath.Dir(r.Dir), name), resume
		run.Config.Distill.Cache = cache
		if stopped {
			stopBehind(t, run, 5)
			return run
		}
		mustStart(t, run)
		if model(t, run, "step-12") != want {
			t.Errorf("%s: another model", name)
		}
		return run
	}
	read := func() []byte {
		t.Helper()
		b, err := os.ReadFile(cache)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	cached("stopped", true, false)
	half := len(read())
	cached("stopped", false, true)
	full := read()
	if half >= len(full) {
		t.Errorf("%d bytes half way, %d at the end", half, len(full))
	}
	cached("full", false, false)
	if !bytes.Equal(read(), full) {
		t.Error("a full cache was changed")
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(cache, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(full[:len(full)-5])
	cached("cut", false, false)
	if !bytes.Equal(read(), full) {
		t.Error("the record that was cut short was not made again")
	}
	damaged := slices.Clone(full)
	damaged[len(full)/2] ^= 1
	write(damaged)
	cached("damaged", false, false)

	write(full)
	for _, change := range []string{"distill.top_k=6", "distill.temperature=3", "train.seed=2", "data.seq_len=8"} {
		run := r
		run.Dir, run.Config.Distill.Cache = filepath.Join(t.TempDir(), "no"), cache
		if err := run.Config.Set(change); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), run); err == nil || !strings.Contains(err.Error(), "another teacher, or for another text") {
			t.Errorf("%s: %v", change, err)
		}
	}
}

func TestDistilRefuses(t *testing.T) {
	r := taught(t)
	for change, want := range map[string]string{
		"distill.share=1.5":            "distill.share",
		"distill.loss=both":            "distill.loss",
		"distill.temperature=0":        "distill.temperature",
		"distill.top_k=0":              "distill.top_k",
		"distill.teacher=/absent":      "absent",
		"data.tokenizer=chars":         "vocabulary",
		"distill.attention=1":          "cannot teach its relations",
		"distill.hidden=-1":            "distill.hidden",
		"distill.cache=" + t.TempDir(): "cannot be read",
	} {
		run := r
		run.Dir = filepath.Join(t.TempDir(), "run")
		if err := run.Config.Set(change); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), run); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a part %q", change, err, want)
		}
	}
	run := r
	run.Dir = filepath.Join(t.TempDir(), "run")
	if err := run.Config.Set("distill.hidden=1", "model.hidden_size=18"); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), run); err == nil || !strings.Contains(err.Error(), "residual stream is 20 wide") {
		t.Errorf("hidden states of another width: %v", err)
	}
}

// TestLikeliest compares the heap with a sort, among values of both signs, zeros of both and equals.
func TestLikeliest(t *testing.T) {
	const V, K = 260, 150 // past the zeros
	z := make([]float32, V)
	for i := range z {
		z[i] = float32((i*7919)%53-26) / 10 // with equals
		if z[i] == 0 && i%2 > 0 {
			z[i] = float32(math.Copysign(0, -1))
		}
	}
	ids, logP := make([]int32, K), make([]float32, K)
	r := ranking{scaled: make([]float32, V), keys: make([]uint64, K)}
	rest := r.likeliest(kernel.Generic(), 1, ids, logP, z)
	all := make([]int32, len(z))
	for i := range all {
		all[i] = int32(i)
	}
	slices.SortStableFunc(all, func(a, b int32) int {
		return int(math.Copysign(1, float64(z[b]-z[a]))) * min(1, int(math.Abs(float64(z[b]-z[a]))*100))
	})
	if !slices.Equal(ids, all[:K]) {
		t.Errorf("ids %v, want %v", ids, all[:K])
	}
	var sum, seen float64
	for _, v := range z {
		sum += math.Exp(float64(v))
	}
	for k, id := range ids {
		p := math.Exp(float64(z[id])) / sum
		seen += p
		if math.Abs(math.Exp(float64(logP[k]))-p) > 1e-6 {
			t.Errorf("probability %v, want %v", math.Exp(float64(logP[k])), p)
		}
	}
	if math.Abs(math.Exp(float64(rest))-(1-seen)) > 1e-6 {
		t.Errorf("rest %v, want %v", math.Exp(float64(rest)), 1-seen)
	}
}

// FuzzCacheHead: whatever the bytes, the head is read or refused.
func FuzzCacheHead(f *testing.F) {
	head, err := cacheHead(cacheIdentity{Teacher: "a", SeqLen: 3, TopK: 2, Temperature: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Add(head[:len(head)-1])
	f.Add([]byte(cacheMagic + "\xff\xff\xff\xff{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, begin, err := parseCacheHead(b); err == nil {
			if begin > len(b) {
				t.Fatalf("records begin at %d of %d", begin, len(b))
			}
			if _, err := cacheHead(id); err != nil {
				t.Fatal(err)
			}
		}
	})
}
