package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"mmfree/checkpoints/durable"
)

const (
	maxLine  = 64 << 10 // bytes; ours are below 400
	maxLines = 10_000_000
)

// ErrMetrics is the class of errors about the content of a metrics file.
var ErrMetrics = errors.New("unusable metrics file")

// Error says which line of a metrics file cannot be used, and why.
type Error struct {
	Path    string
	Line    int // from 1
	Problem string
	Fix     string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Problem)
}

// Unwrap makes errors.Is(err, ErrMetrics) hold.
func (e *Error) Unwrap() error { return ErrMetrics }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Writer appends lines to a metrics file. Every line is one write: a crash can cut the last one short, never mix two.
type Writer struct{ file *os.File }

// Create starts a new file; one that exists is an error of class os.ErrExist.
func Create(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file}, nil
}

// Resume opens a file to go on behind a step: lines of later steps, which the run will do again, are dropped, and so is
// a last line that a crash cut short. The file is replaced whole or left alone; a missing one is created.
func Resume(path string, step int64) (*Writer, error) {
	if err := truncateAfter(path, step); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file}, nil
}

// Append writes one line and hands it to the operating system before it returns.
func (w *Writer) Append(l Line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.file.Write(append(text, '\n'))
	return err
}

// Sync brings what was appended to the disk. Append does not: a checkpoint does, and lines behind the last checkpoint
// are dropped at the next start anyway.
func (w *Writer) Sync() error { return w.file.Sync() }

// Close syncs and closes the file.
func (w *Writer) Close() error { return errors.Join(w.file.Sync(), w.file.Close()) }

// Read returns the lines of a metrics file, in order. A last line without a line end is one that is being written or
// was cut short: it is left out unless it is whole. Any other line that is not one of ours is an *Error.
func Read(path string) ([]Line, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []Line
	err = scan(file, path, func(l Line, _ []byte) { lines = append(lines, l) })
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// scan calls each with every whole line of r and its text without line end, which holds until the next call.
func scan(r io.Reader, path string, each func(l Line, text []byte)) error {
	in := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		last := errors.Is(err, io.EOF)
		switch {
		case last && len(text) == 0:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return &Error{path, n, fmt.Sprintf("a line of more than %d bytes", maxLine), "this is not a metrics file: name another"}
		case err != nil && !last:
			return fmt.Errorf("%s:%d: %w", path, n, err)
		case n > maxLines:
			return &Error{path, n, fmt.Sprintf("more than %d lines", maxLines), "log less often"}
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		var l Line
		if err := json.Unmarshal(text, &l); err != nil {
			if last {
				return nil
			}
			return &Error{path, n, err.Error(), "repair or remove the line; lines behind the last checkpoint are not needed"}
		}
		each(l, text)
	}
}

// truncateAfter rewrites the file without the lines of steps behind step and without a torn end.
func truncateAfter(path string, step int64) error {
	was, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer was.Close()
	return durable.WriteFile(durable.OS{}, path, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		err := scan(was, path, func(l Line, text []byte) {
			if l.Step <= step {
				out.Write(text) // a bufio.Writer keeps its first error for Flush
				out.WriteByte('\n')
			}
		})
		was.Close() // Windows renames nothing over a file that is open
		return errors.Join(err, out.Flush())
	})
}
