package checkpoints

import (
	"errors"
	"io/fs"
)

// ErrCheckpoint is the class of every fault of a path that should hold a model, a run or a checkpoint, beside those of
// the single formats (safetensors.ErrFormat, hf.ErrFolder, spec.ErrConfig).
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

// unreadable describes an error of the system.
func unreadable(path string, err error) *Error {
	cause := err
	var p *fs.PathError
	if errors.As(err, &p) {
		cause = p.Err
	}
	return &Error{Path: path, Problem: "cannot be read: " + cause.Error(), Fix: "check the path and its permissions", Cause: err}
}
