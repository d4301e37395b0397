package shard

import (
	"errors"
	"fmt"
)

// ErrFormat is the class of every file that is no shard or no index, or is damaged.
var ErrFormat = errors.New("damaged shards")

// FormatError says which file cannot be used, where, and why.
type FormatError struct {
	Path    string
	Offset  int64 // byte; -1 when the whole file is meant
	Problem string
}

func (e *FormatError) Error() string {
	if e.Offset >= 0 {
		return fmt.Sprintf("%s: byte %d: %s", e.Path, e.Offset, e.Problem)
	}
	return e.Path + ": " + e.Problem
}

// Unwrap makes errors.Is(err, ErrFormat) hold.
func (e *FormatError) Unwrap() error { return ErrFormat }

// Hint says what to do.
func (e *FormatError) Hint() string { return "copy the folder again, or prepare the corpus again" }
