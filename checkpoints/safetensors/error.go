package safetensors

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFormat is the class of every fault of a file's content.
var ErrFormat = errors.New("safetensors file")

// FormatError is one fault of a file: where it lies, what is wrong and what to do.
type FormatError struct {
	File    string // path, or a name for bytes that have none
	Tensor  string // empty when the fault is not one tensor's
	Offset  int64  // byte of the file at which it was seen; −1 when there is no such place
	Problem string
	Fix     string
	Cause   error // the system's error when the file could not be read at all, else nil
}

func (e *FormatError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %s: ", shorten(e.Tensor))
	}
	b.WriteString(e.Problem)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " (byte %d)", e.Offset)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrFormat) true, and finds fs.ErrNotExist and its like.
func (e *FormatError) Unwrap() []error {
	if e.Cause != nil {
		return []error{ErrFormat, e.Cause}
	}
	return []error{ErrFormat}
}

// Hint says what to do.
func (e *FormatError) Hint() string { return e.Fix }

const (
	fixCopy = "the file is cut short, damaged or not safetensors: copy it again and compare checksums"
	fixJSON = "the file is damaged or was written by a faulty program: get it again from its source"
)

// shorten keeps a name out of a broken file from filling the screen.
func shorten(s string) string {
	const limit = 120
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s), "?")
}
