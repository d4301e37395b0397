package durable

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// Names of unfinished things. A temporary is PATH.tmp-<16 hex>: never part of anything, always safe to remove. A folder
// being replaced waits as PATH.old-<16 hex> for the moment between two renames: the only copy if PATH is missing.
const (
	tmpMark  = ".tmp-"
	oldMark  = ".old-"
	hexChars = 16
)

// bufferBytes gathers small writes; large slices pass through bufio uncopied.
const bufferBytes = 256 << 10

// WriteFile writes a file whole or not at all: write fills a temporary in the same folder, which then replaces path in
// one step. On any error, the one of write included (returned as it is), the temporary is gone and path is as it was.
// The folder must exist. Whether path may be replaced is for the caller to decide.
func WriteFile(fsys FS, path string, write func(io.Writer) error) error {
	tmp := path + tmpMark + suffix()
	if err := writeSynced(fsys, tmp, path, write); err != nil {
		fsys.RemoveAll(tmp) // best effort: what stays is recognised by CleanTemps
		return err
	}
	if err := fsys.Rename(tmp, path); err != nil {
		fsys.RemoveAll(tmp)
		return &WriteError{Path: path, Op: "rename", Err: err}
	}
	return syncParent(fsys, path)
}

// Bytes is the write of WriteFile and AddFile for a content that is in memory.
func Bytes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// AddFile writes a file of a folder that WriteDir or ReplaceDir is building: its bytes are durable when it returns, its name
// when the folder is.
func AddFile(fsys FS, path string, write func(io.Writer) error) error {
	return writeSynced(fsys, path, path, write)
}

// writeSynced fills tmp, which is to become path.
func writeSynced(fsys FS, tmp, path string, write func(io.Writer) error) error {
	f, err := fsys.Create(tmp)
	if err != nil {
		return &WriteError{Path: path, Op: "create", Err: err}
	}
	b := bufio.NewWriterSize(blame{f, path}, bufferBytes)
	err = Guard(func() error { return write(b) }) // what is written may come from another file, used in place
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		if err = f.Sync(); err != nil {
			err = &WriteError{Path: path, Op: "sync", Err: err}
		}
	}
	if cerr := f.Close(); cerr != nil && err == nil {
		err = &WriteError{Path: path, Op: "close", Err: cerr}
	}
	return err
}

// blame turns errors of the file into *WriteError, so that they differ from errors of the function that fills it.
type blame struct {
	w    io.Writer
	path string
}

func (b blame) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if errors.Is(err, syscall.EFAULT) && len(p) > 0 { // not the disk: the system could not read p
		if gone := goneAt(uintptr(unsafe.Pointer(&p[0]))); gone != nil {
			return n, gone
		}
	}
	if err != nil {
		return n, &WriteError{Path: b.path, Op: "write", Err: err}
	}
	return n, nil
}

// WriteDir writes a folder whole or not at all: build fills the temporary folder it is given (with AddFile, so that
// each file is synced), which then takes the name path. A path that exists is an error (fs.ErrExist), unless it is an
// empty folder. Missing parents are made. On any error the temporary is gone.
func WriteDir(fsys FS, path string, build func(dir string) error) error {
	if _, err := fsys.Stat(path); err == nil {
		if entries, err := fsys.ReadDir(path); err != nil || len(entries) > 0 {
			return &WriteError{Path: path, Op: "create", Err: fs.ErrExist}
		}
		if err := fsys.RemoveAll(path); err != nil {
			return &WriteError{Path: path, Op: "create", Err: err}
		}
	}
	return ReplaceDir(fsys, path, build)
}

// ReplaceDir is WriteDir for a path that may exist and is then replaced as a whole. Folders cannot be exchanged in one
// step everywhere: a process killed between the two renames leaves the former folder under a name from which CleanTemps
// restores it.
func ReplaceDir(fsys FS, path string, build func(dir string) error) error {
	path = filepath.Clean(path)
	tag := suffix()
	tmp, old := path+tmpMark+tag, path+oldMark+tag
	err := MkdirAll(fsys, filepath.Dir(path))
	if err == nil {
		if err = fsys.MkdirAll(tmp); err != nil {
			err = &WriteError{Path: path, Op: "create", Err: err}
		}
	}
	if err == nil {
		err = build(tmp)
	}
	if err == nil {
		if err = fsys.SyncDir(tmp); err != nil {
			err = &WriteError{Path: path, Op: "sync", Err: err}
		}
	}
	if err != nil {
		fsys.RemoveAll(tmp)
		if we := (*WriteError)(nil); errors.As(err, &we) && strings.HasPrefix(we.Path, tmp) {
			we.Path = path + we.Path[len(tmp):] // what the file was to be called
		}
		return err
	}
	existed := true
	if err := fsys.Rename(path, old); errors.Is(err, fs.ErrNotExist) {
		existed = false
	} else if err != nil {
		fsys.RemoveAll(tmp)
		return &WriteError{Path: path, Op: "rename", Err: err}
	}
	if err := fsys.Rename(tmp, path); err != nil {
		if existed {
			fsys.Rename(old, path)
		}
		fsys.RemoveAll(tmp)
		return &WriteError{Path: path, Op: "rename", Err: err}
	}
	if err := syncParent(fsys, path); err != nil {
		return err
	}
	if existed {
		fsys.RemoveAll(old) // the new folder is durable; CleanTemps removes what stays
	}
	return nil
}

