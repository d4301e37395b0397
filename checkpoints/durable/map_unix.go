//go:build unix

package durable

import (
	"io"

	"golang.org/x/sys/unix"
)

// Map maps a file read-only; file systems that cannot map are read. That nobody cuts the file short meanwhile is for Guard to
// notice.
func Map(path string) (data []byte, unload func() error, err error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	none := func() error { return nil }
	if size == 0 {
		return nil, none, nil
	}
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err == nil {
		remember(data, path)
		return data, func() error { forget(data); return unix.Munmap(data) }, nil
	}
	data, err = io.ReadAll(f)
	return data, none, err
}
