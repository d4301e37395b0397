//go:build !unix

package durable

import "io"

// Map reads a file into memory, in proportion to what is really there.
func Map(path string) (data []byte, unload func() error, err error) {
	f, _, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err = io.ReadAll(f)
	return data, func() error { return nil }, err
}

// Release does nothing: what Map has read stays in memory.
func Release([]byte) {}
