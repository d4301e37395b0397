package train

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"mmfree/checkpoints"
	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/gguf"
	"mmfree/data/tokenizer"
)

// maxTokenizerFile bounds a tokenizer's file: thirty times the largest published one.
const maxTokenizerFile = 256 << 20

// isTokenizerPath tells a path from a word of data.tokenizer that does not exist.
func isTokenizerPath(name string) bool { return strings.ContainsAny(name, `./\`) }

// LoadTokenizer reads a tokenizer: the word bytes, a tokenizer.json, a SentencePiece .model, llama2.c's tokenizer.bin, a GGUF file,
// vocab.json or merges.txt (the other of the two lies beside it), or a folder with one of them.
func LoadTokenizer(path string) (tokenizer.Tokenizer, error) {
	if path == TokenizerBytes {
		return tokenizer.Bytes{}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, checkpoints.Unreadable(path, err)
	}
	if info.IsDir() {
		for _, name := range []string{"tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer.bin"} {
			if _, err := os.Stat(filepath.Join(path, name)); err == nil {
				return LoadTokenizer(filepath.Join(path, name))
			}
		}
		if gguf.HasModel(path) {
			return loadGGUFTokenizer(path)
		}
		return nil, &checkpoints.Error{Path: path, Problem: "holds no tokenizer", Fix: "name a folder with tokenizer.json, tokenizer.model, or vocab.json and merges.txt"}
	}
	if base := filepath.Base(path); base == "vocab.json" || base == "merges.txt" {
		vocab, err := readWhole(filepath.Join(filepath.Dir(path), "vocab.json"))
		if err != nil {
			return nil, err
		}
		merges, err := readWhole(filepath.Join(filepath.Dir(path), "merges.txt"))
		if err != nil {
			return nil, err
		}
		return tokenizer.FromMerges(vocab, merges, path)
	}
	if kind, err := checkpoints.Recognise(path); err == nil && kind == checkpoints.KindGGUF {
		return loadGGUFTokenizer(path)
	}
	file, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	return tokenizer.ParseAny(file, path)
}

func loadGGUFTokenizer(path string) (tokenizer.Tokenizer, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	t, err := ggufTokenizer(path, file)
	return t, errors.Join(err, file.Close())
}

func readWhole(path string) ([]byte, error) {
	text, err := durable.ReadBounded(path, maxTokenizerFile)
	if unfit := (*durable.UnfitError)(nil); errors.As(err, &unfit) {
		return nil, &checkpoints.Error{
			Path: path, Problem: unfit.Problem, Cause: err,
			Fix: "name a tokenizer.json or a .model file; what a pipe gives, save to a file first",
		}
	}
	if err != nil {
		return nil, checkpoints.Unreadable(path, err)
	}
	return text, nil
}
