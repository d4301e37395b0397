package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"mmfree/checkpoints/durable"
)

// maxBytes bounds a corpus: it is held in memory whole, beside its tokens at four bytes each.
const maxBytes = min(8<<30, math.MaxInt)

// ErrCorpus is the class of every error of this package: the text is missing or cannot be used.
var ErrCorpus = errors.New("unusable corpus")

// Error says which file cannot be used, and why.
type Error struct {
	Path    string // as given or found; empty when no single path is to blame
	Line    int64  // from 1; 0 when no line is meant
	Offset  int64  // byte in the file, what was packed counted unpacked; 0 when the whole file is meant
	Problem string
	Fix     string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Offset > 0 {
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
	}
	return b.String() + e.Problem
}

// Unwrap makes errors.Is(err, ErrCorpus) hold.
func (e *Error) Unwrap() error { return ErrCorpus }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Corpus is text in memory. Nothing stands between two files that was not in them: a file that should not run into
// the next one ends in a newline of its own.
type Corpus struct {
	Text    []byte
	Sources []Source // in the order of Text
	// Documents are where they lie in Text, in order: files, and the records of JSONL and Parquet files without the newline
	// that decoding puts behind them.
	Documents []Span
	SHA256    string // of Text, in lower-case hex: two corpora of one sum train the same model
}

// Span is the bytes From to To of a text.
type Span struct{ From, To int64 }

// Between returns the texts of the documents, or the parts of them, that lie between two places of the text.
func (c *Corpus) Between(from, to int64) [][]byte {
	var texts [][]byte
	for _, d := range c.Documents {
		if a, b := max(from, d.From), min(to, d.To); a < b {
			texts = append(texts, c.Text[a:b])
		}
	}
	return texts
}

// Load reads paths in the order given; a path given twice counts twice. A file is taken whatever its name; a folder
// stands for the text, JSONL and Parquet files below it, in sorted order; packed files and records are decoded (see decode).
//
// It is an error when a path is missing or neither a file nor a folder, a named file is empty, a folder holds no text,
// or everything together is larger than 8 GiB, which is found out before anything is read.
func Load(paths []string) (*Corpus, error) { return load(paths, maxBytes) }

func load(paths []string, limit int64) (*Corpus, error) {
	sources, err := Resolve(paths)
	if err != nil {
		return nil, err
	}
	for i := range sources {
		if err := checkLoadable(&sources[i]); err != nil {
			return nil, err
		}
	}
	for i := range sources {
		if plain, err := isPlain(&sources[i]); err != nil {
			return nil, err
		} else if !plain {
			return decode(sources, limit)
		}
	}
	return read(sources, limit)
}

// read loads the files listed, whose sizes are known, and fills in where each starts.
func read(sources []Source, limit int64) (*Corpus, error) {
	var total int64
	for i := range sources {
		sources[i].Start = total
		if total += sources[i].Bytes; total > limit || total < 0 {
			return nil, tooLarge(sources[i].Path, limit)
		}
	}
	if total == 0 {
		return nil, &Error{Path: sources[0].Path, Problem: "the file is empty", Fix: "leave it out, or name a file with text"}
	}
	c := &Corpus{Text: make([]byte, total), Sources: sources}
	for _, s := range sources {
		if err := readFile(s.Path, c.Text[s.Start:s.Start+s.Bytes]); err != nil {
			return nil, err
		}
		c.Documents = append(c.Documents, Span{s.Start, s.Start + s.Bytes})
	}
	sum := sha256.Sum256(c.Text)
	c.SHA256 = hex.EncodeToString(sum[:])
	return c, nil
}

// readFile fills dst, which is as long as the file was when it was listed.
func readFile(path string, dst []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	defer f.Close()
	n, err := io.ReadFull(f, dst)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &Error{
			Path: path, Offset: int64(n), Problem: fmt.Sprintf("the file ends here, and was %d bytes a moment ago", len(dst)),
			Fix: "wait until nothing writes to it, then start again",
		}
	}
	if err != nil {
		return unreadable(path, err)
	}
	return nil
}

func unreadable(path string, err error) error {
	return &Error{Path: path, Problem: durable.Cause(err).Error(), Fix: "check that the file can be read"}
}
