package gguf

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFormat is the class of every fault of a file's content.
var ErrFormat = errors.New("GGUF file")

// FormatError is one fault of a file: where it lies, what is wrong and what to do.
type FormatError struct {
	File    string // path, or a name for bytes that have none
	Offset  int64  // byte of the file at which it was seen; −1 when there is no such place
	Problem string
	Fix     string
	Cause   error // the system's error when the file could not be read at all, else nil
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return e.File + ": " + e.Problem
	}
	return fmt.Sprintf("%s: %s (byte %d)", e.File, e.Problem, e.Offset)
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
	fixCopy    = "the file is cut short, damaged or no GGUF file: copy it again and compare checksums"
	fixFaulty  = "the file was written by a faulty program: get it again from its source"
	fixUnknown = "convert the file with a program that writes the types F32, F16, BF16, Q8_0, TQ1_0, TQ2_0 or I2_S"
)

// quoted keeps a name out of a broken file from filling the screen.
func quoted(name string) string {
	return fmt.Sprintf("%q", strings.ToValidUTF8(name[:min(len(name), 120)], "?"))
}
