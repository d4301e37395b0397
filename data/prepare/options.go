package prepare

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"mmfree/data/corpus"
	"mmfree/data/shard"
	"mmfree/data/tokenizer"
)

// Limits of Options.ShardTokens. A shard ends with the piece that fills it, so the largest leaves room for one.
const (
	minShardTokens     = 1
	maxShardTokens     = 1 << 30
	DefaultShardTokens = 1 << 25
)

// Options says how documents become ids.
type Options struct {
	Special     bool    // round each document stand the ids that the tokenizer puts round a text: BOS, EOS, a template
	EOS         bool    // behind each document stands the tokenizer's end of text, once
	Dedup       bool    // a document whose text came before is left out
	ValFraction float64 // of the documents, chosen by their sums, that are held out; in [0, 1)
	ShardTokens int     // ids of a shard; the piece of text that reaches it is its last. 0 = DefaultShardTokens
	Threads     int     // that encode; below 1 counts as 1. It changes no byte
	Progress    func(Progress)
}

// Progress is where a preparation stands.
type Progress struct {
	Bytes, TotalBytes int64 // of files as stored; the total is 0 where standard input is all
	Documents, Tokens int64
	Again             bool // reading what an earlier process has prepared
}

func (o *Options) validate() error {
	if !(o.ValFraction >= 0 && o.ValFraction < 1) { // NaN fails too
		return &corpus.Error{Problem: fmt.Sprintf("a validation fraction of %v", o.ValFraction), Fix: "choose a number from 0 to less than 1"}
	}
	if o.ShardTokens == 0 {
		o.ShardTokens = DefaultShardTokens
	}
	if o.ShardTokens < minShardTokens || o.ShardTokens > maxShardTokens {
		return &corpus.Error{Problem: fmt.Sprintf("shards of %d tokens", o.ShardTokens), Fix: fmt.Sprintf("choose %d to %d", minShardTokens, maxShardTokens)}
	}
	o.Threads = max(1, o.Threads)
	return nil
}

// Settings is what decides the bytes of the shards of a corpus, as an index keeps it.
type Settings struct {
	Corpus       []string                 `json:"corpus"` // as given
	Format       string                   `json:"format"`
	Field        string                   `json:"field"`
	Column       string                   `json:"column"`
	Separator    string                   `json:"separator"`
	MaxLineBytes int                      `json:"max_line_bytes"`
	Policies     map[string]corpus.Policy `json:"policies"`
	Special      bool                     `json:"add_special"`
	EOS          bool                     `json:"add_eos"`
	Dedup        bool                     `json:"dedup"`
	ValFraction  float64                  `json:"val_fraction"`
	ShardTokens  int                      `json:"shard_tokens"`
	Tokenizer    shard.Tokenizer          `json:"tokenizer"`
}

func newSettings(r *corpus.Reader, o *Options, id shard.Tokenizer) Settings {
	read := r.Options()
	s := Settings{
		Corpus: r.Paths(), Format: read.Format, Field: read.Field, Column: read.Column, Separator: read.Separator, MaxLineBytes: read.MaxLine,
		Policies: map[string]corpus.Policy{}, Special: o.Special, EOS: o.EOS, Dedup: o.Dedup, ValFraction: o.ValFraction,
		ShardTokens: o.ShardTokens, Tokenizer: id,
	}
	for _, c := range corpus.Cases() {
		s.Policies[c.String()] = read.Policy(c)
	}
	return s
}

// identify returns a tokenizer's tokenizer.json and what an index says of it.
func identify(t tokenizer.Tokenizer) ([]byte, shard.Tokenizer, error) {
	file, err := t.JSON()
	if err != nil {
		return nil, shard.Tokenizer{}, err
	}
	sum := sha256.Sum256(file)
	return file, shard.Tokenizer{Name: t.Name(), SHA256: hex.EncodeToString(sum[:]), VocabSize: t.VocabSize()}, nil
}

// around returns the ids that stand before and behind each document.
func around(t tokenizer.Tokenizer, o *Options) (before, behind []int32, err error) {
	const probe = "a"
	none, err := t.EncodeSpecial(nil, nil)
	if err != nil {
		return nil, nil, err
	}
	if o.Special && len(none) > 0 {
		plain, err := t.Encode(nil, []byte(probe))
		if err != nil {
			return nil, nil, err
		}
		all, err := t.EncodeSpecial(nil, []byte(probe))
		if err != nil {
			return nil, nil, err
		}
		at := 0
		for at+len(plain) < len(all) && !slices.Equal(all[at:at+len(plain)], plain) {
			at++
		}
		if at+len(plain) > len(all) || !slices.Equal(all[at:at+len(plain)], plain) {
			return nil, nil, &tokenizer.Error{Source: t.Name(), Offset: -1, Problem: "its template changes the text it stands round", Fix: "leave special ids out"}
		}
		before, behind = all[:at], all[at+len(plain):]
	}
	if o.EOS {
		eos := t.Specials().EOS
		if eos < 0 {
			return nil, nil, &tokenizer.Error{Source: t.Name(), Offset: -1, Problem: "has no id for the end of a text", Fix: "leave the end of text out, or take a tokenizer that has one"}
		}
		if len(behind) == 0 || behind[len(behind)-1] != eos {
			behind = append(slices.Clone(behind), eos)
		}
	}
	return before, behind, nil
}

// Characters makes the tokenizer of the characters of documents, which are read to their end.
func Characters(r *corpus.Reader) (tokenizer.Tokenizer, error) {
	seen := map[rune]bool{}
	var text []byte // each character once
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tokenizer.NewChars(text)
		}
		if err != nil {
			return nil, err
		}
		for at := 0; at < len(d.Text); {
			c, n := utf8.DecodeRune(d.Text[at:])
			if c == utf8.RuneError && n == 1 {
				return nil, &DocumentError{Path: r.Sources()[d.Source].Path, At: d.Start, Err: fmt.Errorf("byte 0x%02x at %d is no UTF-8, and has no character", d.Text[at], at)}
			}
			if !seen[c] {
				seen[c] = true
				text = append(text, d.Text[at:at+n]...)
			}
			at += n
		}
	}
}
