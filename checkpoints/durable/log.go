package durable

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxPending bounds what a Log keeps for later.
const maxPending = 64 << 20

// Log is a file that one process appends to. What cannot be written stays in memory and goes first the next time, from the
// very byte that was reached: a disk that is full for a while loses nothing and tears nothing. Append and Sync may be called
// by several goroutines, Close by one.
type Log struct {
	path string
	file File

	mu      sync.Mutex
	pending []byte
}

// OpenLog opens a file for appending, and makes it if it is missing.
func OpenLog(fsys FS, path string) (*Log, error) {
	f, err := fsys.Append(path)
	if err != nil {
		return nil, &WriteError{Path: path, Op: "create", Err: err}
	}
	return &Log{path: path, file: f}, nil
}

// Append hands p to the operating system. An error says that some of it has to wait; beyond 64 MiB of waiting bytes p is
// not taken.
func (l *Log) Append(p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p) > maxPending-len(l.pending) {
		return &WriteError{Path: l.path, Op: "write", Err: fmt.Errorf("%d bytes could not be written so far, more are not kept", len(l.pending))}
	}
	l.pending = append(l.pending, p...)
	return l.flush()
}

// flush writes what waits; under mu.
func (l *Log) flush() error {
	if len(l.pending) == 0 {
		return nil
	}
	n, err := l.file.Write(l.pending)
	if err == nil && n < len(l.pending) {
		err = io.ErrShortWrite
	}
	l.pending = append(l.pending[:0], l.pending[max(n, 0):]...)
	if err != nil {
		return &WriteError{Path: l.path, Op: "write", Err: err}
	}
	return nil
}

// Sync writes what waits and brings all to the disk. Append waits for the first, not for the second.
func (l *Log) Sync() error {
	l.mu.Lock()
	err := l.flush()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return &WriteError{Path: l.path, Op: "sync", Err: err}
	}
	return nil
}

// Close syncs and closes the file.
func (l *Log) Close() error {
	err := l.Sync()
	if cerr := l.file.Close(); cerr != nil {
		err = errors.Join(err, &WriteError{Path: l.path, Op: "close", Err: cerr})
	}
	return err
}
