package format

import (
	"errors"
	"fmt"
	"strings"

	"mmfree/checkpoints/durable"
)

// ErrFormat is the class of every fault of a file's content.
var ErrFormat = errors.New("file format")

// Error is one fault of a file: where it lies, what is wrong and what to do.
type Error struct {
	File    string // path, or a name for bytes that have none
	Tensor  string // empty when the fault is not one tensor's
	Offset  int64  // byte of the file at which it was seen; −1 when there is no such place
	Problem string
	Fix     string
	Cause   error // the system's error when the file could not be read at all, else nil
}

// Unreadable is the system's refusal to open or read a file.
func Unreadable(path string, err error) *Error {
	return &Error{
		File: path, Offset: -1, Problem: "cannot be read: " + durable.Cause(err).Error(),
		Fix: "check the path and its permissions", Cause: err,
	}
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %s: ", Name(e.Tensor))
	}
	b.WriteString(e.Problem)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " (byte %d)", e.Offset)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrFormat) true, and finds fs.ErrNotExist and its like.
func (e *Error) Unwrap() []error {
	if e.Cause != nil {
		return []error{ErrFormat, e.Cause}
	}
	return []error{ErrFormat}
}

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Name keeps a name out of a broken file from filling the screen, or from steering it.
func Name(s string) string {
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
