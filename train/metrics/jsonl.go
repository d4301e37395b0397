package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"mmfree/checkpoints/durable"
)

const (
	maxLine  = 1 << 20 // bytes; ours are below 400, and 100 a layer where they speak of health
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

// Writer appends lines to a metrics file.
type Writer struct{ log *durable.Log }

// Resume opens a file to go on behind a step, and makes it where it is missing: lines of later steps, which the run will do
// again, are dropped, and so is a last line that a crash cut short. The file is replaced whole or left alone. Damaged
// lines, which a power cut may leave behind the last checkpoint, are dropped too; the warning names the first.
func Resume(fsys durable.FS, path string, step int64) (w *Writer, warning string, err error) {
	if warning, err = truncateAfter(fsys, path, step); err != nil {
		return nil, "", err
	}
	log, err := durable.OpenLog(fsys, path)
	if err != nil {
		return nil, "", err
	}
	return &Writer{log}, warning, nil
}

// Append writes one line and hands it to the operating system before it returns. A line that cannot be written is kept
// for the next time: the error needs no other answer than telling.
func (w *Writer) Append(l Line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return w.log.Append(append(text, '\n'))
}

// Sync brings what was appended to the disk. Append does not: a checkpoint does, and lines behind the last checkpoint
// are dropped at the next start anyway.
func (w *Writer) Sync() error { return w.log.Sync() }

// Close syncs and closes the file.
func (w *Writer) Close() error { return w.log.Close() }

// Read returns the lines of a metrics file, in order. A last line without a line end is one that is being written or
// was cut short: it is left out unless it is whole. Any other line that is not one of ours is left out too, and a warning
// names the first.
func Read(fsys durable.FS, path string) (lines []Line, warning string, err error) {
	text, unload, err := fsys.Map(path)
	if err != nil {
		return nil, "", err
	}
	warning, err = scan(text, path, func(l Line, _ []byte) { lines = append(lines, l) })
	return lines, warning, errors.Join(err, unload())
}

// scan calls each with every whole line and its text without line end. The warning names the first damaged line.
func scan(text []byte, path string, each func(l Line, text []byte)) (warning string, err error) {
	var first *Error
	damaged := 0
	for n := 1; len(text) > 0; n++ {
		if n > maxLines {
			return "", &Error{path, n, fmt.Sprintf("more than %d lines", maxLines), "log less often"}
		}
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		var l Line
		err := fmt.Errorf("a line of more than %d bytes", maxLine)
		if len(line) <= maxLine {
			err = json.Unmarshal(line, &l)
		}
		switch {
		case err == nil:
			each(l, line)
		case ended || len(line) > maxLine:
			if damaged++; first == nil {
				first = &Error{Path: path, Line: n, Problem: err.Error()}
			}
		}
	}
	if first != nil {
		warning = fmt.Sprintf("%v: left this line out, and %d more that are damaged", first, damaged-1)
	}
	return warning, nil
}

// truncateAfter rewrites the file without the lines of steps behind step, without damaged ones and without a torn end.
func truncateAfter(fsys durable.FS, path string, step int64) (warning string, err error) {
	text, unload, err := fsys.Map(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	err = durable.WriteFile(fsys, path, func(w io.Writer) error {
		out := bufio.NewWriter(w) // keeps its first error for Flush
		warning, err = scan(text, path, func(l Line, line []byte) {
			if l.Step <= step {
				out.Write(line)
				out.WriteByte('\n')
			}
		})
		return errors.Join(err, out.Flush())
	})
	return warning, errors.Join(err, unload())
}
