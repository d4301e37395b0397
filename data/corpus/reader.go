package corpus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// Doc is a document, or a piece of one that is longer than PieceBytes. Text holds until the next call of Next. The pieces
// of a document come one after another; policies leave out pieces, not their order.
type Doc struct {
	Source      int    // index in Sources
	Start       int64  // of the piece: byte in the file (unpacked); for JSONL the line, for Parquet the row, from 1
	Text        []byte // empty only in a last piece that a policy leaves out
	First, Last bool   // whether the document begins, and ends, with this piece
	// Pass is how often the file has been read before: 0 at first. Share is the part of the documents of this pass that
	// count, for the fraction of a weight; whoever hashes documents decides which.
	Pass  int
	Share float64
}

// Reader gives the documents of files one after another; memory is bounded by PieceBytes and the longest line. Not for
// concurrent use, but for BytesRead.
type Reader struct {
	paths   []string
	sources []Source
	options Options
	report  Report
	stdin   io.Reader

	next   int // source
	pass   int
	file   *input
	format records
	read   atomic.Int64 // bytes of files as stored, first passes and others

	rest      record // what is left of a record in pieces
	pending   bool   // rest holds a record that is not given out whole
	lead      bool   // the next piece begins a document
	inside    bool   // a piece of a document was given out, and not its last
	cleaned   []byte // memory of mended text
	exhausted bool
}

// record is what a format finds: a document or a part of one.
type record struct {
	text        []byte
	at          int64
	first, last bool
}

// records reads the records of one file. next returns io.EOF behind the last; faults that a policy covers are reported
// to the Reader by the format itself.
type records interface {
	next() (record, error)
}

// Open resolves paths and returns a Reader of their documents. Nothing is read yet. stdin is what Stdin names.
func Open(paths []string, o Options, stdin io.Reader) (*Reader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	sources, err := Resolve(paths)
	if err != nil {
		return nil, err
	}
	return &Reader{paths: paths, sources: sources, options: o, report: newReport(&o), stdin: stdin}, nil
}

// OfTexts returns a Reader of documents in memory, whose every byte it keeps; empty ones are left out. name is for errors.
func OfTexts(name string, texts [][]byte) *Reader {
	o := DefaultOptions()
	o.InvalidUTF8, o.BOM = Keep, Keep
	return &Reader{paths: []string{name}, sources: []Source{{Path: name, Weight: 1}}, options: o, report: newReport(&o), format: &memoryRecords{texts}}
}

// memoryRecords is the records of OfTexts.
type memoryRecords struct{ rest [][]byte }

func (t *memoryRecords) next() (record, error) {
	if len(t.rest) == 0 {
		return record{}, io.EOF
	}
	text := t.rest[0]
	t.rest = t.rest[1:]
	return record{text: text, first: true, last: true}, nil
}

// Sources returns the files, in the order in which they are read.
func (r *Reader) Sources() []Source { return r.sources }

// Paths returns what was given to Open.
func (r *Reader) Paths() []string { return r.paths }

// Options returns what was given to Open.
func (r *Reader) Options() Options { return r.options }

// Report returns the counts so far.
func (r *Reader) Report() Report { return r.report }

// BytesRead returns how many bytes of files were read so far, as stored. Safe from any goroutine.
func (r *Reader) BytesRead() int64 { return r.read.Load() }

// TotalBytes returns how many bytes of files will be read in all, repeated passes counted; standard input counts 0.
func (r *Reader) TotalBytes() (total int64) {
	for _, s := range r.sources {
		total += s.Bytes * int64(passes(s.Weight))
	}
	return total
}

// passes returns how often a file of that weight is read.
func passes(weight float64) int {
	n := int(weight)
	if float64(n) < weight {
		n++
	}
	return n
}

// Close releases the file that is open, if any.
func (r *Reader) Close() error {
	r.exhausted = true
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file, r.format = nil, nil
	return f.Close()
}

// Next returns the next document or piece, or io.EOF behind the last.
func (r *Reader) Next() (Doc, error) {
	for {
		if r.pending {
			if d, ok, err := r.piece(); ok || err != nil {
				return d, err
			}
			continue
		}
		if r.exhausted {
			return Doc{}, io.EOF
		}
		if r.format == nil {
			if err := r.open(); err != nil {
				return Doc{}, err
			}
			continue
		}
		rec, err := r.format.next()
		switch {
		case errors.Is(err, io.EOF):
			if err := r.finish(); err != nil {
				return Doc{}, err
			}
		case err != nil:
			return Doc{}, err
		default:
			r.rest, r.pending, r.lead = rec, true, r.lead || rec.first
		}
	}
}

// source returns the source that is being read.
func (r *Reader) source() *Source { return &r.sources[r.next] }

// open opens the next pass over a file.
func (r *Reader) open() error {
	if r.next == len(r.sources) {
		r.exhausted = true
		return nil
	}
	s := r.source()
	var err error
	if r.file, err = openInput(s, r.stdin, &r.read); err != nil {
		return err
	}
	if r.pass == 0 {
		r.report.Files++
	} else {
		r.report.Repeated++
	}
	format := r.options.Format
	if format == Auto {
		format = formatOf(s.Path)
	}
	switch format {
	case Parquet:
		r.format, err = newParquet(r, r.file)
	case JSONL:
		r.format, err = newLines(r, r.file)
	default:
		r.format, err = newText(r, r.file)
	}
	return err
}

