package tokenizer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// benchEncode measures one thread on a corpus, with words remembered from the calls before as in a long corpus.
func benchEncode(b *testing.B, tok Tokenizer, file string) {
	text := shared(b, file)
	ids, err := tok.Encode(nil, text)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		ids, _ = tok.Encode(ids[:0], text)
	}
}

func BenchmarkEncodeSentencePiece(b *testing.B) {
	for _, name := range []string{"llama-2", "mistral-7b-v0.1", "tok512"} {
		tok := sharedModel(b, name)
		for _, file := range []string{"corpora/tinystories-train-sample.txt", "corpora/wikitext-2/wiki.test.crlf.txt"} {
			b.Run(name+"/"+file, func(b *testing.B) { benchEncode(b, tok, file) })
		}
	}
}

func BenchmarkEncodeGPT2(b *testing.B) {
	tok, err := Parse(shared(b, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range []string{"corpora/tinystories-train-sample.txt", "corpora/wikitext-2/wiki.test.crlf.txt"} {
		b.Run(file, func(b *testing.B) { benchEncode(b, tok, file) })
	}
}

// Words of random letters under GPT-2's merges, by both ways to merge: where the heap begins to be faster, shortWord ends.
func BenchmarkMerge(b *testing.B) {
	tok, err := Parse(shared(b, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		b.Fatal(err)
	}
	p := tok.(*Pipeline).model.(*bpe)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{8, 16, 24, 32, 40, 48} {
		words := make([][]int32, 64)
		for i := range words {
			words[i] = make([]int32, n)
			for j := range words[i] {
				words[i][j] = p.byteSym['a'+rng.IntN(26)]
			}
		}
		var m merger
		word := make([]int32, n)
		for name, merge := range map[string]func(*pairTable, []int32) []int32{"scan": m.scan, "heap": m.byHeap} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					merge(p.pairs, append(word[:0], words[i%len(words)]...))
				}
			})
		}
	}
}

// A megabyte of letters in words of 10 kB, of 100 kB, and in one word: MB/s must not fall with a word's length. The amount
// is the same for each, so that each finds as much in the table of remembered words.
func BenchmarkGiantWord(b *testing.B) {
	gpt2, err := Parse(shared(b, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	letters := make([]byte, 1_000_000)
	for i := range letters {
		letters[i] = byte('a' + rng.IntN(26))
	}
	for name, tok := range map[string]Tokenizer{"gpt2": gpt2, "llama-2": sharedModel(b, "llama-2")} {
		for _, n := range []int{10_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var ids []int32
				b.SetBytes(int64(len(letters)))
				for b.Loop() {
					for word := range slices.Chunk(letters, n) {
						ids, _ = tok.Encode(ids[:0], word)
					}
				}
			})
		}
	}
}
