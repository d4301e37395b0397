package tokenizer

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTokenizer is the class of every error of this package: text, ids or a file that a tokenizer cannot take.
var ErrTokenizer = errors.New("unusable for the tokenizer")

// Error says what a tokenizer cannot take, and where.
type Error struct {
	Source  string // file name as given to Parse, or the tokenizer's own name
	Offset  int64  // byte in the text or index in the ids; -1 when the whole is meant
	Problem string
	Fix     string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Source)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, ": at %d", e.Offset)
	}
	return b.String() + ": " + e.Problem
}

// Unwrap makes errors.Is(err, ErrTokenizer) hold.
func (e *Error) Unwrap() error { return ErrTokenizer }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Specials are the ids of a vocabulary that stand for no text; -1 = none.
type Specials struct{ BOS, EOS, Unknown, Pad int32 }

func noSpecials() Specials { return Specials{-1, -1, -1, -1} }

// Tokenizer turns text into ids in [0, VocabSize) and back. It is immutable, hence safe for concurrent use.
type Tokenizer interface {
	// Name is the word for its kind; New knows bytes and chars by theirs.
	Name() string
	// VocabSize is the number of ids.
	VocabSize() int
	// Encode appends the ids of text to dst. It does not allocate when dst has room for them and scratch memory is warm. On an error,
	// which names the byte, dst comes back as far as it got.
	Encode(dst []int32, text []byte) ([]int32, error)
	// EncodeSpecial is Encode with the ids that the tokenizer puts round a text: BOS, EOS, a template.
	EncodeSpecial(dst []int32, text []byte) ([]int32, error)
	// Specials are the ids that have a meaning beside text.
	Specials() Specials
	// Decode appends the text of ids to dst; special ones have none. An id outside the vocabulary is an error that names
	// its index. Bytes come as the ids say, be they valid UTF-8 or not.
	Decode(dst []byte, ids []int32) ([]byte, error)
	// JSON is the tokenizer.json from which Parse, and Hugging Face's tokenizers library, make the same tokenizer.
	JSON() ([]byte, error)
}

// New makes the tokenizer called kind: "bytes", which needs no text, or "chars" over the characters of corpusText.
func New(kind string, corpusText []byte) (Tokenizer, error) {
	switch kind {
	case bytesName:
		return Bytes{}, nil
	case charsName:
		return NewChars(corpusText)
	}
	return nil, &Error{
		Source: "tokenizer " + fmt.Sprintf("%q", kind), Offset: -1, Problem: "no such tokenizer",
		Fix: "use bytes, chars, or the path of a tokenizer.json written by either",
	}
}

// outOfRange is the error for ids[i] in a vocabulary of size ids.
func outOfRange(name string, ids []int32, i, size int) error {
	return &Error{
		Source: name, Offset: int64(i), Problem: fmt.Sprintf("id %d is not in the vocabulary of %d", ids[i], size),
		Fix: "decode with the tokenizer that the ids were made with",
	}
}
