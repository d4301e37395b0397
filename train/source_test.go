package train

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/data/corpus"
	"mmfree/data/prepare"
	"mmfree/data/shard"
)

// library writes files of several documents and a tokenizer's file, and returns the paths of the texts and of the tokenizer.
func library(t *testing.T) (texts []string, tokenizerJSON string) {
	t.Helper()
	dir := t.TempDir()
	prose := strings.Repeat("The rays of light are bent by glass; so they are. ", 12)
	var lines strings.Builder
	for i := range 30 {
		lines.WriteString(`{"text":"Query ` + strings.Repeat("of light ", i%7+1) + `\nand shade."}` + "\n")
	}
	for name, text := range map[string]string{"a.txt": prose, "b.jsonl": lines.String(), "c.txt": "Short.", "d.txt": strings.ToUpper(prose)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, path)
	}
	slices.Sort(texts)
	read, err := corpus.Load(texts)
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Data.Tokenizer, c.Data.VocabSize = TokenizerBPE, 300
	s := &source{text: read}
	tok, err := s.tokenizer(&c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	file, err := tok.JSON()
	if err != nil {
		t.Fatal(err)
	}
	tokenizerJSON = filepath.Join(dir, "tokenizer.json")
	if err := os.WriteFile(tokenizerJSON, file, 0o644); err != nil {
		t.Fatal(err)
	}
	return texts, tokenizerJSON
}

