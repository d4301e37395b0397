//go:build unix

package durable

import (
	"io"
	"os"
	"unsafe"

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

// Release says that bytes are not needed for now. Where they are part of a file that Map has mapped, they leave the process's
// memory, and are read from the file again when looked at; other bytes, which would be lost, stay as they are.
func Release(data []byte) {
	if !inUse(data) {
		return
	}
	page := os.Getpagesize()
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(data))) % uintptr(page))
	if n := (len(data) - skip) / page * page; n > 0 {
		unix.Madvise(data[skip:][:n], unix.MADV_DONTNEED) // that it fails costs memory and nothing else
	}
}
