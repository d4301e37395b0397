package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

const (
	inputBuffer = 256 << 10
	maxWindow   = 128 << 20 // of zstd: what its own program unpacks without being asked to use more memory
)

// input is a file as bytes, unpacked where it is packed.
type input struct {
	io.Reader // buffered
	path      string
	file      *os.File // nil for standard input
	packed    bool
	closers   []func() error
}

// counter counts what passes through.
type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// openInput opens a source; gzip and zstd are told by their first bytes.
func openInput(s *Source, stdin io.Reader, read *atomic.Int64) (*input, error) {
	in := &input{path: s.Path}
	raw := stdin
	if s.Path != Stdin {
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, unreadable(s.Path, err)
		}
		in.file, raw = f, f
		in.closers = append(in.closers, f.Close)
	} else if raw == nil {
		raw = bytes.NewReader(nil)
	}
	buffered := bufio.NewReaderSize(counter{raw, read}, inputBuffer)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(in.fail(err), in.Close())
	}
	in.Reader = buffered
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, errors.Join(in.damaged("gzip", err), in.Close())
		}
		in.packed, in.Reader = true, bufio.NewReaderSize(unpacking{z, in, "gzip"}, inputBuffer)
		in.closers = append(in.closers, z.Close)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, errors.Join(in.damaged("zstd", err), in.Close())
		}
		in.packed, in.Reader = true, bufio.NewReaderSize(unpacking{z, in, "zstd"}, inputBuffer)
		in.closers = append(in.closers, func() error { z.Close(); return nil })
	}
	return in, nil
}

// unpacking names the file in errors of what is packed.
type unpacking struct {
	r    io.Reader
	in   *input
	kind string
}

func (u unpacking) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.in.damaged(u.kind, err)
	}
	return n, err
}

func (in *input) damaged(kind string, err error) error {
	return &Error{Path: in.path, Problem: "not a whole " + kind + " file: " + err.Error(), Fix: "the file is cut short or damaged: copy it again"}
}

// fail names the file in an error of reading it.
func (in *input) fail(err error) error {
	if errors.Is(err, ErrCorpus) {
		return err
	}
	return unreadable(in.path, err)
}

// Close releases the file.
func (in *input) Close() error {
	var errs []error
	for i := len(in.closers) - 1; i >= 0; i-- {
		errs = append(errs, in.closers[i]())
	}
	in.closers = nil
	return errors.Join(errs...)
}

// formatOf returns the format that a file's name says.
func formatOf(path string) string {
	switch extension(path) {
	case ".jsonl", ".ndjson":
		return JSONL
	case ".parquet":
		return Parquet
	}
	return Text
}

// extension returns the ending of a name in lower case, that of packing aside.
func extension(path string) string {
	path = strings.ToLower(path)
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		if cut, ok := strings.CutSuffix(path, packed); ok {
			path = cut
			break
		}
	}
	return filepath.Ext(path)
}
