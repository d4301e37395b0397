package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked is the class of a folder that another process is writing in.
var ErrLocked = errors.New("another process is writing here")

// lockName is the file in a folder that its writer holds locked. It stays when the writer ends; only the lock goes.
const lockName = ".lock"

// Lock claims an existing folder for this process's writes, until the returned file is closed or the process ends, however
// it does. Where the system has no such locks (not unix) it claims nothing.
func Lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, &WriteError{Path: path, Op: "lock", Err: err}
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, f.Close())
	}
	return f, nil
}

// IsLock reports whether a name is that of a folder's lock file.
func IsLock(name string) bool { return filepath.Base(name) == lockName }
