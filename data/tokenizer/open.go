package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	hf "github.com/sugarme/tokenizer"
)

// Names of tokenizer files in a folder.
const (
	jsonName   = "tokenizer.json"
	modelName  = "tokenizer.model"
	vocabName  = "vocab.json"
	mergesName = "merges.txt"
)

// Open makes the tokenizer that a word or a path names: bytes; a tokenizer.json; a SentencePiece .model; GPT-2's vocab.json,
// with merges.txt beside it; or a folder that holds one of them. What a file is, is read from its content.
func Open(path string) (Codec, error) {
	if path == bytesName {
		return Bytes{}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if info.IsDir() {
		for _, name := range []string{jsonName, modelName, vocabName} {
			inside := filepath.Join(path, name)
			if _, err := os.Stat(inside); err == nil {
				return Open(inside)
			}
		}
		return nil, &Error{
			Source: path, Offset: -1, Problem: "holds no " + jsonName + ", " + modelName + " or " + vocabName,
			Fix: "name the file of the tokenizer, or the word bytes",
		}
	}
	if filepath.Base(path) == mergesName {
		path = filepath.Join(filepath.Dir(path), vocabName)
	}
	file, err := readFile(path)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(file, []byte("GGUF")):
		return nil, &Error{
			Source: path, Offset: -1, Problem: "is a GGUF file, whose tokenizer is not read", Fix: "name the tokenizer.json or .model that it was made from",
		}
	case len(bytes.TrimLeft(file, " \t\r\n")) == 0 || bytes.TrimLeft(file, " \t\r\n")[0] != '{':
		return ParseModel(file, path)
	}
	var shape struct {
		Model json.RawMessage `json:"model"`
	}
	// A vocabulary has a number there, if it has that token.
	if json.Unmarshal(file, &shape) == nil && !bytes.HasPrefix(shape.Model, []byte("{")) {
		merges, err := readFile(filepath.Join(filepath.Dir(path), mergesName))
		if err != nil {
			return nil, err
		}
		return ParseVocab(file, merges, path)
	}
	return Parse(file, path)
}

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, unreadable(path, errors.New("it is not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	return b, nil
}

func unreadable(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &Error{
		Source: path, Offset: -1, Problem: "cannot be read: " + err.Error(),
		Fix: "name a tokenizer.json, a SentencePiece .model, a vocab.json with merges.txt beside it, or the word bytes",
	}
}

// endOfText is the one special token of GPT-2's vocabulary, which its files do not mark as such.
const endOfText = "<|endoftext|>"

// ParseVocab makes a byte-level BPE tokenizer with GPT-2's pattern of the vocabulary and merges that GPT-2's own files
// have. name is that of vocab.json, for errors.
func ParseVocab(vocab, merges []byte, name string) (Tokenizer, error) {
	fail := func(err error) (Tokenizer, error) {
		return nil, &Error{Source: name, Offset: -1, Problem: err.Error(), Fix: "use a vocab.json and the merges.txt that belongs to it, copied whole"}
	}
	var tokens map[string]any
	if err := json.Unmarshal(vocab, &tokens); err != nil {
		return fail(fmt.Errorf("no vocabulary: %w", err))
	}
	var list []any
	for i, line := range strings.Split(strings.TrimSuffix(string(merges), "\n"), "\n") {
		if line = strings.TrimSuffix(line, "\r"); i == 0 && strings.HasPrefix(line, "#version") {
			continue
		}
		list = append(list, line)
	}
	var added []hf.TokenConfig
	if id, ok := tokens[endOfText].(float64); ok {
		added = append(added, hf.TokenConfig{Id: int64(id), Content: endOfText, Special: true})
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}
	t, err := parseBytePairs(&hf.Config{
		AddedTokens: added, PreTokenizer: level, Decoder: level,
		Model: map[string]any{"type": "BPE", "byte_fallback": false, "vocab": tokens, "merges": list},
	})
	if err != nil {
		return fail(err)
	}
	return t, nil
}
