package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	hf "github.com/sugarme/tokenizer"
	sugarbpe "github.com/sugarme/tokenizer/model/bpe"
	"github.com/sugarme/tokenizer/pretokenizer"
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
