package tokenizer

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/data/tokenizer/split"
)

// plainEncode merges one pair at a time: the one of lowest rank, the leftmost of equals.
func plainEncode(t *Trained, word string) (tokens []string) {
	alphabet := byteChars
	for _, b := range []byte(word) {
		tokens = append(tokens, string(alphabet[b]))
	}
	for {
		best, at := len(t.Merges), 0
		for i := 1; i < len(tokens); i++ {
			if rank := slices.Index(t.Merges, [2]string{tokens[i-1], tokens[i]}); rank >= 0 && rank < best {
				best, at = rank, i
			}
		}
		if best == len(t.Merges) {
			return tokens
		}
		tokens = slices.Replace(tokens, at-1, at+1, tokens[at-1]+tokens[at])
	}
}

// trainOn returns what training on a text gives, and the tokenizer of it.
func trainOn(t interface{ Fatal(...any) }, text string, o TrainOptions) (*Trained, Tokenizer) {
	trainer, err := NewTrainer(o)
	if err != nil {
		t.Fatal(err)
	}
	trainer.Add([]byte(text))
	trained, err := trainer.Train()
	if err != nil {
		t.Fatal(err)
	}
	file, err := trained.JSON()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(file, "trained")
	if err != nil {
		t.Fatal(err)
	}
	return trained, tok
}

func TestBytePairs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		syllable := rapid.SampledFrom([]string{"a", "aa", "ab", "b", " ", "  ", "the", "\n", "é", "\xff", "1", "=="})
		text := strings.Join(rapid.SliceOfN(syllable, 1, 200).Draw(rt, "text"), "")
		trained, p := trainOn(rt, text, TrainOptions{VocabSize: rapid.IntRange(256, 300).Draw(rt, "vocab")})
		splitter, err := split.New(split.GPT2)
		if err != nil {
			rt.Fatal(err)
		}
		other := []byte(strings.Join(rapid.SliceOfN(syllable, 0, 50).Draw(rt, "other"), ""))
		var want []string
		for rest := other; len(rest) > 0; {
			n, _ := splitter.Next(rest)
			want = append(want, plainEncode(trained, string(rest[:n]))...)
			rest = rest[n:]
		}
		ids, err := p.Encode(nil, other)
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for _, id := range ids {
			got = append(got, trained.Tokens[id])
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%q gives %q, want %q", other, got, want)
		}
		if back, err := p.Decode(nil, ids); err != nil || !bytes.Equal(back, other) {
			rt.Fatalf("%q comes back as %q, %v", other, back, err)
		}
	})
}

// What was trained on is encoded as the trainer left it; the file brings the same tokenizer back.
func TestBytePairsJSON(t *testing.T) {
	for _, pre := range []string{"gpt2", "llama3", "qwen2"} {
		text := []byte(strings.Repeat("The river 12345 flows; it's slow, he'd say.\n\n", 20) + strings.Repeat("=", 700))
		trained, tok := trainOn(t, string(text), TrainOptions{VocabSize: 320, PreTokenizer: pre, MinFrequency: 2})
		file, err := tok.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(file, "tokenizer.json")
		if err != nil {
			t.Fatal(err)
		}
		second, err := again.JSON()
		if err != nil || !bytes.Equal(file, second) {
			t.Errorf("%s: the file changes: %v", pre, err)
		}
		a, _ := tok.Encode(nil, text)
		b, _ := again.Encode(nil, text)
		if !slices.Equal(a, b) {
			t.Errorf("%s: %d ids, then %d", pre, len(a), len(b))
		}
		if got, want := float64(len(text))/float64(len(a)), trained.BytesPerToken; got < want {
			t.Errorf("%s: %v bytes a token, %v in training", pre, got, want)
		}
	}
}

func BenchmarkBytePairs(b *testing.B) {
	text := testCorpus(b, "tinystories-train-sample.txt")
	tok, err := NewBPE(text, TrainOptions{VocabSize: 4096, Threads: 2})
	if err != nil {
		b.Fatal(err)
	}
	var ids []int32
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		ids, _ = tok.Encode(ids[:0], text)
	}
}
