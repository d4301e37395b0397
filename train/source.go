package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"unicode/utf8"

	"mmfree/data"
	"mmfree/data/corpus"
	"mmfree/data/prepare"
	"mmfree/data/shard"
	"mmfree/data/tokenizer"
)

// source is a corpus on its way to ids: text in memory, or a folder of shards.
type source struct {
	name   string
	sha256 string
	text   *corpus.Corpus // nil for shards
	dir    string         // of shards
	set    *shard.Set     // of text: what encode made
	// Of text from here on nothing is learned: a vocabulary that is learned has not seen the held-out part. 0: no such cut.
	learned int64
	held    *shard.Set // what encode made of it
}

// openSource opens text files or one folder of shards; no path is the built-in text.
func openSource(paths []string) (s *source, err error) {
	s = &source{}
	for _, path := range paths {
		if shard.IsSet(path) {
			if len(paths) > 1 {
				return nil, &corpus.Error{Path: path, Problem: "shards stand beside other paths", Fix: "name one folder of shards, or make one of all texts with mmfree prepare"}
			}
			return openShards(path)
		}
	}
	if len(paths) == 0 {
		s.text, s.name, err = corpus.Builtin(corpus.GoRoot())
	} else {
		s.name = paths[0]
		s.text, err = corpus.Load(paths)
	}
	if err != nil {
		return nil, err
	}
	s.sha256 = s.text.SHA256
	return s, nil
}

// openShards maps a folder of shards and compares their sums.
func openShards(dir string) (*source, error) {
	set, err := shard.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := set.Verify(); err != nil {
		return nil, errors.Join(err, set.Close())
	}
	files, err := json.Marshal([]any{set.Index.Tokenizer, set.Index.Train, set.Index.Val})
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	sum := sha256.Sum256(files)
	return &source{name: dir, dir: dir, sha256: hex.EncodeToString(sum[:]), set: set}, nil
}

func (s *source) close() error {
	if s.set == nil {
		return nil
	}
	return s.set.Close()
}

// tokenizer makes or opens the tokenizer that a configuration asks for. Shards have theirs: it takes the place of one that
// would be made of the text, and a file or a model must have the same.
func (s *source) tokenizer(c *Config, base *Model, threads int) (t tokenizer.Tokenizer, err error) {
	switch {
	case c.Data.Tokenizer == TokenizerModel && base.TokenizerJSON() == nil:
		return nil, &ConfigError{Key: "data.tokenizer", Problem: base.Path + " has no tokenizer", Fix: "name one: --set data.tokenizer=PATH"}
	case c.Data.Tokenizer == TokenizerModel:
		return base.Tokenizer()
	case isTokenizerPath(c.Data.Tokenizer):
		return LoadTokenizer(c.Data.Tokenizer)
	case s.text == nil:
		c.Data.Tokenizer, c.Data.VocabSize = filepath.Join(s.dir, shard.TokenizerFile), 0
		return tokenizer.Parse(s.set.Tokenizer, c.Data.Tokenizer)
	case c.Data.Tokenizer == TokenizerBPE:
		s.learned = cutText(s.text.Text, c.Data.ValFraction)
		return tokenizer.NewBPE(s.text.Text[:s.learned], tokenizer.TrainOptions{VocabSize: c.Data.VocabSize, MinFrequency: 2, Threads: threads})
	}
	return tokenizer.New(c.Data.Tokenizer, s.text.Text)
}

// encode makes ids of a text, document by document. Shards hold them, of a tokenizer that must be t.
func (s *source) encode(t tokenizer.Tokenizer, threads int) (err error) {
	if s.text == nil {
		file, err := t.JSON()
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != s.set.Index.Tokenizer.SHA256 {
			x := s.set.Index.Tokenizer
			return &ConfigError{
				Key: "data.tokenizer", Problem: fmt.Sprintf("is not that of %s, which was made with one named %s of %d tokens", s.dir, x.Name, x.VocabSize),
				Fix: "leave it out: shards bring theirs; or prepare the text again with this one",
			}
		}
		return nil
	}
	end := int64(len(s.text.Text))
	if s.learned > 0 {
		if s.held, err = s.encodePart(t, s.learned, end, threads); err != nil {
			return err
		}
		end = s.learned
	}
	s.set, err = s.encodePart(t, 0, end, threads)
	return err
}

func (s *source) encodePart(t tokenizer.Tokenizer, from, to int64, threads int) (*shard.Set, error) {
	texts := s.text.Between(from, to)
	if len(texts) == 0 {
		return shard.InMemory(shard.Index{}, nil, nil, nil), nil
	}
	set, _, err := prepare.InMemory(context.Background(), corpus.OfTexts(s.name, texts), t, prepare.Options{Threads: threads})
	return set, err
}

// loader deals the ids: those that the shards, or the learning of the vocabulary, hold out are held out, else the end.
func (s *source) loader(c *Config) (*data.Loader, error) {
	o := data.Options{
		SeqLen: c.Data.SeqLen, ValFraction: c.Data.ValFraction, Seed: c.Train.Seed,
		Carry: c.Data.Carry, Rows: c.rows(),
	}
	switch {
	case s.held != nil:
		return data.NewSplit(s.set.Train, s.held.Train, o)
	case s.set.Val.Len() > 0:
		return data.NewSplit(s.set.Train, s.set.Val, o)
	}
	return data.New(s.set.Train, o)
}

// cutText returns where the validation part of a text begins, in bytes, so that every vocabulary has the same one, and not
// within a character.
func cutText(text []byte, fraction float64) int64 {
	at := len(text) - int(float64(len(text))*fraction)
	for back := 0; back < utf8.UTFMax && at > 0 && at < len(text) && !utf8.RuneStart(text[at]); back++ {
		at--
	}
	return int64(at)
}
