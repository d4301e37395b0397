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
	other := filepath.Join(dir, "other.txt")
	if err := os.WriteFile(other, []byte(strings.Repeat("the sea is not full! ", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	evaluate := func(ctx context.Context, mode, page, resume string, at func(done int)) (any, error) {
		r := EvalRequest{Prefix: -1, Window: 64, Resume: resume, Machine: testMachine(t), At: func(done, _ int, _ float64) { at(done) }}
		if mode != "requests" {
			result, err := m.EvalText(ctx, page, false, mode == "streaming", r)
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
	none := func(int) {}
	modes := []string{"requests", "rolling", "streaming"}
	for i, mode := range modes {
		var all []int
		want, err := evaluate(t.Context(), mode, page, "", func(done int) { all = append(all, done) })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		_, err = evaluate(ctx, mode, page, journal, func(int) {
			if calls++; calls == 3 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", mode, err)
		}
		kept, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		write := func(text string) {
			if err := os.WriteFile(journal, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		refused := func(what, mode, page string) {
			if _, err := evaluate(t.Context(), mode, page, journal, none); !errors.Is(err, ErrInput) {
				t.Errorf("%s: %s: %v", mode, what, err)
			}
		}
		refused("another evaluation", modes[(i+1)%len(modes)], page)
		if mode != "requests" {
			refused("another text", mode, other)
			// It does not grow with the text: a state stands in it once.
			if n := strings.Count(string(kept), "\n"); n != 2 {
				t.Errorf("%s: the journal has %d lines", mode, n)
			}
		}
		// A digit of a sum, or a value of the state, that has rotted.
		key := map[string]string{"requests": `"loglikelihood":-`, "rolling": `"loglikelihood":-`, "streaming": `"state":"`}[mode]
		rotten := []byte(strings.Clone(string(kept)))
		at := strings.Index(string(rotten), key) + len(key)
		rotten[at] ^= 1
		write(string(rotten))
		refused("a damaged line", mode, page)

		write(string(kept) + `{"crc32c":77,"outc`) // a line that the kill cut short
		var again []int
		got, err := evaluate(t.Context(), mode, page, journal, func(done int) { again = append(again, done) })
		if err != nil || got != want || !slices.Equal(again, all[3:]) {
			t.Errorf("%s: %v after parts %v, want %v after the last of %v (%v)", mode, got, again, want, all, err)
		}
		if _, err := os.Stat(journal); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the journal of a finished evaluation is there: %v", mode, err)
		}
	}
	if err := os.WriteFile(journal, []byte("my diary\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := evaluate(t.Context(), "requests", page, journal, none); !errors.Is(err, ErrInput) {
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
	title := journalTitle{Version: 2, What: "piqa"}
	head, err := json.Marshal(title)
	if err != nil {
		f.Fatal(err)
	}
	item, err := entry(eval.Entry{Scores: []eval.Score{{LogLikelihood: -1.5}}, Read: 5, Scored: 2})
	if err != nil {
		f.Fatal(err)
	}
	part, err := entry(eval.Partial{Windows: 1, Tokens: 4096, State: []byte("12345678")})
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range [][]byte{item, part} {
		f.Add([]byte(string(head) + "\n" + string(line) + string(line[:20])))
	}
	f.Add(head[:10])
	f.Add([]byte("my diary\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := openJournal(path, title, func(outcome []byte) error {
			var e eval.Entry
			var p eval.Partial
			return errors.Join(json.Unmarshal(outcome, &e), json.Unmarshal(outcome, &p))
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
		if !strings.HasPrefix(string(left), string(head)+"\n") || !strings.HasSuffix(string(left), "\n") {
			t.Fatalf("%q", left)
		}
	})
}
