package durable

import (
	"fmt"
	"os"
)

// openRegular opens a regular file and returns its size.
func openRegular(path string) (*os.File, int, error) {
	info, err := os.Stat(path) // before opening: to open a named pipe would wait for its other end
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &UnfitError{Problem: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	size := int(info.Size())
	if int64(size) != info.Size() {
		f.Close()
		return nil, 0, fmt.Errorf("its %d bytes are too many for a 32-bit program", info.Size())
	}
	return f, size, nil
}
