package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// textRecords reads a text file: one document, or several between separators. A document longer than PieceBytes comes
// as several records, cut where cutPiece cuts, so that memory stays flat.
type textRecords struct {
	r         *Reader
	in        *input
	separator []byte

	buf    []byte
	from   int   // what is given out already
	at     int64 // byte of the file at buf[from]
	eof    bool
	first  bool // the next record begins a document
	any    bool // a byte was read
	ended  bool
	looked int // no separator begins in buf[from:looked]
}

func newText(r *Reader, in *input) (*textRecords, error) {
	t := &textRecords{r: r, in: in, separator: []byte(r.options.Separator), first: true}
	found, err := takeMark(r, in)
	if found {
		t.any, t.at = true, int64(len(byteOrderMark))
		if r.options.BOM == Keep {
			t.buf, t.at = []byte(byteOrderMark), 0
		}
	}
	return t, err
}

const byteOrderMark = "\xEF\xBB\xBF"

// takeMark reads the byte order mark of a file, if there is one. Under Skip the rest of the file is read too, and away.
func takeMark(r *Reader, in *input) (found bool, err error) {
	b, err := in.Reader.(*bufio.Reader).Peek(len(byteOrderMark))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, in.fail(err)
	}
	if string(b) != byteOrderMark {
		return false, nil
	}
	skip, err := r.met(CaseBOM, 1, &Error{Problem: "a byte order mark"})
	if err != nil {
		return true, err
	}
	if skip {
		_, err = io.Copy(io.Discard, in)
		return true, err
	}
	_, err = io.ReadFull(in, make([]byte, len(byteOrderMark)))
	return true, err
}

func (t *textRecords) next() (record, error) {
	if t.ended {
		return record{}, io.EOF
	}
	for {
		rest := t.buf[t.from:]
		if len(t.separator) > 0 {
			if i := bytes.Index(t.buf[max(t.from, t.looked):], t.separator); i >= 0 {
				n := max(t.from, t.looked) - t.from + i
				if n <= PieceBytes { // else pieces first
					return t.give(n, len(t.separator), true), nil
				}
			} else {
				t.looked = max(t.from, len(t.buf)-len(t.separator)+1)
			}
		}
		if t.eof && len(rest) <= PieceBytes {
			t.ended = true
			if len(rest) == 0 {
				return t.end()
			}
			return t.give(len(rest), 0, true), nil
		}
		if t.eof || len(rest) >= PieceBytes+len(t.separator)+1 {
			return t.give(cutPiece(rest), 0, false), nil
		}
		if err := t.fill(); err != nil {
			return record{}, err
		}
	}
}

// end is the end of a file behind a separator, or of an empty file. It never follows a piece: cutPiece leaves something.
func (t *textRecords) end() (record, error) {
	if !t.any {
		if _, err := t.r.met(CaseEmpty, 1, &Error{Problem: "the file is empty", Fix: "leave it out, or name a file with text"}); err != nil {
			return record{}, err
		}
	}
	return record{}, io.EOF
}

// give hands out the next n bytes, and steps over skip more.
func (t *textRecords) give(n, skip int, last bool) record {
	rec := record{text: t.buf[t.from : t.from+n], at: t.at, first: t.first, last: last}
	t.from += n + skip
	t.at += int64(n + skip)
	t.first = last
	t.looked = max(t.looked, t.from)
	return rec
}

// fill reads more into the buffer.
func (t *textRecords) fill() error {
	if t.from > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[t.from:])]
		t.looked = max(0, t.looked-t.from)
		t.from = 0
	}
	const step = 1 << 20
	if cap(t.buf)-len(t.buf) < step {
		// A piece, what follows it and one step, at most; a small file costs what it holds.
		grown := make([]byte, len(t.buf), min(2*cap(t.buf)+step, PieceBytes+maxSeparator+2*step))
		copy(grown, t.buf)
		t.buf = grown
	}
	n, err := io.ReadFull(t.in, t.buf[len(t.buf):min(cap(t.buf), len(t.buf)+step)])
	t.buf = t.buf[:len(t.buf)+n]
	t.any = t.any || n > 0
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.eof = true
		return nil
	}
	if err != nil {
		return t.in.fail(err)
	}
	return nil
}
