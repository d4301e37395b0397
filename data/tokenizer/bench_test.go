package tokenizer

import "testing"

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
