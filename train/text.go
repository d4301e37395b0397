package train

import (
	"unicode/utf8"

	"mmfree/data"
	"mmfree/data/corpus"
	"mmfree/data/tokenizer"
)

// text is a run's corpus as tokens.
type text struct {
	name      string // for people: a path, or the built-in text's name
	sha256    string
	tokenizer tokenizer.Tokenizer
	loader    *data.Loader

	replay       *data.Loader // of finetune.replay; nil: none
	replayShare  float64
	replaySHA256 string
	rows         uint64 // sequences dealt so far
}

// loadText reads the corpus of a configuration (none named: the built-in one) and fills in the vocabulary's size where
// the configuration leaves it open. base, where it is not nil, is the model whose tokenizer data.tokenizer may ask for.
// threads changes no bit.
func loadText(c *Config, base *Model, threads int) (*text, error) {
	var t text
	var err error
	var read *corpus.Corpus
	if len(c.Data.Corpus) == 0 {
		read, t.name, err = corpus.Builtin(corpus.GoRoot())
	} else {
		read, err = corpus.Load(c.Data.Corpus)
		t.name = c.Data.Corpus[0]
	}
	if err != nil {
		return nil, err
	}
	t.sha256 = read.SHA256
	learn, held := read.Text, []byte(nil)
	if c.Data.Tokenizer == TokenizerBPE {
		learn, held = cutText(read.Text, c.Data.ValFraction)
		t.tokenizer, err = tokenizer.NewBPE(learn, tokenizer.TrainOptions{VocabSize: c.Data.VocabSize, MinFrequency: 2, Threads: threads})
	} else if c.Data.Tokenizer == TokenizerModel {
		if base.TokenizerJSON() == nil {
			return nil, &ConfigError{Key: "data.tokenizer", Problem: base.Path + " has no tokenizer", Fix: "name one: --set data.tokenizer=PATH"}
		}
		t.tokenizer, err = base.Tokenizer()
	} else if isTokenizerPath(c.Data.Tokenizer) {
		t.tokenizer, err = LoadTokenizer(c.Data.Tokenizer)
	} else {
		t.tokenizer, err = tokenizer.New(c.Data.Tokenizer, read.Text)
	}
	if err != nil {
		return nil, err
	}
	switch V := t.tokenizer.VocabSize(); {
	case c.Model.VocabSize == 0:
		c.Model.VocabSize = V
	case c.Model.VocabSize < V:
		return nil, &ConfigError{
			Key: "model.vocab_size", Problem: "is smaller than the tokenizer's vocabulary",
			Fix: "leave it out: it then becomes what the tokenizer has",
		}
	}
	ids, err := t.tokenizer.Encode(make([]int32, 0, len(read.Text)), learn)
	if err != nil {
		return nil, err
	}
	before := len(ids)
	if ids, err = t.tokenizer.Encode(ids, held); err != nil {
		return nil, err
	}
	if t.loader, err = newLoader(c, ids, len(ids)-before); err != nil {
		return nil, err
	}
	return &t, t.loadReplay(c)
}

// newLoader deals ids as the configuration says; held is the number of those that are held out, 0 for val_fraction of them.
func newLoader(c *Config, ids []int32, held int) (*data.Loader, error) {
	return data.New(ids, data.Options{SeqLen: c.Data.SeqLen, ValFraction: c.Data.ValFraction, ValIDs: held, Seed: c.Train.Seed})
}

// next fills b. Of the run's sequences, counted from 0, number k is replayed where ⌊(k+1)·share⌋ is above ⌊k·share⌋.
func (t *text) next(b *data.Batch) error {
	if t.replay == nil {
		t.rows += uint64(b.B)
		return t.loader.Next(b)
	}
	for row := range b.B {
		from := t.loader
		if uint64(float64(t.rows+1)*t.replayShare) > uint64(float64(t.rows)*t.replayShare) {
			from = t.replay
		}
		t.rows++
		at := row * b.T
		if err := from.Next(&data.Batch{B: 1, T: b.T, IDs: b.IDs[at : at+b.T], Labels: b.Labels[at : at+b.T]}); err != nil {
			return err
		}
	}
	return nil
}

// cutText cuts the validation part off a text's end, in bytes, so that every vocabulary has the same one, and not within
// a character.
func cutText(text []byte, fraction float64) (learn, held []byte) {
	at := len(text) - int(float64(len(text))*fraction)
	for back := 0; back < utf8.UTFMax && at > 0 && at < len(text) && !utf8.RuneStart(text[at]); back++ {
		at--
	}
	return text[:at], text[at:]
}

// bytesOf returns the length of the text that ids stand for.
func (t *text) bytesOf(ids []int32) (int, error) {
	raw, err := t.tokenizer.Decode(nil, ids)
	return len(raw), err
}

// bytesPerToken returns the mean over the held-out text, or over the training text where nothing is held out.
func (t *text) bytesPerToken() (float64, error) {
	ids := t.heldOut()
	n, err := t.bytesOf(ids)
	return float64(n) / float64(len(ids)), err
}

// heldOut returns the validation ids, or the training ids where there are none.
func (t *text) heldOut() []int32 {
	if v := t.loader.Val(); len(v) > 0 {
		return v
	}
	return t.loader.Train()
}
