package checkpoints

import (
	"errors"

	"mmfree/checkpoints/durable"
)

// ErrCheckpoint is the class of every fault of a path that should hold a model, a run or a checkpoint, beside those of
// the single formats (format.ErrFormat, hf.ErrFolder, spec.ErrConfig).
var ErrCheckpoint = errors.New("checkpoint")

// Error is one fault of a checkpoint, a run folder or a path: where, what, and what to do.
type Error struct {
	Path    string // the file at fault, or the folder
	Problem string
	Fix     string
	Cause   error // the system's error, or nil
}

func (e *Error) Error() string { return e.Path + ": " + e.Problem }

// Unwrap makes errors.Is(err, ErrCheckpoint) true, and finds fs.ErrNotExist and its like.
func (e *Error) Unwrap() []error {
	if e.Cause != nil {
		return []error{ErrCheckpoint, e.Cause}
	}
	return []error{ErrCheckpoint}
}

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Unreadable is the system's refusal to open or read a path.
func Unreadable(path string, err error) *Error {
	return &Error{Path: path, Problem: "cannot be read: " + durable.Cause(err).Error(), Fix: "check the path and its permissions", Cause: err}
}
