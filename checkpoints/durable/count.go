package durable

import "io"

// Counter counts the bytes that are written through it to W; a nil W takes everything.
type Counter struct {
	W io.Writer
	N int64
}

func (c *Counter) Write(p []byte) (n int, err error) {
	if n = len(p); c.W != nil {
		n, err = c.W.Write(p)
	}
	c.N += int64(n)
	return n, err
}
