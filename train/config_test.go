package train

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mmfree/ternary/spec"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Model.VocabSize = 256
	if err := c.Model.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryKeyHasHelp(t *testing.T) {
	c := Default()
	for _, s := range table(&c) {
		if s.name == "" || s.help == "" {
			t.Errorf("a part has name %q and help %q", s.name, s.help)
		}
		for _, f := range s.fields {
			if f.name == "" || f.help == "" || strings.Contains(f.help, "\n") {
				t.Errorf("%s has help %q", f.key(), f.help)
			}
		}
	}
}

func TestParseConfig(t *testing.T) {
	got, err := ParseConfig("c.yaml", []byte(`
# only what differs
model: {hidden_size: 64, pad_token_id: 3, tie_word_embeddings: true}
data:
  corpus: one.txt
train:
  minutes: 0.5
  lr: 4e-3
  seed: 18446744073709551615
sample:
  prompt: "12"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	pad := 3
	want.Model.HiddenSize, want.Model.PadTokenID, want.Model.TieWordEmbeddings = 64, &pad, true
	want.Data.Corpus = []string{"one.txt"}
	want.Train.Steps, want.Train.Minutes, want.Train.LR, want.Train.Seed = 0, 0.5, 4e-3, math.MaxUint64
	want.Sample.Prompt = "12"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ParseConfig (-want +got):\n%s", d)
	}
}

func TestParseConfigEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "train:\n", "null\n"} {
		got, err := ParseConfig("c.yaml", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(Default(), got); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}

func TestParseConfigFaults(t *testing.T) {
	deep := strings.Repeat("[", 20000)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ndata:\n  corpus: *b\n"
	tests := []struct {
		name, text string
		want       []string // parts of the message or of the hint
	}{
		{"unknown key", "train:\n  warmup_step: 3\n", []string{"c.yaml:2: train.warmup_step: no such key", "did you mean train.warmup_steps?"}},
		{"unknown part", "model: {}\nmodell:\n  hidden_size: 3\n", []string{"c.yaml:2: modell: no such key", "did you mean model?"}},
		{"far part", "foreign:\n  a: 3\n", []string{"the parts are model, data, train, quant, finetune, distill, sample"}},
		{"key without part", "steps: 3\n", []string{"c.yaml:1: steps: no such key", "did you mean train.steps?"}},
		{"key in the wrong part", "train:\n  seq_len: 3\n", []string{"did you mean data.seq_len?"}},
		{"nothing near", "data:\n  zzzzzzzzzzzz: 3\n", []string{"the keys of data are corpus, tokenizer, vocab_size, seq_len"}},
		{"two faults", "train: {lr: x, stepz: 1}\n", []string{`train.lr: "x" is not a number`, "did you mean train.steps?"}},
		{"text for number", "train:\n\n  steps: many\n", []string{`c.yaml:3: train.steps: "many" is not a whole number`, "steps: optimiser steps"}},
		{"quoted number", "train: {lr: '0.1'}\n", []string{`is the text "0.1", not a number`}},
		{"fraction for whole", "train: {steps: 1.5}\n", []string{`"1.5" is not a whole number`}},
		{"hexadecimal", "train: {steps: 0x10}\n", []string{`"0x10" is not a whole number`}},
		{"too large", "train: {steps: 99999999999999999999}\n", []string{"is not a whole number"}},
		{"negative seed", "train: {seed: -1}\n", []string{"is not a whole number from 0"}},
		{"nan", "train: {lr: nan}\n", []string{`"nan" is not a number`}},
		{"yaml nan", "train: {lr: .nan}\n", []string{`".nan" is not a number`}},
		{"inf", "train: {lr: Inf}\n", []string{`"Inf" is not a number`}},
		{"empty value", "train:\n  lr:\n", []string{"c.yaml:2: train.lr: is empty, not a number"}},
		{"list for number", "train: {lr: [1]}\n", []string{"train.lr: is a list, not a number"}},
		{"mapping for text", "data: {tokenizer: {a: b}}\n", []string{"data.tokenizer: is a mapping, not a text"}},
		{"nested list", "data: {corpus: [[a]]}\n", []string{"data.corpus: is a list, not a path"}},
		{"yes", "train: {fused: yes}\n", []string{`"yes" is not true or false`}},
		{"part is a number", "train: 3\n", []string{`train: is "3", not a part with keys`}},
		{"part is a list", "train: [3]\n", []string{"train: is a list, not a part with keys"}},
		{"root is a list", "- a\n", []string{"c.yaml:1: is a list, not a configuration"}},
		{"root is a text", "quickstart\n", []string{`is "quickstart", not a configuration`}},
		{"repeated key", "train:\n  lr: 1\n  lr: 2\n", []string{"c.yaml:3: train.lr: stands here and on line 2"}},
		{"repeated part", "train: {lr: 1}\ntrain: {lr: 2}\n", []string{"c.yaml:2: train: stands here and on line 1"}},
		{"two documents", "train: {lr: 1}\n---\ntrain: {lr: 2}\n", []string{"a second document begins here"}},
		{"syntax", "train: {lr: 1\n", []string{"c.yaml:", "is not YAML"}},
		{"tab", "train:\n\tlr: 1\n", []string{"c.yaml:2", "is not YAML"}},
		{"control character", "train: \x00\n", []string{"is not YAML"}},
		{"not UTF-8", "train: \xff\n", []string{"is not YAML"}},
		{"anchor", "train: {lr: &a 1}\n", []string{"train.lr: is an anchor (&)"}},
		{"alias", "train: {lr: &a 1, clip: *a}\n", []string{"train.clip: is an alias (*)"}},
		{"merge", "train: &t {lr: 1}\nsample: {<<: *t}\n", []string{"sample.<<: no such key"}},
		{"tag", "train: {lr: !!float 1}\n", []string{"train.lr: is a tagged value (!)"}},
		{"complex key", "? [a]\n: b\n", []string{"a key is a list"}},
		{"bomb", bomb, []string{"c.yaml:1: a: no such key", "data.corpus: is an alias (*)"}},
		{"deep", deep, []string{"is not YAML"}},
		{"many faults", "train:\n" + strings.Repeat("  lrr: 1\n", 1000), []string{"c.yaml:21: train.lrr"}},
		{"long", "#" + strings.Repeat(" ", maxConfigBytes), []string{"c.yaml: is longer than 1048576 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseConfig("c.yaml", []byte(tt.text))
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("error %v is not of class ErrConfig", err)
			}
			got := messages(err)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got:\n%swant a part %q", got, want)
				}
			}
		})
	}
}

// messages joins every fault's message and hint, a line each.
func messages(err error) string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var b strings.Builder
		for _, e := range joined.Unwrap() {
			b.WriteString(messages(e))
		}
		return b.String()
	}
	s := err.Error() + "\n"
	if h, ok := err.(interface{ Hint() string }); ok {
		s += h.Hint() + "\n"
	}
	return s
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	want := Default()
	want.Train.LR = 0.5
	if err := os.WriteFile(path, want.YAML(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ReadConfig (-want +got):\n%s", d)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.yaml"): "absent.yaml: no such file\n",
		dir:                               ": is a directory\n",
	} {
		if _, err := ReadConfig(path); !errors.Is(err, ErrConfig) || !strings.Contains(messages(err), want) {
			t.Errorf("ReadConfig(%s) = %v, want %q", path, err, want)
		}
	}
}

func TestSet(t *testing.T) {
	c := Default()
	err := c.Set("train.lr=2e-3", "data.corpus=a,b: c.txt", "sample.prompt= It = so: ", "model.bos_token_id=1",
		"model.eos_token_id=null", "train.fused=false", "train.seed= 7 ", "train.lr=3e-3")
	if err != nil {
		t.Fatal(err)
	}
	want, bos := Default(), 1
	want.Train.LR, want.Train.Fused, want.Train.Seed = 3e-3, false, 7
	want.Data.Corpus, want.Sample.Prompt, want.Model.BOSTokenID = []string{"a,b: c.txt"}, " It = so: ", &bos
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("Set (-want +got):\n%s", d)
	}
	if err := c.Set("data.corpus=[a, 'b, c']"); err != nil || !cmp.Equal(c.Data.Corpus, []string{"a", "b, c"}) {
		t.Errorf("a list gave %q, %v", c.Data.Corpus, err)
	}
	for assignment, want := range map[string]string{
		"train.lr":           `"train.lr" assigns nothing`,
		"train.lrr=1":        "did you mean train.lr?",
		"lr=1":               "did you mean train.lr?",
		"train.lr=fast":      `train.lr: "fast" is not a number`,
		"train.lr=":          `train.lr: "" is not a number`,
		"data.corpus=[a":     `"[a" is not a list`,
		"data.corpus=[[a]]":  "is a list, not a path",
		"=":                  "no such key",
		"model.extra=1":      "no such key",
		"model.num_head=two": "did you mean model.num_heads?",
	} {
		if err := c.Set(assignment); !errors.Is(err, ErrConfig) || !strings.Contains(messages(err), want) {
			t.Errorf("Set(%q) = %v, want a part %q", assignment, err, want)
		}
	}
}

// A tokenizer that does not learn its vocabulary takes away the size that the layer below gave, but not that of its own layer.
func TestVocabularyOfAnotherTokenizer(t *testing.T) {
	below := "data: {tokenizer: bpe, vocab_size: 1024}"
	for _, tt := range []struct {
		set  []string
		size int
		ok   bool
	}{
		{[]string{"data.tokenizer=bytes"}, 0, true},
		{[]string{"data.tokenizer=./t.json"}, 0, true},
		{[]string{"data.tokenizer=bpe"}, 1024, true},
		{[]string{"data.vocab_size=2048"}, 2048, true},
		{[]string{"data.vocab_size=2048", "data.tokenizer=chars"}, 2048, false},
	} {
		c, err := ParseConfig("c.yaml", []byte(below))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(tt.set...); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); c.Data.VocabSize != tt.size || (err == nil) != tt.ok {
			t.Errorf("%q gives size %d, %v; want %d, valid %v", tt.set, c.Data.VocabSize, err, tt.size, tt.ok)
		}
	}
}

// One layer's word on the run's length replaces the layer below; two words in one layer are a fault.
func TestBudget(t *testing.T) {
	tests := []struct {
		name, yaml string
		set        []string
		steps      int
		minutes    float64
		fault      string
	}{
		{"default", "", nil, 1000, 0, ""},
		{"file minutes", "train: {minutes: 5}", nil, 0, 5, ""},
		{"file both", "train: {minutes: 5, steps: 3}", nil, 3, 5, "exclude one another"},
		{"file minutes 0", "train: {minutes: 0}", nil, 1000, 0, ""},
		{"file both, one 0", "train: {steps: 0, minutes: 5}", nil, 0, 5, ""},
		{"steps over minutes", "train: {minutes: 5}", []string{"train.steps=7"}, 7, 0, ""},
		{"minutes over steps", "train: {steps: 5}", []string{"train.minutes=7"}, 0, 7, ""},
		{"both set", "", []string{"train.minutes=7", "train.steps=3"}, 3, 7, "exclude one another"},
		{"none", "", []string{"train.steps=0"}, 0, 0, "set train.steps or train.minutes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseConfig("c.yaml", []byte(tt.yaml))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Set(tt.set...); err != nil {
				t.Fatal(err)
			}
			if c.Train.Steps != tt.steps || c.Train.Minutes != tt.minutes {
				t.Errorf("steps %d and minutes %g, want %d and %g", c.Train.Steps, c.Train.Minutes, tt.steps, tt.minutes)
			}
			err = c.Validate()
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(messages(err), tt.fault) {
				t.Errorf("Validate = %v, want a part %q", err, tt.fault)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for assignment, want := range map[string]string{
		"data.tokenizer=wordpiece":   `data.tokenizer: "wordpiece" is not known`,
		"data.corpus=":               "data.corpus: holds an empty path",
		"data.seq_len=0":             "data.seq_len: is 0",
		"data.batch_size=65537":      "data.batch_size: is 65537",
		"data.seq_len=1048576":       "", // with batch_size 8: 2^23 tokens
		"data.carry_windows=0":       "data.carry_windows: is 0",
		"data.carry_windows=16":      "",
		"data.val_fraction=0.6":      "data.val_fraction: is 0.6",
		"train.steps=-1":             "train.steps: is -1",
		"train.minutes=-1":           "train.minutes: is -1",
		"train.lr=0":                 "train.lr: is 0",
		"train.lr=11":                "train.lr: is 11",
		"train.schedule=cosin":       `train.schedule: "cosin" is not known`,
		"train.warmup_steps=-1":      "train.warmup_steps: is -1",
		"train.min_lr_ratio=2":       "train.min_lr_ratio: is 2",
		"train.decay_fraction=0":     "train.decay_fraction: is 0",
		"train.weight_decay=-0.1":    "train.weight_decay: is -0.1",
		"train.weight_decay_until=2": "train.weight_decay_until: is 2",
		"train.schedule=two-stage":   "",
		"train.clip=-1":              "train.clip: is -1",
		"train.beta1=1":              "train.beta1: is 1",
		"train.beta2=-1":             "train.beta2: is -1",
		"train.eps=0":                "train.eps: is 0",
		"train.accumulate=0":         "train.accumulate: is 0",
		"train.log_every=0":          "train.log_every: is 0",
		"train.eval_every=-1":        "train.eval_every: is -1",
		"train.eval_tokens=-1":       "train.eval_tokens: is -1",
		"train.save_every=-1":        "train.save_every: is -1",
		"train.keep_last=0":          "train.keep_last: is 0",
		"train.weight_gradient=":     `train.weight_gradient: "" is not known`,
		"sample.prompt=\xff":         "sample.prompt: is not UTF-8",
		"sample.tokens=-1":           "sample.tokens: is -1",
		"sample.temperature=-1":      "sample.temperature: is -1",
		"sample.top_k=-1":            "sample.top_k: is -1",
		"model.hidden_size=0":        "model.hidden_size: is 0",
		"model.vocab_size=-1":        "model.vocab_size: is -1",
		"model.vocab_size=0":         "",
		"model.arch=recurrent":       `model.arch: "recurrent" is not known`,
		"model.num_hidden_layers=0":  "model.num_hidden_layers: is 0",
	} {
		c := Default()
		if err := c.Set(assignment); err != nil {
			t.Fatal(err)
		}
		err := c.Validate()
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", assignment, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want a part %q", assignment, err, want)
		case err != nil && !errors.Is(err, ErrConfig) && !errors.Is(err, spec.ErrConfig):
			t.Errorf("%s: %v has no class", assignment, err)
		}
	}
	for _, assignments := range [][]string{{"model.arch=transformer"}, {"finetune.from=m", "finetune.replay=old.txt"}} {
		c := Default()
		for _, a := range append(assignments, "data.carry_windows=4") {
			if err := c.Set(a); err != nil {
				t.Fatal(err)
			}
		}
		if got := messages(c.Validate()); !strings.Contains(got, "data.carry_windows: is 4") {
			t.Errorf("%v: got %q", assignments, got)
		}
	}
	c := Default()
	c.Train.LR, c.Train.Eps, c.Sample.Prompt = math.NaN(), math.Inf(1), strings.Repeat("x", maxTextBytes+1)
	c.Data.SeqLen, c.Data.BatchSize, c.Model.NumHeads = 1<<20, 1<<16, 0
	got := messages(c.Validate())
	for _, want := range []string{"train.lr: is NaN", "train.eps: is +Inf", "sample.prompt: is 65537 bytes", "more than", "model.num_heads: is 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("got:\n%swant a part %q", got, want)
		}
	}
}

// The resolved configuration that a run folder holds gives the same run again.
func TestYAMLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Default()
		want.Model.Extra = nil
		want.Data.Corpus = rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "corpus")
		want.Sample.Prompt = rapid.String().Draw(t, "prompt")
		want.Data.Tokenizer = rapid.SampledFrom([]string{"bytes", "true", "null", "~", "1e5", "0x10", "-", "a b", "a: b", "a #b", "#", ".nan", "", "y", "2001-01-01", "<<", "=", "é", "\u2028\u0085\ufeff"}).Draw(t, "tokenizer")
		want.Train.LR = rapid.Float64().Draw(t, "lr")
		want.Train.Steps = rapid.Int().Draw(t, "steps")
		want.Train.Minutes = rapid.Float64().Draw(t, "minutes")
		want.Train.Seed = rapid.Uint64().Draw(t, "seed")
		want.Train.Fused = rapid.Bool().Draw(t, "fused")
		want.Train.WeightGradient = rapid.SampledFrom([]string{"float32", "int16"}).Draw(t, "weight gradient")
		id := rapid.Int().Draw(t, "id")
		want.Model.BOSTokenID = &id
		text := want.YAML()
		got, err := ParseConfig("config.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-want +got):\n%s\n%s", d, text)
		}
	})
	c := Default()
	got, err := ParseConfig("config.yaml", c.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestChanges(t *testing.T) {
	c := Default()
	if got := c.Changes(); len(got) > 0 {
		t.Errorf("the default configuration changes %q", got)
	}
	if err := c.Set("train.lr=0.01", "model.pad_token_id=3", "data.corpus=[a.txt, b c.txt]"); err != nil {
		t.Fatal(err)
	}
	want := "model.pad_token_id: 3\ndata.corpus: [a.txt, \"b c.txt\"]\ntrain.lr: 0.01\n"
	if d := cmp.Diff(want, string(c.Changes())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestYAMLComments(t *testing.T) {
	c := Default()
	text := string(c.YAML())
	for _, want := range []string{
		"mmfree train config.yaml",
		"\ntrain: # how long",
		"\n  lr: 0.004                        # largest learning rate\n",
		"\n  corpus: []                       # files and folders of text",
		"\n  pad_token_id: null               # token whose",
		"\n  prompt: \"The \"                   # text",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("config.yaml lacks %q:\n%s", want, text)
		}
	}
	sections := table(&c)
	for _, s := range sections {
		for _, f := range s.fields {
			if !strings.Contains(text, "\n  "+f.name+": ") {
				t.Errorf("config.yaml lacks %s", f.key())
			}
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"train", "verify", "logits", "generate"}
	for word, want := range map[string]string{
		"trian": "train", "train": "train", "trains": "train", "verfiy": "verify", "genrate": "generate", "xyz": "", "": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// Whatever the bytes: no panic, and what reads without fault and is valid is written and read again unchanged.
func FuzzParseConfig(f *testing.F) {
	c := Default()
	f.Add(c.YAML())
	for _, s := range []string{
		"train: {lr: 1, steps: 3}", "data:\n  corpus:\n  - a\n  - 'b'\n", "a: &a [*a]", "? a\n: b", "%YAML 1.1\n---\n",
		"sample: {prompt: |\n  a\n  b\n}", "sample:\n  prompt: |\n    a\n    b\n", "{", "\xef\xbb\xbftrain: {}", "train: !!map {}", "<<: [a]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig("c.yaml", text)
		if err != nil {
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("%v has no class", err)
			}
			return
		}
		if c.Validate() != nil {
			return
		}
		again, err := ParseConfig("c.yaml", c.YAML())
		if err != nil {
			t.Fatalf("%v\n%s", err, c.YAML())
		}
		if d := cmp.Diff(string(c.YAML()), string(again.YAML())); d != "" {
			t.Fatalf("(-first +second):\n%s", d)
		}
	})
}