// MkdirAll makes a folder and those above it that are missing, and the name of each durable in the one above: a folder
// whose own name is lost in a power cut takes with it all that was synced inside.
func MkdirAll(fsys FS, path string) error {
	path = filepath.Clean(path)
	_, err := fsys.Stat(path)
	if err == nil {
		return nil
	}
	if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := MkdirAll(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(path); err != nil {
		return &WriteError{Path: path, Op: "create", Err: err}
	}
	return syncParent(fsys, path)
}

// RemoveDir removes a folder so that at no moment half of it is to be found under its name.
func RemoveDir(fsys FS, path string) error {
	path = filepath.Clean(path)
	tmp := path + tmpMark + suffix()
	if err := fsys.Rename(path, tmp); err != nil {
		return &WriteError{Path: path, Op: "remove", Err: err}
	}
	if err := syncParent(fsys, path); err != nil {
		return err
	}
	if err := fsys.RemoveAll(tmp); err != nil {
		return &WriteError{Path: path, Op: "remove", Err: err}
	}
	return nil
}

// CleanTemps removes what killed processes left in dir (not in folders below it), and restores a folder that was about
// to be replaced when its successor never came. A folder that does not exist is clean. Only the process that writes in
// dir may call it: it would take away another one's unfinished work.
func CleanTemps(fsys FS, dir string) error { return clean(fsys, dir, "") }

// CleanTempsOf is CleanTemps for what is left of one path, by processes that were killed while they wrote it. Another one
// that writes the same path at the moment fails; no one else notices.
func CleanTempsOf(fsys FS, path string) error {
	path = filepath.Clean(path)
	return clean(fsys, filepath.Dir(path), path)
}

// clean does so for what is to become only, or for everything where that is empty.
func clean(fsys FS, dir, only string) error {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &WriteError{Path: dir, Op: "clean", Err: err}
	}
	changed := false
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		final, isOld := cutMark(path, oldMark)
		if !isOld {
			var isTmp bool
			if final, isTmp = cutMark(path, tmpMark); !isTmp {
				continue
			}
		}
		if only != "" && final != only {
			continue
		}
		changed = true
		if isOld {
			if _, err := fsys.Stat(final); errors.Is(err, fs.ErrNotExist) {
				if err := fsys.Rename(path, final); err != nil {
					return &WriteError{Path: final, Op: "rename", Err: err}
				}
				continue
			}
		}
		if err := fsys.RemoveAll(path); err != nil {
			return &WriteError{Path: path, Op: "remove", Err: err}
		}
	}
	if !changed {
		return nil
	}
	if err := fsys.SyncDir(dir); err != nil {
		return &WriteError{Path: dir, Op: "sync", Err: err}
	}
	return nil
}

// Former returns where a folder lies that was about to be replaced when its successor never came, or "" where path is not
// missing for that reason. CleanTemps would put it back; a reader can only tell.
func Former(fsys FS, path string) string {
	path = filepath.Clean(path)
	entries, _ := fsys.ReadDir(filepath.Dir(path)) // what cannot be listed holds nothing
	for _, e := range entries {
		former := filepath.Join(filepath.Dir(path), e.Name())
		if final, isOld := cutMark(former, oldMark); isOld && final == path {
			return former
		}
	}
	return ""
}

// IsTemp reports whether a path bears the name of something unfinished; listings leave such names out.
func IsTemp(path string) bool {
	_, tmp := cutMark(path, tmpMark)
	_, old := cutMark(path, oldMark)
	return tmp || old
}

// cutMark splits PATH<mark><16 hex> into PATH and whether it has that form.
func cutMark(path, mark string) (string, bool) {
	at := len(path) - len(mark) - hexChars
	if at <= 0 || path[at:at+len(mark)] != mark || strings.Trim(path[at+len(mark):], "0123456789abcdef") != "" {
		return path, false
	}
	return path[:at], true
}

func syncParent(fsys FS, path string) error {
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return &WriteError{Path: path, Op: "sync", Err: err}
	}
	return nil
}

func suffix() string {
	var b [hexChars / 2]byte
	rand.Read(b[:]) // never fails, by its contract
	return hex.EncodeToString(b[:])
}
