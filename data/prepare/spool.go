package prepare

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// spool keeps pieces on disk: those of a document that begins as an earlier one does, until it is known whether it goes on
// so. The file is temporary, and made when the first piece comes.
type spool struct {
	file    *os.File
	w       *bufio.Writer
	r       *bufio.Reader
	pieces  []piece // without texts
	reading bool
	at      int
	text    []byte
}

func (s *spool) add(p *piece) error {
	if s.file == nil {
		f, err := os.CreateTemp("", "mmfree-*.spool")
		if err != nil {
			return err
		}
		s.file, s.w = f, bufio.NewWriter(f)
	}
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(p.text)))
	if _, err := s.w.Write(size); err != nil {
		return err
	}
	if _, err := s.w.Write(p.text); err != nil {
		return err
	}
	kept := *p
	kept.text = nil
	s.pieces = append(s.pieces, kept)
	return nil
}

// rewind goes from writing to reading.
func (s *spool) rewind() error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	s.r, s.reading = bufio.NewReader(s.file), true
	return nil
}

// next returns the pieces again, then io.EOF.
func (s *spool) next() (piece, error) {
	if s.at == len(s.pieces) {
		return piece{}, io.EOF
	}
	p := s.pieces[s.at]
	s.at++
	var size [4]byte
	if _, err := io.ReadFull(s.r, size[:]); err != nil {
		return p, errors.Join(errors.New("a temporary file was changed"), err)
	}
	n := int(binary.LittleEndian.Uint32(size[:]))
	if cap(s.text) < n {
		s.text = make([]byte, n)
	}
	p.text = s.text[:n]
	_, err := io.ReadFull(s.r, p.text)
	if err != nil {
		return p, errors.Join(errors.New("a temporary file was changed"), err)
	}
	return p, nil
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
