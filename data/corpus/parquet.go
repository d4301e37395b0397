package corpus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// parquetRecords reads one column of a Parquet file, a row a document.
type parquetRecords struct {
	r      *Reader
	in     *input
	file   *parquet.File
	column int

	group  int
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	batch  []parquet.Value
	got    int // values of batch that are filled
	at     int // next of them
	row    int64
}

// parquetBatch is the number of values taken at a time.
const parquetBatch = 64

// newParquet opens a file, which is copied to a temporary one where it is packed or no file: the format is read from its
// end.
func newParquet(r *Reader, in *input) (p *parquetRecords, err error) {
	defer recovered(in, &err)
	f := in.file
	if f == nil || in.packed {
		if f, err = spool(in); err != nil {
			return nil, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, in.fail(err)
	}
	p = &parquetRecords{r: r, in: in, batch: make([]parquet.Value, parquetBatch)}
	if info.Size() == 0 {
		_, err := r.met(CaseEmpty, 1, &Error{Problem: "the file is empty", Fix: "leave it out, or name a file with text"})
		return p, err
	}
	if p.file, err = parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true)); err != nil {
		return nil, in.damaged("Parquet", err)
	}
	name := r.options.Column
	leaf, ok := p.file.Schema().Lookup(strings.Split(name, ".")...)
	if !ok {
		var names []string
		for _, path := range p.file.Schema().Columns() {
			names = append(names, strings.Join(path, "."))
		}
		return nil, &Error{Path: in.path, Problem: fmt.Sprintf("there is no column %q", name), Fix: "set data.column to one of " + strings.Join(names, ", ")}
	}
	if leaf.MaxRepetitionLevel > 0 || leaf.Node.Type().Kind() != parquet.ByteArray {
		return nil, &Error{Path: in.path, Problem: fmt.Sprintf("column %q holds no text: %s", name, leaf.Node), Fix: "set data.column to a column of strings"}
	}
	p.column = leaf.ColumnIndex
	return p, nil
}

// spool copies a packed or piped file to a temporary one, which is gone when the input is closed.
func spool(in *input) (*os.File, error) {
	f, err := os.CreateTemp("", "mmfree-*.parquet")
	if err != nil {
		return nil, in.fail(err)
	}
	in.closers = append(in.closers, func() error { return errors.Join(f.Close(), os.Remove(f.Name())) })
	if _, err := io.Copy(f, in); err != nil {
		return nil, in.fail(err)
	}
	return f, nil
}

// recovered turns a panic over a damaged file into an error.
func recovered(in *input, err *error) {
	if p := recover(); p != nil {
		*err = in.damaged("Parquet", fmt.Errorf("%v", p))
	}
}

func (p *parquetRecords) next() (rec record, err error) {
	defer recovered(p.in, &err)
	if p.file == nil {
		return record{}, io.EOF
	}
	for {
		for p.at == p.got {
			if err := p.fill(); err != nil {
				return record{}, err
			}
		}
		v := p.batch[p.at]
		p.at++
		p.row++
		if v.IsNull() {
			if _, err := p.r.met(CaseBadLine, 1, p.r.place(p.row, "the text is null")); err != nil {
				return record{}, err
			}
			continue
		}
		return record{text: v.ByteArray(), at: p.row, first: true, last: true}, nil
	}
}

// fill takes the next values of the column: from the page, else the next page, else the next group of rows.
func (p *parquetRecords) fill() error {
	p.at, p.got = 0, 0
	switch {
	case p.values != nil:
		n, err := p.values.ReadValues(p.batch)
		p.got = n
		if errors.Is(err, io.EOF) {
			p.values = nil
		} else if err != nil {
			return p.in.damaged("Parquet", err)
		}
	case p.pages != nil:
		parquet.Release(p.page) // what it held was given out and used
		p.page = nil
		page, err := p.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			err = p.pages.Close()
			p.pages = nil
			if err != nil {
				return p.in.damaged("Parquet", err)
			}
			return nil
		}
		if err != nil {
			return p.in.damaged("Parquet", err)
		}
		p.page, p.values = page, page.Values()
	default:
		groups := p.file.RowGroups()
		if p.group == len(groups) {
			return io.EOF
		}
		p.pages = groups[p.group].ColumnChunks()[p.column].Pages()
		p.group++
	}
	return nil
}
