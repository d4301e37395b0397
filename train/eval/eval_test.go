package eval

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/data/tasks"
	"mmfree/data/tokenizer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// bigram is a Scorer whose prediction depends on the token before alone.
type bigram struct {
	p func(before, next int32) float64
}

func (b bigram) Score(shared []int32, sequences []Sequence) ([]Score, error) {
	scores := make([]Score, len(sequences))
	for i, s := range sequences {
		for t, target := range s.Targets {
			scores[i].LogLikelihood += math.Log(b.p(s.IDs[s.From+t], target))
		}
	}
	return scores, nil
}

// Stream carries the last target on, which the next id must be.
func (b bigram) Stream(before []byte, ids, targets []int32) (s Score, behind []byte, err error) {
	if before != nil && string(before) != string(ids[0]) {
		return s, nil, fmt.Errorf("goes on with %q behind %q", ids[0], before)
	}
	for t := range ids {
		s.LogLikelihood += math.Log(b.p(ids[t], targets[t]))
	}
	return s, []byte(string(targets[len(targets)-1])), nil
}

func sequence(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32('a' + i%26)
	}
	return ids
}

// The example of the protocol: ten tokens, windows of four.
func TestWindowsExample(t *testing.T) {
	got := Windows(sequence(10), 'P', 4)
	want := []struct {
		input, targets string
	}{{"Pabc", "abcd"}, {"defg", "efgh"}, {"fghi", "ij"}}
	if len(got) != len(want) {
		t.Fatalf("%d windows", len(got))
	}
	for i, w := range want {
		if string(got[i].IDs) != w.input || string(got[i].Targets) != w.targets || got[i].From != len(w.input)-len(w.targets) {
			t.Errorf("window %d: %q → %q from %d", i, string(got[i].IDs), string(got[i].Targets), got[i].From)
		}
	}
}

func TestWindowsCount(t *testing.T) {
	const M = 4
	model := bigram{func(a, b int32) float64 { return 1 / float64(2+(a*7+b*3)%11) }}
	for _, n := range []int{0, 1, M - 1, M, M + 1, 2 * M, 2*M + 1, 5*M - 1} {
		ids := sequence(n)
		scored, sum := 0, 0.0
		for _, w := range Windows(ids, 'P', M) {
			if len(w.IDs) > M {
				t.Errorf("%d tokens: a window reads %d", n, len(w.IDs))
			}
			scored += len(w.Targets)
			s, _ := model.Score(nil, []Sequence{w})
			sum += s[0].LogLikelihood
		}
		want := 0.0
		if n > 0 {
			s, _, _ := model.Stream(nil, append([]int32{'P'}, ids[:n-1]...), ids)
			want = s.LogLikelihood
		}
		if scored != n || math.Abs(sum-want) > 1e-12 {
			t.Errorf("%d tokens: %d scored, %v, want %v", n, scored, sum, want)
		}
	}
}

func scoresOf(x ...float64) (s []Score) {
	for _, v := range x {
		s = append(s, Score{LogLikelihood: v})
	}
	return s
}

// Lengths count in code points: "éééé" has 4, not 8.
func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		choices []string
		scores  []float64
		best    int
		norm    int
	}{
		"norm differs": {[]string{"a", "éééé"}, []float64{-2, -5}, 0, 1},
		"not bytes":    {[]string{"aaaaaa", "éééé"}, []float64{-6, -5}, 1, 0}, // by bytes 1: 5/8 < 6/6
		"tie":          {[]string{"a", "b", "c"}, []float64{-3, -1, -1}, 1, 1},
		"all equal":    {[]string{"a", "b"}, []float64{-1, -1}, 0, 0},
	} {
		s := Scored{tasks.Item{Choices: c.choices}, scoresOf(c.scores...)}
		if best, norm := s.Choose(); best != c.best || norm != c.norm {
			t.Errorf("%s: %d and %d, want %d and %d", name, best, norm, c.best, c.norm)
		}
	}
}

func TestRate(t *testing.T) {
	if p, e := rate(3, 10); p != 0.3 || math.Abs(e-0.1528) > 5e-5 {
		t.Errorf("%v ± %v", p, e)
	}
	if _, e := rate(1, 1); !math.IsNaN(e) {
		t.Errorf("one item: ± %v", e)
	}
}

