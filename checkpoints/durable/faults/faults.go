package faults

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mmfree/checkpoints/durable"
)

// Mode says what happens at the chosen call.
type Mode int

// Modes of failure. After ErrNoSpace later calls work again; after the others nothing works any more, the removal of
// temporaries included, as after a kill.
const (
	ErrNoSpace Mode = iota // the call fails with ENOSPC; a write first writes half of its bytes
	Kill                   // this call and all later ones do nothing
	PowerCut               // as Kill; Crash then also loses bytes and names that were not synced
)

// ErrKilled is what calls return after the process "died".
var ErrKilled = errors.New("killed by the test")

// FS wraps the real file system and counts the calls that change it: create, write, sync, rename, remove, mkdir and sync
// of a folder, from 1. Reading calls are not counted. Syncs are only recorded: no test could see them, all would wait
// for them. Not safe for use by several goroutines.
type FS struct {
	durable.OS
	FailAt int // the call that fails; 0 = none
	Mode   Mode
	Calls  int      // calls so far
	Log    []string // what each of them was

	dead     bool
	unsynced map[string]bool // files written and not synced, by present path
	renames  []rename        // not yet durable, oldest first
}

type rename struct {
	old, new string
	replaced []byte // the file that was at new; nil = none
	had      bool
}

// step counts a call and returns the error it must fail with, or nil.
func (f *FS) step(what string) error {
	if f.dead {
		return ErrKilled
	}
	f.Calls++
	f.Log = append(f.Log, what)
	if f.Calls != f.FailAt {
		return nil
	}
	if f.Mode == ErrNoSpace {
		return &fs.PathError{Op: what, Path: "injected", Err: syscall.ENOSPC}
	}
	f.dead = true
	return ErrKilled
}

// Create counts as one call, and so does every Write and Sync of the file.
func (f *FS) Create(path string) (durable.File, error) {
	if err := f.step("create " + filepath.Base(path)); err != nil {
		return nil, err
	}
	file, err := f.OS.Create(path)
	if err != nil {
		return nil, err
	}
	if f.unsynced == nil {
		f.unsynced = map[string]bool{}
	}
	f.unsynced[path] = true
	return &handle{f, file, path}, nil
}

type handle struct {
	fs   *FS
	file durable.File
	path string
}

func (h *handle) Write(p []byte) (int, error) {
	if err := h.fs.step("write"); err != nil {
		n, _ := h.file.Write(p[:len(p)/2])
		return n, err
	}
	h.fs.unsynced[h.path] = true
	return h.file.Write(p)
}

func (h *handle) Sync() error {
	if err := h.fs.step("sync"); err != nil {
		return err
	}
	delete(h.fs.unsynced, h.path)
	return nil
}

// Close always closes; the test process itself lives on.
func (h *handle) Close() error { return h.file.Close() }

// Rename counts as one call.
func (f *FS) Rename(old, new string) error {
	if err := f.step("rename " + filepath.Base(new)); err != nil {
		return err
	}
	r := rename{old: old, new: new}
	if b, err := os.ReadFile(new); err == nil {
		r.replaced, r.had = b, true
	}
	if err := f.OS.Rename(old, new); err != nil {
		return err
	}
	f.renames = append(f.renames, r)
	f.move(old, new)
	return nil
}

// move keeps the paths of unsynced files right when they, or a folder above them, get another name.
func (f *FS) move(old, new string) {
	for p := range f.unsynced {
		if p == old || strings.HasPrefix(p, old+string(filepath.Separator)) {
			delete(f.unsynced, p)
			f.unsynced[new+p[len(old):]] = true
		}
	}
}

// RemoveAll counts as one call; when it fails, half of a folder's entries are gone.
func (f *FS) RemoveAll(path string) error {
	if f.dead {
		return ErrKilled
	}
	if err := f.step("remove " + filepath.Base(path)); err != nil {
		entries, _ := os.ReadDir(path)
		for _, e := range entries[:len(entries)/2] {
			os.RemoveAll(filepath.Join(path, e.Name()))
		}
		return err
	}
	return f.OS.RemoveAll(path)
}

// MkdirAll counts as one call.
func (f *FS) MkdirAll(path string) error {
	if err := f.step("mkdir " + filepath.Base(path)); err != nil {
		return err
	}
	return f.OS.MkdirAll(path)
}

// SyncDir counts as one call and makes the renames inside the folder durable.
func (f *FS) SyncDir(path string) error {
	if err := f.step("syncdir " + filepath.Base(path)); err != nil {
		return err
	}
	kept := f.renames[:0]
	for _, r := range f.renames {
		if filepath.Dir(r.new) != filepath.Clean(path) {
			kept = append(kept, r)
		}
	}
	f.renames = kept
	return nil
}

// Crash is to be called after the failure: in mode PowerCut it undoes, newest first, the renames whose folder was not
// synced, and halves the files that were not. Removals are not undone.
func (f *FS) Crash() error {
	if f.Mode != PowerCut {
		return nil
	}
	for i := len(f.renames) - 1; i >= 0; i-- {
		r := f.renames[i]
		if _, err := os.Lstat(r.new); err != nil {
			continue // removed since
		}
		if err := os.Rename(r.new, r.old); err != nil {
			return err
		}
		f.move(r.new, r.old)
		if r.had {
			if err := os.WriteFile(r.new, r.replaced, 0o644); err != nil {
				return err
			}
		}
	}
	for p := range f.unsynced {
		info, err := os.Stat(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.Truncate(p, info.Size()/2); err != nil {
			return err
		}
	}
	return nil
}
