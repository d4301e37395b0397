package train

import (
	"errors"

	"mmfree/checkpoints/durable"
	"mmfree/data"
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

	sources []*source
	at      place // of the next step's sequences
	ahead   *data.Prefetcher[*dealt]
}

// place is where a run stands in its text.
type place struct {
	position, replay data.Position
	rows             uint64 // sequences dealt so far
}

// dealt is the batches of one step, and where the run stands behind them.
type dealt struct {
	batches []*data.Batch
	behind  place
}

// loadText reads the corpus of a configuration (none named: the built-in one) and fills in the vocabulary's size where
// the configuration leaves it open. base, where it is not nil, is the model whose tokenizer data.tokenizer may ask for.
// threads changes no bit.
func loadText(c *Config, base *Model, threads int) (*text, error) {
	s, err := openSource(c.Data.Corpus)
	if err != nil {
		return nil, err
	}
	t := &text{name: s.name, sha256: s.sha256, sources: []*source{s}}
	if err := t.encode(c, base, threads); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *text) encode(c *Config, base *Model, threads int) (err error) {
	s := t.sources[0]
	if t.tokenizer, err = s.tokenizer(c, base, threads); err != nil {
		return err
	}
	switch V := t.tokenizer.VocabSize(); {
	case c.Model.VocabSize == 0:
		c.Model.VocabSize = V
	case c.Model.VocabSize < V:
		return &ConfigError{
			Key: "model.vocab_size", Problem: "is smaller than the tokenizer's vocabulary",
			Fix: "leave it out: it then becomes what the tokenizer has",
		}
	}
	if err = s.encode(t.tokenizer, threads); err != nil {
		return err
	}
	if t.loader, err = s.loader(c); err != nil {
		return err
	}
	return t.loadReplay(c, threads)
}

// close ends what is under way and releases files.
func (t *text) close() error {
	if t.ahead != nil {
		t.ahead.Close()
		t.ahead = nil
	}
	var errs []error
	for _, s := range t.sources {
		errs = append(errs, s.close())
	}
	t.sources = nil
	return errors.Join(errs...)
}

// seek makes p the place of the next step's sequences. Not behind start.
func (t *text) seek(p place) error {
	if err := t.loader.Seek(p.position); err != nil {
		return err
	}
	if t.replay != nil {
		if err := t.replay.Seek(p.replay); err != nil {
			return err
		}
	}
	t.at = p
	return nil
}

// start begins to deal batches, a step ahead of next.
func (t *text) start(c *Config) {
	const ahead = 2 // steps in memory: one in use, one waiting
	var values []*dealt
	for range ahead {
		d := &dealt{}
		for range c.Train.Accumulate {
			d.batches = append(d.batches, data.NewBatch(c.Data.BatchSize, c.Data.SeqLen))
		}
		values = append(values, d)
	}
	at := t.at
	t.ahead = data.NewPrefetcher(values, func(d *dealt) error {
		err := durable.Guard(func() error { // shards are mapped files
			for _, b := range d.batches {
				if err := t.deal(b, at.rows); err != nil {
					return err
				}
				at.rows += uint64(b.B)
			}
			return nil
		})
		if err != nil {
			return err
		}
		at.position = t.loader.Position()
		if t.replay != nil {
			at.replay = t.replay.Position()
		}
		d.behind = at
		return nil
	})
}

// next returns the batches of the next step, which hold until the following call.
func (t *text) next() ([]*data.Batch, error) {
	d, err := t.ahead.Next()
	if err != nil {
		return nil, err
	}
	t.at = d.behind
	return d.batches, nil
}

// deal fills b, whose first sequence is number first of the run. Number k is replayed where ⌊(k+1)·share⌋ is above ⌊k·share⌋.
func (t *text) deal(b *data.Batch, first uint64) error {
	if t.replay == nil {
		return t.loader.Next(b)
	}
	for row := range b.B {
		from, k := t.loader, first+uint64(row)
		if uint64(float64(k+1)*t.replayShare) > uint64(float64(k)*t.replayShare) {
			from = t.replay
		}
		r := b.Row(row)
		if err := from.Next(&r); err != nil {
			return err
		}
	}
	return nil
}

// bytesOf returns the length of the text that ids stand for.
func (t *text) bytesOf(ids []int32) (int, error) {
	raw, err := t.tokenizer.Decode(nil, ids)
	return len(raw), err
}

// bytesPerToken returns the mean over the held-out text, or over the training text where nothing is held out; of long ones
// over their beginning.
func (t *text) bytesPerToken() (float64, error) {
	const enough = 1 << 22
	ids := t.heldOut(enough)
	n, err := t.bytesOf(ids)
	return float64(n) / float64(len(ids)), err
}

// heldOut returns the first ids, at most n, of the validation text, or of the training text where there is none.
func (t *text) heldOut(n int) []int32 {
	s := t.loader.Val()
	if s.Len() == 0 {
		s = t.loader.Train()
	}
	return data.Read(s, min(n, s.Len()))
}