// By word, however many tokens it has.
func TestLambada(t *testing.T) {
	task, err := tasks.Get("lambada_openai")
	if err != nil {
		t.Fatal(err)
	}
	coder := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, MaxLength: 100}
	half := bigram{func(a, b int32) float64 { return 0.5 }}
	run := Run{Task: task, Coder: coder, Scorer: half}
	for _, word := range []string{"a", "abc"} { // with the space 2 and 4 tokens: 2^2 and 2^4
		run.Items = append(run.Items, tasks.Item{Requests: []tasks.Request{{Context: "x", Continuation: " " + word}}, Gold: -1})
	}
	_, f, err := run.Do(t.Context())
	if err != nil || math.Abs(f.Perplexity-8) > 1e-9 { // √(4·16)
		t.Errorf("perplexity %v, %v", f.Perplexity, err)
	}
}

// A uniform model of bytes has a little under 8 bits a byte: more bytes are counted than are scored.
func TestUniform(t *testing.T) {
	page := " the dogs ' tails , all @-@ white . \n"
	item := tasks.Page(page, true)
	coder := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, Prefix: '\n', MaxLength: 7}
	uniform := bigram{func(a, b int32) float64 { return 1.0 / 256 }}
	for _, streaming := range []bool{false, true} {
		got, err := Text(t.Context(), coder, uniform, item, streaming, Partial{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := len(tasks.Detokenise(page))
		if want := 8 * float64(n) / float64(len(page)); got.Tokens != n || math.Abs(got.BitsPerByte-want) > 1e-12 || got.BitsPerByte >= 8 {
			t.Errorf("%d tokens, %v bits, want %d and %v", got.Tokens, got.BitsPerByte, n, want)
		}
	}
}

func TestPair(t *testing.T) {
	c := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, Prefix: 'P', MaxLength: 6}
	for name, w := range map[string]struct{ context, continuation, ids, targets string }{
		"plain":         {"ab", " c", "ab ", " c"},
		"space moves":   {"ab \u00a0", "c", "ab \u00a0", " \u00a0c"},
		"no context":    {"", "abc", "Pab", "abc"},
		"only space":    {" ", "a", "P ", " a"},
		"starts with P": {"", "Pab", "Pa", "ab"},
		"fits":          {"abcd", "efg", "abcdef", "efg"},
		"one too long":  {"abcde", "fgh", "bcdefg", "fgh"[:]},
	} {
		s, err := c.Pair(tasks.Request{Context: w.context, Continuation: w.continuation})
		if err != nil {
			t.Fatal(err)
		}
		ids, _ := tokenizer.Bytes{}.Decode(nil, s.IDs)
		targets, _ := tokenizer.Bytes{}.Decode(nil, s.Targets)
		if string(ids) != w.ids || string(targets) != w.targets || s.From != len(s.IDs)-len(s.Targets) {
			t.Errorf("%s: %q → %q, want %q → %q", name, ids, targets, w.ids, w.targets)
		}
	}
	for _, bad := range []string{"", "1234567"} {
		if _, err := c.Pair(tasks.Request{Context: "a", Continuation: bad}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// Scores of the goldens give the figures of the goldens.
func TestGoldenFigures(t *testing.T) {
	root := os.Getenv("MMFREE_SHARED")
	if root == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, "data", "eval", "golden", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	items := map[string][]Scored{}
	for line := range strings.Lines(read("requests-100.jsonl")) {
		var v struct {
			Task     string
			Gold     *int
			Pred     *int
			PredNorm *int `json:"pred_norm"`
			Requests []struct {
				tasks.Request
				Score
			}
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		var s Scored
		for _, r := range v.Requests {
			s.Scores = append(s.Scores, r.Score)
			choice := strings.TrimPrefix(r.Continuation, " ")
			if v.Task == "winogrande" {
				choice = r.Context
			}
			s.Choices = append(s.Choices, choice)
		}
		if v.Gold != nil {
			s.Gold = *v.Gold
			if best, norm := s.Choose(); best != *v.Pred || norm != *v.PredNorm {
				t.Errorf("%s: chose %d and %d, want %d and %d", v.Task, best, norm, *v.Pred, *v.PredNorm)
			}
		}
		items[v.Task] = append(items[v.Task], s)
	}
	var summary struct {
		Tasks map[string]struct {
			Items      int
			Acc        float64
			AccNorm    *float64 `json:"acc_norm"`
			AccStderr  *float64 `json:"acc_stderr"`
			Perplexity *float64
		}
	}
	if err := json.Unmarshal([]byte(read("summary.json")), &summary); err != nil || len(summary.Tasks) != 7 {
		t.Fatal(err)
	}
	close := func(got float64, want *float64) bool {
		return want == nil || math.Abs(got-*want) <= 1e-8*math.Abs(*want)
	}
	for name, want := range summary.Tasks {
		task, err := tasks.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		f := Summarise(task, items[name])
		if f.N != want.Items || !close(f.Acc, &want.Acc) || !close(f.AccNorm, want.AccNorm) || !close(f.AccStderr, want.AccStderr) || !close(f.Perplexity, want.Perplexity) {
			t.Errorf("%s: %+v, want %+v", name, f, want)
		}
	}
}

func tinyModel(t testing.TB, arch string, hidden, layers, V int) *pack.Model {
	t.Helper()
	c := spec.Default()
	c.Arch, c.HiddenSize, c.NumHiddenLayers, c.VocabSize = arch, hidden, layers, V
	w, err := spec.NewWeights(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Init(7)
	p, err := pack.Build(w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Shared prefixes, company and filling change no bit: each request alone, from its first token, gives the same score.
func TestPackedScorer(t *testing.T) {
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(2)
	defer pool.Close()
	for _, arch := range []string{spec.ArchMatMulFree, spec.ArchTransformer} {
		p := NewPacked(tinyModel(t, arch, 64, 2, 256), set, pool)
		coder := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, Prefix: '\n', MaxLength: 900}
		context := strings.Repeat("The river is wide. ", 20)
		var sequences []Sequence
		for _, c := range []string{" yes", " n", " a much longer continuation than the rest", " y", " " + context} {
			s, err := coder.Pair(tasks.Request{Context: context + "Is it?", Continuation: c})
			if err != nil {
				t.Fatal(err)
			}
			sequences = append(sequences, s)
		}
		shared, rest := common(sequences)
		if len(shared) < len(context)-200 {
			t.Errorf("only %d tokens are shared", len(shared))
		}
		got, err := p.Score(shared, rest)
		if err != nil {
			t.Fatal(err)
		}
		var want []Score
		for _, s := range sequences {
			alone, err := p.Score(nil, []Sequence{s})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, alone...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: together %v, alone %v", arch, got, want)
		}
		if arch != spec.ArchMatMulFree {
			continue
		}
		// In one window both ways of scoring a text agree.
		text := tasks.Page(context, false)
		rolling, err := Text(t.Context(), coder, p, text, false, Partial{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		streaming, err := Text(t.Context(), coder, p, text, true, Partial{}, nil)
		if err != nil || rolling != streaming {
			t.Errorf("rolling %+v, streaming %+v, %v", rolling, streaming, err)
		}
	}
}

// A 30M model on two threads: at least 5,000 tokens a second are asked for.
func BenchmarkTask(b *testing.B) {
	set, err := kernel.Choose()
	if err != nil {
		b.Fatal(err)
	}
	pool := par.New(2)
	defer pool.Close()
	task, err := tasks.Get("piqa")
	if err != nil {
		b.Fatal(err)
	}
	run := Run{
		Task: task, Coder: Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, MaxLength: 2048},
		Scorer: NewPacked(tinyModel(b, spec.ArchMatMulFree, 512, 8, 4096), set, pool),
	}
	item, err := task.Parse([]byte(`{"goal": "How do I ready a guinea pig cage for its new occupants?", "sol1": "Provide the guinea pig with a cage full of a few inches of bedding made of ripped paper strips, and a water bottle and a food dish.", "sol2": "Provide the guinea pig with a cage full of a few inches of bedding made of ripped jeans material, and a water bottle and a food dish.", "label": 0}`))
	if err != nil {
		b.Fatal(err)
	}
	run.Items = []tasks.Item{item, item, item, item}
	tokens := 0
	for b.Loop() {
		_, f, err := run.Do(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		tokens += f.ReadTokens
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tok/s")
}

// Rolling windows read each token once.
func BenchmarkPerplexity(b *testing.B) {
	set, err := kernel.Choose()
	if err != nil {
		b.Fatal(err)
	}
	pool := par.New(2)
	defer pool.Close()
	p := NewPacked(tinyModel(b, spec.ArchMatMulFree, 512, 8, 4096), set, pool)
	coder := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, MaxLength: 2048}
	text := tasks.Page(strings.Repeat("It is a truth that is known. ", 280), false)
	for b.Loop() {
		if _, err := Text(b.Context(), coder, p, text, false, Partial{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(text.Bytes*b.N)/b.Elapsed().Seconds(), "tok/s")
}

// Python's random.Random, and the harness's bootstrap with it: numbers from CPython 3.
func TestBootstrap(t *testing.T) {
	for seed, want := range map[uint32][2]float64{
		0: {0.8444218515250481, 0.7579544029403025}, 1: {0.13436424411240122, 0.8474337369372327}, 99: {0.40397807494366633, 0.20007544457494542},
	} {
		g := newTwister(seed)
		if a, b := g.float(), g.float(); a != want[0] || b != want[1] {
			t.Errorf("seed %d: %v, %v; want %v", seed, a, b, want)
		}
	}
	var items []Scored
	for _, x := range []float64{-3.5, -1.25, -7, -2, -4.75} {
		items = append(items, Scored{Scores: scoresOf(x)})
	}
	if got := bootstrapPerplexity(items); math.Abs(got-73.27531383056511) > 1e-9 {
		t.Errorf("standard error %v", got)
	}
	if got := bootstrapPerplexity(items[:1]); !math.IsNaN(got) {
		t.Errorf("of one word: %v", got)
	}
}

// A page that goes on from where it was, in windows or with the state carried through, comes to the same bits, without scoring
// again what was scored.
func TestGoOn(t *testing.T) {
	set, err := kernel.Choose()
	if err != nil {
		t.Fatal(err)
	}
	pool := par.New(2)
	defer pool.Close()
	coder := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, Prefix: '\n', MaxLength: 900}
	page := tasks.Page(strings.Repeat("The river is wide. ", 900), false)
	for _, way := range []struct {
		arch      string
		streaming bool
	}{{spec.ArchMatMulFree, false}, {spec.ArchMatMulFree, true}, {spec.ArchRWKV4, true}} {
		p, streaming := NewPacked(tinyModel(t, way.arch, 16, 2, 256), set, pool), way.streaming
		var parts []Partial
		whole, err := Text(t.Context(), coder, p, page, streaming, Partial{}, func(p Partial, _ int) error {
			parts = append(parts, p)
			return nil
		})
		if err != nil || len(parts) < 3 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		for i, from := range parts {
			told := 0
			got, err := Text(t.Context(), coder, p, page, streaming, from, func(Partial, int) error { told++; return nil })
			if err != nil || got != whole || told != len(parts)-1-i {
				t.Errorf("%+v, from %d tokens: %+v in %d parts, want %+v (%v)", way, from.Tokens, got, told, whole, err)
			}
		}
		wrong := map[string]func(p *Partial){
			"more windows than there are": func(p *Partial) { p.Windows = 1000 },
			"less than none":              func(p *Partial) { p.Windows = -1 },
			"other tokens":                func(p *Partial) { p.Tokens++ },
		}
		if streaming {
			wrong["no state"] = func(p *Partial) { p.State = nil }
			wrong["a short state"] = func(p *Partial) { p.State = p.State[1:] }
			wrong["a state before the text"] = func(p *Partial) { p.Windows, p.Tokens = 0, 0 }
		}
		for name, spoil := range wrong {
			from := parts[1]
			spoil(&from)
			if _, err := Text(t.Context(), coder, p, page, streaming, from, nil); err == nil {
				t.Errorf("%+v, %s: no error", way, name)
			}
		}
	}
}

// Likelihoods that are no numbers end an evaluation: a choice among them would look like any other.
func TestNoNumbers(t *testing.T) {
	task, err := tasks.Get("lambada_openai")
	if err != nil {
		t.Fatal(err)
	}
	coder := Coder{Tokenizer: tokenizer.Bytes{}, BOS: BOSNone, Prefix: '\n', MaxLength: 100}
	for _, p := range []float64{math.NaN(), 0} {
		broken := bigram{func(a, b int32) float64 { return p }}
		run := Run{Task: task, Coder: coder, Scorer: broken, At: func(int, Entry) error { return errors.New("it was kept") }}
		run.Items = []tasks.Item{{Requests: []tasks.Request{{Context: "x", Continuation: " y"}}, Gold: -1}}
		if _, _, err := run.Do(t.Context()); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "likelihood of") {
			t.Errorf("probability %v, a task: %v", p, err)
		}
		for _, streaming := range []bool{false, true} {
			if got, err := Text(t.Context(), coder, broken, tasks.Page("a page", false), streaming, Partial{}, nil); !errors.Is(err, ErrInput) {
				t.Errorf("probability %v, streaming %v: %+v, %v", p, streaming, got, err)
			}
		}
	}
}
