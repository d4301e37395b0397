package durable

import (
	"errors"
	"io/fs"
	"os"
)

// ErrLocked is the class of a folder that another process is writing in.
var ErrLocked = errors.New("another process is writing here")

// Lock claims an existing folder for this process's writes, until the returned file is closed or the process ends, however
// it does. It leaves nothing in the folder: what is locked is the folder itself. Where the system has no such locks it
// claims nothing.
func Lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, f.Close())
	}
	return f, nil
}
