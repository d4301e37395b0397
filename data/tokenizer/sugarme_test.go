package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	hf "github.com/sugarme/tokenizer"
	sugarbpe "github.com/sugarme/tokenizer/model/bpe"
	sugarnormal "github.com/sugarme/tokenizer/normalizer"
	"github.com/sugarme/tokenizer/pretokenizer"

	"mmfree/data/tokenizer/split"
)

// sugarmeGPT2 is github.com/sugarme/tokenizer with GPT-2's vocabulary.
func sugarmeGPT2(t *testing.T) *hf.Tokenizer {
	t.Helper()
	shared(t, "tokenizers/gpt2/vocab.json")
	dir := filepath.Join(os.Getenv("MMFREE_SHARED"), "data", "tokenizers", "gpt2")
	m, err := sugarbpe.NewBpeFromFiles(filepath.Join(dir, "vocab.json"), filepath.Join(dir, "merges.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tok := hf.NewTokenizer(m)
	pre := pretokenizer.NewByteLevel()
	pre.SetAddPrefixSpace(false)
	tok.WithPreTokenizer(pre)
	return tok
}

// sugarmeIDs returns its ids, or the panic.
func sugarmeIDs(tok *hf.Tokenizer, text string) (ids []int32, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	e, err := tok.EncodeSingle(text)
	if err != nil {
		return nil, err
	}
	for _, id := range e.Ids {
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// Of github.com/sugarme/tokenizer the configuration types are used, and nothing that makes ids: each known difference is
// here, so that a version without it shows. Where both agree, on plain words, they must.
func TestSugarme(t *testing.T) {
	theirs := sugarmeGPT2(t)
	ours, err := Parse(shared(t, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, text string
		same       bool
		panics     bool
	}{
		{name: "plain words", text: "The quick brown fox jumps over the lazy dog", same: true},
		{name: "merge order", text: strings.Repeat("=-", 16)},
		{name: "a long run", text: strings.Repeat("a", 300)},
		{name: "special token", text: "a<|endoftext|>b"},
		{name: "invalid UTF-8", text: "a\xffb\xc3", panics: true},
	} {
		got, err := sugarmeIDs(theirs, tc.text)
		want, _ := ours.Encode(nil, []byte(tc.text))
		if panics := err != nil && strings.HasPrefix(err.Error(), "panic"); panics != tc.panics {
			t.Errorf("%s: %v", tc.name, err)
		} else if same := err == nil && slices.Equal(got, want); same != tc.same {
			t.Errorf("%s: theirs %v, %v, ours %v", tc.name, got, err, want)
		}
	}
	saved := filepath.Join(t.TempDir(), "saved.json")
	if err := theirs.Save(saved, true); err != nil {
		t.Errorf("Save says %v, where it did nothing in silence", err)
	}
	if _, err := os.Stat(saved); err == nil {
		t.Error("Save writes a file now")
	}
}

// The differences that show with other vocabularies than GPT-2's. (Merges written as pairs fail in its package pretrained, which
// brings a network client and is not used.)
func TestSugarmeElsewhere(t *testing.T) {
	build := func(vocab map[string]int, merges ...string) *sugarbpe.BPE {
		t.Helper()
		pairs, err := sugarbpe.CreateMerges(vocab, merges)
		if err != nil {
			t.Fatal(err)
		}
		b := sugarbpe.NewBpeBuilder()
		b.VocabAndMerges(vocab, *pairs)
		b.UnkToken("<unk>")
		m, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	t.Run("byte fallback", func(t *testing.T) {
		m := build(map[string]int{"<unk>": 0, "<0xC3>": 1, "<0xA9>": 2, "a": 3})
		if got, err := sugarmeIDs(hf.NewTokenizer(m), "é"); err != nil || slices.Equal(got, []int32{1, 2}) {
			t.Errorf("é has the ids %v, %v, where its bytes were passed over", got, err)
		}
	})
	t.Run("Llama-3's pattern", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("the pattern compiles now")
			}
		}()
		sugarnormal.NewRegexpPattern(split.Llama3)
	})
	t.Run("a long word", func(t *testing.T) {
		m := build(map[string]int{"<unk>": 0, "a": 1, "b": 2, "ab": 3}, "a b")
		spent := func(n int) time.Duration { // the least of three
			least := time.Hour
			for range 3 {
				begun := time.Now()
				m.MergeWord(strings.Repeat("ab", n/2))
				least = min(least, time.Since(begun))
			}
			return least
		}
		// In proportion to the length 8 times as long costs 8 times as much; measured are 40 times and more.
		if short, long := spent(250), spent(2000); long < 16*short {
			t.Errorf("%v for 250 characters, %v for 2,000", short, long)
		}
	})
	t.Run("trainer", func(t *testing.T) {
		words := map[string]int{}
		for i := range 400 {
			words[fmt.Sprintf("w%dx%d", i%37, i*i%101)]++
		}
		sets := map[string]bool{}
		for range 8 {
			trainer := sugarbpe.NewBpeTrainer(0, 120)
			trainer.ShowProgress = false
			m, _ := trainer.Train(words)
			tokens := make([]string, 0, 120)
			for token := range m.GetVocab() {
				tokens = append(tokens, token)
			}
			slices.Sort(tokens)
			sets[strings.Join(tokens, " ")] = true
		}
		if len(sets) == 1 {
			t.Error("eight trainings gave one vocabulary")
		}
	})
}
