package durable

import (
	"context"
	"io"
	"os"
)

// Open opens a file that is read once, from its beginning. One that is not regular may be a pipe that nobody writes to:
// opening and reading it end with ctx, and what waits then ends with the program.
func Open(ctx context.Context, path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return os.Open(path)
	}
	type opened struct {
		file *os.File
		err  error
	}
	ready := make(chan opened, 1)
	go func() {
		f, err := os.Open(path)
		ready <- opened{f, err}
	}()
	select {
	case o := <-ready:
		if o.err != nil {
			return nil, o.err
		}
		return struct {
			io.Reader
			io.Closer
		}{Stoppable(ctx, o.file), o.file}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stoppable returns a reader of r, such as standard input, whose waiting ends with ctx. It reads ahead of what is asked for.
func Stoppable(ctx context.Context, r io.Reader) io.Reader { return &stoppable{ctx: ctx, r: r} }

type stoppable struct {
	ctx    context.Context
	r      io.Reader
	chunks chan chunk
	now    chunk
}

type chunk struct {
	text []byte
	err  error
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.chunks == nil {
		s.chunks = make(chan chunk)
		go s.fetch()
	}
	if len(s.now.text) == 0 && s.now.err == nil {
		select {
		case s.now = <-s.chunks:
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	n := copy(p, s.now.text)
	s.now.text = s.now.text[n:]
	if len(s.now.text) == 0 {
		return n, s.now.err
	}
	return n, nil
}

func (s *stoppable) fetch() {
	for {
		buffer := make([]byte, 64<<10)
		n, err := s.r.Read(buffer)
		select {
		case s.chunks <- chunk{buffer[:n], err}:
		case <-s.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
