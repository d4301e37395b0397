package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// ErrWrite is the class of every failed write: a full disk, a missing permission, a broken device. What existed before
// the write exists unchanged after it.
var ErrWrite = errors.New("write failed")

// WriteError is one failed step of a write: the file or folder meant, the step, and the cause.
type WriteError struct {
	Path string // the final path, not the temporary one
	Op   string // "create", "write", "sync", "close", "rename", "remove"
	Err  error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Path, e.Op, Cause(e.Err))
}

// Cause returns the error inside a *fs.PathError, whose text repeats step and path: for messages that name the path
// themselves.
func Cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Unwrap makes both errors.Is(err, ErrWrite) and questions about the cause work.
func (e *WriteError) Unwrap() []error { return []error{ErrWrite, e.Err} }

// Hint says what to do.
func (e *WriteError) Hint() string {
	switch {
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return "the disk is full: free space and resume"
	case errors.Is(e.Err, syscall.EFBIG):
		return "the file is larger than the system allows here: raise the limit (ulimit -f) and resume"
	case errors.Is(e.Err, fs.ErrPermission), errors.Is(e.Err, syscall.EROFS):
		return "the folder cannot be written: change its permissions or choose another one"
	case errors.Is(e.Err, fs.ErrExist):
		return "it exists already: choose another path, or ask for it to be replaced"
	case errors.Is(e.Err, fs.ErrNotExist):
		return "the folder it belongs in does not exist: create it or choose another one"
	}
	return "check the disk, then run again; nothing that existed before was changed"
}
