package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/data/tokenizer/split"
)

// plainBPE is the plainest trainer: it counts all pairs of all words anew before each merge.
func plainBPE(text []byte, o TrainOptions) (tokens []string, merges [][2]string, encoded int) {
	tokens = slices.Clone(o.Special)
	alphabet := byteChars
	chars := slices.Sorted(slices.Values(alphabet[:]))
	for _, r := range chars {
		tokens = append(tokens, string(r))
	}
	splitter, err := split.New(split.GPT2)
	if err != nil {
		panic(err)
	}
	var words [][]int
	for len(text) > 0 {
		n, _ := splitter.Next(text)
		var word []int
		for _, b := range text[:n] {
			word = append(word, len(o.Special)+slices.Index(chars, alphabet[b]))
		}
		words, text = append(words, word), text[n:]
	}
	spent := map[[2]int]bool{}
	for len(tokens) < o.VocabSize {
		counts := map[[2]int]int{}
		for _, w := range words {
			for i := 1; i < len(w); i++ {
				counts[[2]int{w[i-1], w[i]}]++
			}
		}
		best, most := [2]int{}, 0
		for pair, n := range counts {
			if !spent[pair] && (n > most || n == most && slices.Compare(pair[:], best[:]) < 0) {
				best, most = pair, n
			}
		}
		if most < max(1, o.MinFrequency) {
			break
		}
		product := tokens[best[0]] + tokens[best[1]]
		id := slices.Index(tokens, product)
		if id >= 0 && id < len(o.Special) {
			spent[best] = true
			continue
		}
		if id < 0 {
			id = len(tokens)
			tokens = append(tokens, product)
		}
		merges = append(merges, [2]string{tokens[best[0]], tokens[best[1]]})
		for w, old := range words {
			var now []int
			for i := 0; i < len(old); i++ {
				if i+1 < len(old) && old[i] == best[0] && old[i+1] == best[1] {
					now = append(now, id)
					i++
				} else {
					now = append(now, old[i])
				}
			}
			words[w] = now
		}
	}
	for _, w := range words {
		encoded += len(w)
	}
	return tokens, merges, encoded
}

func mustTrain(t testing.TB, text []byte, o TrainOptions) *Trained {
	t.Helper()
	trainer, err := NewTrainer(o)
	if err != nil {
		t.Fatal(err)
	}
	trainer.Add(text)
	trained, err := trainer.Train()
	if err != nil {
		t.Fatal(err)
	}
	return trained
}

func comparePlain(t interface {
	Fatalf(string, ...any)
}, text []byte, o TrainOptions, got *Trained,
) {
	tokens, merges, encoded := plainBPE(text, o)
	if !slices.Equal(got.Merges, merges) {
		for i := range min(len(merges), len(got.Merges)) {
			if merges[i] != got.Merges[i] {
				t.Fatalf("merge %d is %q, the plain trainer has %q", i, got.Merges[i], merges[i])
			}
		}
		t.Fatalf("%d merges, the plain trainer has %d", len(got.Merges), len(merges))
	}
	if !slices.Equal(got.Tokens, tokens) {
		t.Fatalf("the tokens differ from the plain trainer's")
	}
	if want := float64(len(text)) / float64(encoded); got.BytesPerToken != want {
		t.Fatalf("%v bytes per token, the plain trainer has %v", got.BytesPerToken, want)
	}
}

// The same merges as the plain trainer's: hence as many tokens, for any settings.
func TestTrainLikePlain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		syllable := rapid.SampledFrom([]string{"a", "aa", "ab", "b", " ", "  ", "the", "\n", "é", "<s>", "s>", "1", "=", "=="})
		text := strings.Join(rapid.SliceOfN(syllable, 1, 200).Draw(rt, "text"), "")
		o := TrainOptions{
			VocabSize: rapid.IntRange(258, 320).Draw(rt, "vocab"), MinFrequency: rapid.IntRange(0, 3).Draw(rt, "least"),
			Special: []string{"<s>", "==="}[:rapid.IntRange(0, 2).Draw(rt, "specials")], Threads: 2,
		}
		trainer, err := NewTrainer(o)
		if err != nil {
			rt.Fatal(err)
		}
		trainer.Add([]byte(text))
		got, err := trainer.Train()
		if err != nil {
			rt.Fatal(err)
		}
		comparePlain(rt, []byte(text), o, got)
	})
}