// shards prepares texts as a folder of many small shards.
func shards(t *testing.T, texts []string, tokenizerJSON string, o prepare.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shards")
	tok, err := LoadTokenizer(tokenizerJSON)
	if err != nil {
		t.Fatal(err)
	}
	r, err := corpus.Open(texts, corpus.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o.ShardTokens = 100
	if _, err := prepare.ToFolder(t.Context(), durable.OS{}, dir, false, r, tok, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A run on shards has the bits of a run on the text that they were made of, also when it is stopped and resumed.
func TestShardsGiveTheTextsBits(t *testing.T) {
	texts, tokenizerJSON := library(t)
	dir := shards(t, texts, tokenizerJSON, prepare.Options{})
	for _, arch := range []string{"matmulfree", "transformer"} {
		text := tiny(t, "model.arch="+arch, "model.hidden_size=16", "model.num_attention_heads=0", "data.tokenizer="+tokenizerJSON, "data.val_fraction=0.3", "train.accumulate=2")
		text.Config.Data.Corpus, text.Bare = texts, true
		want := mustStart(t, text)

		prepared := tiny(t, "model.arch="+arch, "model.hidden_size=16", "model.num_attention_heads=0", "data.val_fraction=0.3", "train.accumulate=2")
		prepared.Config.Data.Corpus, prepared.Bare = []string{dir}, true
		stopBehind(t, prepared, 5)
		config, err := ReadConfig(filepath.Join(prepared.Dir, ConfigFile))
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, shard.TokenizerFile); config.Data.Tokenizer != want {
			t.Errorf("the run's configuration has the tokenizer %s, want %s", config.Data.Tokenizer, want)
		}
		prepared.Config, prepared.Resume, prepared.Hooks.Step = config, true, nil
		got := mustStart(t, prepared)
		if model(t, prepared, "step-12") != model(t, text, "step-12") {
			t.Errorf("%s: another model", arch)
		}
		if got.ValLoss != want.ValLoss || got.ValBitsPerByte != want.ValBitsPerByte || math.IsNaN(got.ValLoss) {
			t.Errorf("%s: validation %v and %v, of the text %v and %v", arch, got.ValLoss, got.ValBitsPerByte, want.ValLoss, want.ValBitsPerByte)
		}
	}
}

// What shards hold out is held out, whatever data.val_fraction says.
func TestHeldOutShards(t *testing.T) {
	texts, tokenizerJSON := library(t)
	dir := shards(t, texts, tokenizerJSON, prepare.Options{ValFraction: 0.4})
	r := tiny(t, "data.val_fraction=0")
	r.Config.Data.Corpus = []string{dir}
	x := newRun(r)
	err := x.prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	set, err := shard.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if n := x.text.loader.Val().Len(); n != set.Val.Len() || n == 0 || x.text.loader.Train().Len() != set.Train.Len() {
		t.Errorf("%d tokens are held out, the shards hold out %d", n, set.Val.Len())
	}
}

// Documents that share a row give, token for token, the logits that each gives alone, in every bit; and the row's loss is
// that of the tokens behind one of their own document.
func TestPackedDocuments(t *testing.T) {
	texts, tokenizerJSON := library(t)
	for _, arch := range []string{"matmulfree", "transformer", "bitnet"} {
		r := tiny(t, "model.arch="+arch, "model.hidden_size=16", "data.tokenizer="+tokenizerJSON, "data.batch_size=8", "data.val_fraction=0")
		r.Config.Data.Corpus = texts
		x := newRun(r)
		err := x.prepare()
		if err != nil {
			t.Fatal(err)
		}
		defer x.close()
		if err := x.open(); err != nil {
			t.Fatal(err)
		}
		x.text.start(&x.Config)
		shared := 0
		for range 4 {
			batches, err := x.text.next()
			if err != nil {
				t.Fatal(err)
			}
			b, V := batches[0], x.Config.Model.VocabSize
			logits := make([]float32, len(b.IDs)*V)
			if err := x.session.ForwardDocuments(b.IDs, b.Starts, b.B, logits, nil); err != nil {
				t.Fatal(err)
			}
			for row := range b.B {
				for from, to := row*b.T, 0; from < (row+1)*b.T; from = to {
					for to = from + 1; to < (row+1)*b.T && !b.Starts[to]; to++ {
					}
					if to < (row+1)*b.T {
						shared++
						if b.Labels[to-1] >= 0 {
							t.Errorf("%s: the last token of a document is to predict %d of the next", arch, b.Labels[to-1])
						}
					}
					alone := make([]float32, (to-from)*V)
					if err := x.session.Forward(b.IDs[from:to], 1, alone, nil); err != nil {
						t.Fatal(err)
					}
					for i, want := range alone {
						if got := logits[from*V+i]; math.Float32bits(got) != math.Float32bits(want) {
							t.Fatalf("%s: row %d, tokens %d to %d: logit %d is %v, alone %v", arch, row, from, to, i, got, want)
						}
					}
				}
			}
		}
		if shared < 8 {
			t.Errorf("%s: only %d documents shared a row with the next", arch, shared)
		}
	}
}

// A shard that is cut short while a run reads it is an error that names it, also in the goroutine that reads ahead.
func TestShardCutShort(t *testing.T) {
	texts, tokenizerJSON := library(t)
	dir := filepath.Join(t.TempDir(), "shards")
	tok, err := LoadTokenizer(tokenizerJSON)
	if err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(t.TempDir(), "long.txt") // of many pages
	if err := os.WriteFile(long, []byte(strings.Repeat("Query of light, and of the shade behind it. ", 20_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	reader, err := corpus.Open(append(texts, long), corpus.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := prepare.ToFolder(t.Context(), durable.OS{}, dir, false, reader, tok, prepare.Options{}); err != nil {
		t.Fatal(err)
	}
	r := tiny(t, "train.steps=400", "train.eval_every=0", "train.save_every=0")
	r.Config.Data.Corpus, r.Bare = []string{dir}, true
	r.Hooks.Step = func(p Progress) {
		if p.Step == 1 {
			if err := os.Truncate(filepath.Join(dir, "train-00000.bin"), 64); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Start(t.Context(), r); !errors.Is(err, durable.ErrGone) || !strings.Contains(err.Error(), "train-00000.bin") {
		t.Errorf("got %v, want the shard to be gone", err)
	}
}

func TestShardErrors(t *testing.T) {
	texts, tokenizerJSON := library(t)
	dir := shards(t, texts, tokenizerJSON, prepare.Options{})
	wrong := func(want string, corpus []string, changes ...string) {
		t.Helper()
		r := tiny(t, changes...)
		r.Config.Data.Corpus = corpus
		x := newRun(r)
		if err := x.prepare(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		} else if err := x.close(); err != nil {
			t.Error(err)
		}
	}
	wrong("shards stand beside other paths", []string{texts[0], dir})
	other := filepath.Join(t.TempDir(), "tokenizer.json")
	c := Default()
	c.Data.Tokenizer, c.Data.VocabSize = TokenizerBPE, 280
	read, err := corpus.Load(texts)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := (&source{text: read}).tokenizer(&c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	file, err := tok.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, file, 0o644); err != nil {
		t.Fatal(err)
	}
	wrong("data.tokenizer: is not that of "+dir, []string{dir}, "data.tokenizer="+other)
	// A byte of one shard, which only its sum gives away.
	entries, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(entries, func(path string) bool { return shard.IsName(filepath.Base(path)) })
	if i < 0 {
		t.Fatalf("no shard in %v", entries)
	}
	bytes, err := os.ReadFile(entries[i])
	if err != nil {
		t.Fatal(err)
	}
	bytes[64] ^= 1
	if err := os.WriteFile(entries[i], bytes, 0o644); err != nil {
		t.Fatal(err)
	}
	wrong(filepath.Base(entries[i])+": the checksum", []string{dir})
}