// finish closes a file that has come to its end and moves on.
func (r *Reader) finish() error {
	var err error
	if r.file != nil {
		err = r.file.Close()
	}
	r.file, r.format = nil, nil
	if r.pass++; r.pass >= passes(r.source().Weight) {
		r.next, r.pass = r.next+1, 0
	}
	return err
}

// met counts a case at a place and reports whether the document is to be left out; under Fail it is the error.
func (r *Reader) met(c Case, places int, where *Error) (skip bool, err error) {
	p := r.options.Policy(c)
	if p == Fail {
		where.Path = r.source().Path
		if where.Fix == "" {
			where.Fix = fmt.Sprintf("mend the file, or set data.%s (--%s) to %s", c, strings.ReplaceAll(c.String(), "_", "-"), list(c.Policies()))
		}
		return false, where
	}
	if r.pass == 0 {
		count := &r.report.Cases[c]
		count.Places += int64(places)
		count.Docs++
		if p == Skip {
			r.report.Skipped++
		}
	}
	return p == Skip, nil
}

// piece gives out the next piece of the pending record; ok is false where a policy left it out.
func (r *Reader) piece() (d Doc, ok bool, err error) {
	text, at := r.rest.text, r.rest.at
	if len(text) == 0 && r.rest.first && r.rest.last {
		r.pending, r.lead = false, false
		_, err := r.met(CaseEmpty, 1, r.place(at, "an empty document"))
		return d, false, err
	}
	cut := cutPiece(text)
	last := r.rest.last && cut == len(text)
	r.pending, r.rest.text = cut < len(text), text[cut:]
	clean, skip, err := r.clean(text[:cut], at)
	if err != nil {
		return d, false, err
	}
	if skip {
		if clean = nil; !last || !r.inside {
			r.lead = r.lead && !last
			return d, false, nil
		}
	}
	first := r.lead
	r.lead, r.inside = false, !last
	share := 1.0
	if w := r.source().Weight; float64(r.pass+1) > w {
		share = w - float64(r.pass)
	}
	if first && r.pass == 0 {
		r.report.Documents++
	}
	if r.pass == 0 {
		r.report.Bytes += int64(len(clean))
	}
	return Doc{Source: r.next, Start: at, Text: clean, First: first, Last: last, Pass: r.pass, Share: share}, true, nil
}

// place is an error at a record's beginning.
func (r *Reader) place(at int64, problem string) *Error {
	switch r.format.(type) {
	case *lineRecords:
		return &Error{Line: at, Problem: problem}
	case *parquetRecords:
		return &Error{Problem: fmt.Sprintf("row %d: %s", at, problem)}
	}
	return &Error{Offset: at, Problem: problem}
}

// cutPiece returns how much of text makes the next piece.
func cutPiece(text []byte) int {
	if len(text) <= PieceBytes {
		return len(text)
	}
	if at := bytes.LastIndexByte(text[:PieceBytes], '\n'); at >= 0 {
		return at + 1
	}
	cut := PieceBytes
	for back := 1; back < utf8.UTFMax; back++ { // not inside a character, where it is one
		if utf8.RuneStart(text[PieceBytes-back]) {
			if !utf8.FullRune(text[PieceBytes-back : PieceBytes]) {
				cut = PieceBytes - back
			}
			break
		}
	}
	if text[cut-1] == '\r' { // nor inside a line end
		cut--
	}
	return cut
}

// clean applies the policies on characters to a piece that starts at at.
func (r *Reader) clean(text []byte, at int64) (out []byte, skip bool, err error) {
	out = text
	mended := false // out is r.cleaned
	apply := func(c Case, places, offset int, problem string, mend func(dst, src []byte) []byte) error {
		where := r.place(at, problem)
		if where.Line == 0 && where.Offset == at {
			where.Offset += int64(offset)
		}
		left, err := r.met(c, places, where)
		skip = skip || left
		if err == nil && r.options.Policy(c) == Replace {
			var dst []byte
			if !mended {
				dst, mended = r.cleaned[:0], true
			}
			out = mend(dst, out)
			r.cleaned = out
		}
		return err
	}
	if !utf8.Valid(text) {
		places, first := countInvalid(text)
		if err := apply(CaseInvalidUTF8, places, first, fmt.Sprintf("byte 0x%02x is not UTF-8 here", text[first]), appendValid); err != nil || skip {
			return nil, skip, err
		}
	}
	if n := bytes.Count(out, []byte{0}); n > 0 {
		err := apply(CaseNUL, n, bytes.IndexByte(text, 0), "a NUL", func(dst, src []byte) []byte {
			return append(dst, bytes.ReplaceAll(src, []byte{0}, []byte("\uFFFD"))...)
		})
		if err != nil || skip {
			return nil, skip, err
		}
	}
	if bytes.IndexByte(out, '\r') >= 0 {
		if n := bytes.Count(out, []byte("\r\n")); n > 0 {
			err := apply(CaseCRLF, n, bytes.Index(text, []byte("\r\n")), "a line that ends in CRLF", func(dst, src []byte) []byte {
				return append(dst, bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))...)
			})
			if err != nil || skip {
				return nil, skip, err
			}
		}
	}
	return out, false, nil
}