func testCorpus(t testing.TB, path string) []byte {
	t.Helper()
	root := os.Getenv("MMFREE_SHARED")
	if root == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	text, err := os.ReadFile(filepath.Join(root, "data", "corpora", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTrainLikePlainOnText(t *testing.T) {
	for _, path := range []string{"tinyshakespeare.txt", "multilingual/udhr_jpn.txt"} {
		text := testCorpus(t, path)
		text = text[:min(len(text), 60_000)]
		o := TrainOptions{VocabSize: 400, Special: []string{"<|endoftext|>"}, Threads: 2}
		comparePlain(t, text, o, mustTrain(t, text, o))
	}
}

// Texts added one by one, and any number of threads, give the bytes that one thread gives, also where words are
// forgotten on the way.
func TestTrainDeterministic(t *testing.T) {
	var text bytes.Buffer
	for i := range 60_000 {
		fmt.Fprintf(&text, "the word %x follows %x\nAnd then %d", i*i%9973, i*2654435761, i%100)
	}
	for _, memory := range []int{0, 20_000} {
		var want []byte
		for _, threads := range []int{1, 2, 7} {
			got := mustTrain(t, text.Bytes(), TrainOptions{VocabSize: 600, Threads: threads, MemoryBytes: memory})
			if (got.Forgotten > 0) != (memory > 0) {
				t.Errorf("%d occurrences forgotten with %d bytes", got.Forgotten, memory)
			}
			file, err := got.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = file
			}
			if !bytes.Equal(file, want) {
				t.Errorf("%d threads give another vocabulary than 1", threads)
			}
		}
	}
}

// Cutting a long text into blocks does not change its words.
func TestTrainCuts(t *testing.T) {
	for _, name := range []string{"gpt2", "llama3", "qwen2"} {
		trainer, err := NewTrainer(TrainOptions{VocabSize: 256, PreTokenizer: name})
		if err != nil {
			t.Fatal(err)
		}
		text := []byte(strings.Repeat("It was 1234, wasn't it?\n\n  A line; 'no' \t more...\r\nand so on\n", 3))
		whole := func(text []byte) (words []string) {
			for len(text) > 0 {
				n := trainer.next(text)
				words, text = append(words, string(text[:n])), text[n:]
			}
			return words
		}
		want := whole(text)
		for end := 40; end < len(text); end++ {
			cut := safeCut(text[:end+1])
			if got := append(whole(text[:cut]), whole(text[cut:])...); !slices.Equal(got, want) {
				t.Fatalf("%s: cut at %d (%q | %q): %q, want %q", name, cut, text[max(0, cut-5):cut], text[cut:][:5], got, want)
			}
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	for name, o := range map[string]TrainOptions{
		"small vocabulary":  {VocabSize: 255},
		"room for specials": {VocabSize: 256, Special: []string{"<s>"}},
		"huge vocabulary":   {VocabSize: 1 << 30},
		"pre-tokenizer":     {VocabSize: 300, PreTokenizer: "gpt3"},
		"special character": {VocabSize: 300, Special: []string{"a"}},
		"empty special":     {VocabSize: 300, Special: []string{""}},
		"special twice":     {VocabSize: 300, Special: []string{"<s>", "<s>"}},
		"special not UTF-8": {VocabSize: 300, Special: []string{"<\xff>"}},
		"negative memory":   {VocabSize: 300, MemoryBytes: -1},
	} {
		if _, err := NewTrainer(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	trainer, err := NewTrainer(TrainOptions{VocabSize: 256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Train(); err == nil {
		t.Error("no text: no error")
	}
}

// The file has what Hugging Face's library asks of a byte-level BPE.
func TestTrainedJSON(t *testing.T) {
	trained := mustTrain(t, []byte("low lower lowest, low lower"), TrainOptions{VocabSize: 263, Special: []string{"<s>"}, PreTokenizer: "llama3"})
	text, err := trained.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Added []struct {
			ID      int
			Content string
			Special bool
		} `json:"added_tokens"`
		Pre struct {
			Type string
			Pre  []map[string]any `json:"pretokenizers"`
		} `json:"pre_tokenizer"`
		Decoder struct{ Type string }
		Model   struct {
			Type   string
			Vocab  map[string]int
			Merges []string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Added) != 1 || file.Added[0].Content != "<s>" || !file.Added[0].Special || file.Model.Vocab["<s>"] != 0 {
		t.Errorf("added tokens %+v", file.Added)
	}
	if file.Pre.Type != "Sequence" || len(file.Pre.Pre) != 2 || file.Decoder.Type != "ByteLevel" || file.Model.Type != "BPE" {
		t.Errorf("parts %+v", file.Pre)
	}
	if want := []string{"l o", "lo w", "e r"}; !slices.Equal(file.Model.Merges[:2], want[:2]) || len(file.Model.Vocab) != 263 {
		t.Errorf("merges %q, %d tokens", file.Model.Merges, len(file.Model.Vocab))
	}
}

// A vocabulary of 4,096 on 10 MB of distinct text: 10 s on two cores are allowed.
func BenchmarkTrain(b *testing.B) {
	var text []byte
	for _, path := range []string{
		"tinyshakespeare.txt", "enwik6.txt", "tinystories-train-sample.txt", "wikitext-2/valid.txt", "wikitext-2/test.txt",
		"wikitext-2/wiki.test.crlf.txt", "books/alice29.txt", "books/botchan.txt", "books/moby_dick.txt", "code/human-eval.jsonl",
	} {
		text = append(text, testCorpus(b, path)...)
	}
	text = append(text, text[:10_000_000-len(text)]...)
	for b.Loop() {
		got := mustTrain(b, text, TrainOptions{VocabSize: 4096, Threads: 2})
		b.ReportMetric(got.BytesPerToken, "bytes/token")
		b.ReportMetric(float64(got.Words), "words")
	}
	b.SetBytes(int64(len(text)))
}
