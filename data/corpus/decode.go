package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// checkLoadable refuses what a text held whole cannot honour.
func checkLoadable(s *Source) error {
	if s.Path == Stdin {
		return &Error{Path: Stdin, Problem: "standard input cannot be read again when a run is resumed", Fix: "save it to a file and name that, or make shards of it with mmfree prepare"}
	}
	if s.Weight != 1 {
		return &Error{Path: s.Path, Problem: fmt.Sprintf("a weight of %g, and this text is read whole", s.Weight), Fix: "leave the weight out (a path named twice counts twice), or make shards of the mixture with mmfree prepare"}
	}
	return nil
}

// isPlain tells whether the bytes of a file are its text.
func isPlain(s *Source) (bool, error) {
	if formatOf(s.Path) != Text {
		return false, nil
	}
	var n atomic.Int64
	in, err := openInput(s, nil, &n)
	if err != nil {
		return false, err
	}
	return !in.packed, in.Close()
}

// decode loads files of which some are packed or hold records. Plain ones keep every byte; a record that does not end in
// a newline gets one. As no report is given, what a Reader would mend or leave out is an error.
func decode(sources []Source, limit int64) (*Corpus, error) {
	o := DefaultOptions()
	o.InvalidUTF8, o.BadLine, o.GiantLine = Fail, Fail, Fail
	o.NUL, o.CRLF, o.BOM = Keep, Keep, Keep
	c := &Corpus{Sources: sources}
	for i := range sources {
		s := &sources[i]
		s.Start = int64(len(c.Text))
		plain, err := isPlain(s)
		if err != nil {
			return nil, err
		}
		if plain {
			if s.Bytes > limit-s.Start {
				return nil, tooLarge(s.Path, limit)
			}
			c.Text = append(c.Text, make([]byte, s.Bytes)...)
			if err := readFile(s.Path, c.Text[s.Start:]); err != nil {
				return nil, err
			}
			c.Documents = append(c.Documents, Span{s.Start, s.Start + s.Bytes})
			continue
		}
		if err := c.decodeFile(*s, o, limit); err != nil {
			return nil, err
		}
	}
	if len(c.Text) == 0 {
		return nil, &Error{Path: sources[0].Path, Problem: "there is no text in it", Fix: "leave it out, or name a file with text"}
	}
	sum := sha256.Sum256(c.Text)
	c.SHA256 = hex.EncodeToString(sum[:])
	return c, nil
}

func (c *Corpus) decodeFile(s Source, o Options, limit int64) (err error) {
	r := &Reader{sources: []Source{s}, options: o, report: newReport(&o)}
	defer func() { err = errors.Join(err, r.Close()) }()
	records := formatOf(s.Path) != Text
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if int64(len(d.Text)) >= limit-int64(len(c.Text)) {
			return tooLarge(s.Path, limit)
		}
		if d.First {
			c.Documents = append(c.Documents, Span{From: int64(len(c.Text))})
		}
		c.Text = append(c.Text, d.Text...)
		c.Documents[len(c.Documents)-1].To = int64(len(c.Text))
		if n := len(c.Text); records && d.Last && n > 0 && c.Text[n-1] != '\n' {
			c.Text = append(c.Text, '\n')
		}
	}
}

func tooLarge(path string, limit int64) error {
	return &Error{Path: path, Problem: fmt.Sprintf("with this file the corpus exceeds %d bytes", limit), Fix: "name fewer or smaller files"}
}
