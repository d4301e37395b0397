package train

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/data/tasks"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/train/eval"
)

// Every golden log-likelihood of a real model: tokens, scores and figures of 100 items.
func TestGoldenLikelihoods(t *testing.T) {
	root := os.Getenv("MMFREE_SHARED")
	if root == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	data := filepath.Join(root, "data")
	m, err := Open(filepath.Join(data, "models", "stories260K", "model-f32.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	coder, scorer, err := m.evaluator(&EvalRequest{Window: 1 << 14, Prefix: 1, Tokenizer: filepath.Join(data, "tokenizers", "tok512", "tokenizer.model"), Machine: testMachine(t)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(data, "eval", "golden", "requests-100.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	const tolerance = 2e-3 // that the file's own note states
	scored, worst := map[string][]eval.Scored{}, 0.0
	for line := range strings.Lines(string(text)) {
		var want struct {
			Task     string
			Index    int
			Gold     *int
			Requests []struct {
				tasks.Request
				eval.Score
				IDs      []int32
				NContext int `json:"n_context"`
			}
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		var item eval.Scored
		if item.Gold = -1; want.Gold != nil {
			item.Gold = *want.Gold
		}
		for _, r := range want.Requests {
			s, err := coder.Pair(r.Request)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.IDs, r.IDs[:len(r.IDs)-1]) || !slices.Equal(s.Targets, r.IDs[r.NContext:]) {
				t.Fatalf("%s %d: %v and %v, want %v, %d of context", want.Task, want.Index, s.IDs, s.Targets, r.IDs, r.NContext)
			}
			got, err := scorer.Score(nil, []eval.Sequence{s})
			if err != nil {
				t.Fatal(err)
			}
			apart := math.Abs(got[0].LogLikelihood - r.LogLikelihood)
			worst = math.Max(worst, apart)
			if apart > tolerance || got[0].Greedy != r.Greedy {
				t.Errorf("%s %d: %+v, want %+v", want.Task, want.Index, got[0], r.Score)
			}
			choice := strings.TrimPrefix(r.Continuation, " ")
			if want.Task == "winogrande" {
				choice = r.Context
			}
			item.Choices, item.Scores = append(item.Choices, choice), append(item.Scores, got[0])
		}
		scored[want.Task] = append(scored[want.Task], item)
	}
	t.Logf("%d tasks, worst difference %g", len(scored), worst)
	var summary struct {
		Tasks map[string]struct {
			Items      int
			Acc        float64
			AccNorm    *float64 `json:"acc_norm"`
			Perplexity *float64
		}
	}
	if text, err = os.ReadFile(filepath.Join(data, "eval", "golden", "summary.json")); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &summary); err != nil || len(summary.Tasks) != len(scored) {
		t.Fatalf("%d tasks, %v", len(summary.Tasks), err)
	}
	for name, want := range summary.Tasks {
		task, err := tasks.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		f := eval.Summarise(task, scored[name])
		if f.N != want.Items || f.Acc != want.Acc || want.AccNorm != nil && !task.SameSuffix && f.AccNorm != *want.AccNorm ||
			want.Perplexity != nil && math.Abs(f.Perplexity / *want.Perplexity - 1) > tolerance {
			t.Errorf("%s: %+v, want %+v", name, f, want)
		}
	}
}

// An evaluation that was killed goes on from its journal, whole lines of it, and comes to the same figures.
func TestEvaluationResumes(t *testing.T) {
	base := tiny(t, "train.steps=2")
	mustStart(t, base)
	m, err := Open(base.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	data, journal := filepath.Join(dir, "words.jsonl"), filepath.Join(dir, "journal")
	page := filepath.Join(dir, "page.txt")
	line := `{"text": "the sea is not full"}` + "\n" + `{"text": "the rivers run to the sea"}` + "\n"
	if err := errors.Join(os.WriteFile(data, []byte(strings.Repeat(line, 4)), 0o644), os.WriteFile(page, []byte(strings.Repeat("the sea is not full. ", 1000)), 0o644)); err != nil {
		t.Fatal(err)
	}
	evaluate := func(ctx context.Context, text bool, resume string, at func(done int)) (any, error) {
		r := EvalRequest{Prefix: -1, Window: 64, Resume: resume, Machine: testMachine(t), At: func(done, _ int, _ float64) { at(done) }}
		if text {
			result, err := m.EvalText(ctx, page, false, false, r)
			if err != nil {
				return nil, err
			}
			return result.TextFigures, nil
		}
		result, err := m.EvalTask(ctx, "lambada_openai", data, "", 0, r)
		if err != nil {
			return nil, err
		}
		return result.Figures.ReadTokens*1000 + result.ScoredTokens + int(result.LogLikelihood*1e6), nil
	}
	for _, text := range []bool{false, true} {
		all := 0
		want, err := evaluate(t.Context(), text, "", func(int) { all++ })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		_, err = evaluate(ctx, text, journal, func(int) {
			if calls++; calls == 3 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("text %v: %v", text, err)
		}
		f, err := os.OpenFile(journal, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"scores":[{"logl`); err != nil { // a line that the kill cut short
			t.Fatal(err)
		}
		f.Close()
		// Another evaluation does not take it.
		if _, err := evaluate(t.Context(), !text, journal, func(int) {}); !errors.Is(err, ErrInput) {
			t.Errorf("text %v: another evaluation: %v", text, err)
		}
		again := 0
		got, err := evaluate(t.Context(), text, journal, func(int) { again++ })
		if err != nil || got != want || again != all-3 {
			t.Errorf("text %v: %v after %d of %d parts, want %v (%v)", text, got, again, all, want, err)
		}
		if _, err := os.Stat(journal); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("text %v: the journal of a finished evaluation is there: %v", text, err)
		}
	}
	if err := os.WriteFile(journal, []byte("my diary\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := evaluate(t.Context(), false, journal, func(int) {}); !errors.Is(err, ErrInput) {
		t.Errorf("a file that is no journal: %v", err)
	}
	if text, err := os.ReadFile(journal); err != nil || string(text) != "my diary\n" {
		t.Errorf("it was changed: %q, %v", text, err)
	}
}

func testMachine(t *testing.T) Machine {
	t.Helper()
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return Machine{Set: set, Pool: pool}
}

// Whatever a journal's file holds, opening it is refused without a change to it, or gives whole entries and begins with the
// title.
func FuzzJournal(f *testing.F) {
	title := journalTitle{Version: 1, What: "piqa"}
	head, err := json.Marshal(title)
	if err != nil {
		f.Fatal(err)
	}
	entry := `{"scores":[{"loglikelihood":-1.5,"is_greedy":false}],"read":5,"scored":2,"truncated":0}` + "\n"
	f.Add([]byte(string(head) + "\n" + entry + entry[:20]))
	f.Add(head[:10])
	f.Add([]byte("my diary\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(path, title, func(line []byte) error {
			var e eval.Entry
			return json.Unmarshal(line, &e)
		})
		left, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil {
			if !errors.Is(err, ErrInput) || string(left) != string(text) {
				t.Fatalf("%v, and the file became %q", err, left)
			}
			return
		}
		if err := j.close(false); err != nil || !strings.HasPrefix(string(left), string(head)+"\n") || !strings.HasSuffix(string(left), "\n") {
			t.Fatalf("%q (%v)", left, err)
		}
	})
}
