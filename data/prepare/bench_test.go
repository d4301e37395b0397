package prepare

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"mmfree/checkpoints/durable"
	"mmfree/data/corpus"
	"mmfree/data/tokenizer"
)

// BenchmarkPrepare prepares ten readings of the shared corpora, 90 MB, with duplicates looked for, and writes the shards.
// 25 MB/s on two cores are asked for.
func BenchmarkPrepare(b *testing.B) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		b.Skip("MMFREE_SHARED is not set")
	}
	for _, file := range []string{"bytes", "gpt2/tokenizer.json", "llama-2/tokenizer.model"} {
		b.Run(file+"/t=2", func(b *testing.B) {
			var t tokenizer.Tokenizer = tokenizer.Bytes{}
			if file != t.Name() {
				text, err := os.ReadFile(filepath.Join(shared, "data", "tokenizers", filepath.FromSlash(file)))
				if err != nil {
					b.Fatal(err)
				}
				if t, err = tokenizer.ParseAny(text, file); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				r, err := corpus.Open([]string{filepath.Join(shared, "data", "corpora") + "=10"}, corpus.DefaultOptions(), nil)
				if err != nil {
					b.Fatal(err)
				}
				report, err := ToFolder(context.Background(), durable.OS{}, filepath.Join(b.TempDir(), "out"), true, r, t, Options{Dedup: true, Threads: 2})
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(report.Bytes)
			}
		})
	}
}
