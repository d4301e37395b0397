package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// FS is the part of a file system that writing durably and reading back need. Paths are those of package os. Errors are
// those of package os too; the functions of this package turn failed writes into *WriteError.
type FS interface {
	// Create makes a new file for writing; a file that exists already is an error (fs.ErrExist).
	Create(path string) (File, error)
	// Append opens a file for writing behind its end, and makes it if it is missing.
	Append(path string) (File, error)
	// Rename moves a file or folder; a file that exists at new is replaced in one step.
	Rename(old, new string) error
	// RemoveAll removes a file, or a folder with all it holds; a path that does not exist is no error.
	RemoveAll(path string) error
	// MkdirAll makes a folder and the folders above it that are missing.
	MkdirAll(path string) error
	// SyncDir makes the names in a folder durable: the files created, renamed and removed in it.
	SyncDir(path string) error
	ReadFile(path string) ([]byte, error)
	// Map returns a regular file's bytes, in place where the system can, until unload is called.
	Map(path string) (data []byte, unload func() error, err error)
	ReadDir(path string) ([]fs.DirEntry, error)
	Stat(path string) (fs.FileInfo, error)
}

// File is a file being written.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// OS is the file system of the machine.
type OS struct{}

// Create makes a new file with mode 0644 (before umask).
func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err // not f: a nil *os.File in a File would not be nil
	}
	return &osFile{File: f}, nil
}

// Append opens or makes a file, with mode 0644 (before umask).
func (OS) Append(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// flushEvery is how much is written before the disk is set to work on it, so that it does not stand idle until Sync.
const flushEvery = 4 << 20

// osFile is a new file of the machine.
type osFile struct {
	*os.File
	asked, written int64 // bytes: up to where the disk works already, and up to where there is something to do
}

func (f *osFile) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var k int
		k, err = f.File.Write(p[:min(len(p), flushEvery)])
		n, p = n+k, p[k:]
		if f.written += int64(k); f.written-f.asked >= flushEvery {
			startFlush(f.File, f.asked, f.written-f.asked)
			f.asked = f.written
		}
	}
	return n, err
}

// Rename is os.Rename.
func (OS) Rename(old, new string) error { return os.Rename(old, new) }

// RemoveAll is os.RemoveAll.
func (OS) RemoveAll(path string) error { return os.RemoveAll(path) }

// MkdirAll makes folders with mode 0755 (before umask).
func (OS) MkdirAll(path string) error { return os.MkdirAll(path, 0o755) }

// SyncDir fsyncs the folder. Windows has no such call, and some network file systems refuse it; both order names by
// themselves, so that is no error.
func (OS) SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// ReadFile is os.ReadFile.
func (OS) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Map is Map.
func (OS) Map(path string) (data []byte, unload func() error, err error) { return Map(path) }

// ReadDir is os.ReadDir.
func (OS) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// Stat is os.Stat.
func (OS) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }
