package stored

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFormat is the class of every fault of a foreign file's content.
var ErrFormat = errors.New("model file")

// Error is one fault of a file: where it lies, what is wrong and what to do.
type Error struct {
	File    string
	Tensor  string // empty when the fault is not one tensor's
	Offset  int64  // byte of the file at which it was seen; −1 when there is no such place
	Problem string
	Fix     string
	Cause   error // the system's error when the file could not be read at all, else nil
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %.120q: ", e.Tensor)
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
