package durable

import (
	"bytes"
	"fmt"
	"io"
)

// UnfitError is the answer to a path that is there and cannot be what was asked for: a named pipe, a device, a folder,
// a file that is too large.
type UnfitError struct {
	Problem string // goes on where a path left off: "is not a regular file"
}

func (e *UnfitError) Error() string { return "it " + e.Problem }

// ReadBounded returns the bytes of a regular file of at most limit bytes. All else that is there is an *UnfitError, and
// is told before it is opened: a named pipe would wait for its other end. What the system refuses is its error.
func ReadBounded(path string, limit int64) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	large := &UnfitError{Problem: fmt.Sprintf("has more than %d bytes", limit)}
	if int64(size) > limit {
		return nil, large
	}
	text := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := text.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(text.Len()) > limit { // it grows, or does not tell its size, as files of /proc
		return nil, large
	}
	return text.Bytes(), nil
}
