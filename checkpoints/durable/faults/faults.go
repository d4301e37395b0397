package faults

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"mmfree/checkpoints/durable"
)

// Mode says what happens at the chosen call, and from it on.
type Mode int

// Modes of failure.
const (
	ErrNoSpace Mode = iota // the call fails with ENOSPC, a write after a part of its bytes; later calls work
	Kill                   // this call and all later ones do nothing, the removal of temporaries included
	PowerCut               // as Kill; Crash then also loses bytes and names that were not synced
	ErrIO                  // the call fails with EIO; later calls work
	Full                   // from this call on nothing new can be made or written: ENOSPC
	ReadOnly               // from this call on nothing can be changed: EROFS
	Short                  // the first write from this call on writes less than it was given, and says how much, without error
	Rot                    // the first write, or reading of a file, from this call on is damaged, and nothing says so
)

// Modes lists all of them.
func Modes() []Mode { return []Mode{ErrNoSpace, Kill, PowerCut, ErrIO, Full, ReadOnly, Short, Rot} }

func (m Mode) String() string {
	return [...]string{"no space once", "kill", "power cut", "I/O error", "disk full", "read-only", "short write", "rot"}[m]
}

// ErrKilled is what calls return after the process "died".
var ErrKilled = errors.New("killed by the test")

// FS wraps the real file system and counts the calls that change it: create, append, write, sync, rename, remove, mkdir
// and sync of a folder, from 1; with Reads also those that read. Syncs are only recorded: no test could see them, all would
// wait for them. It may be used by several goroutines; Calls, Log and Hit are to be read when they are done.
type FS struct {
	FailAt int    // the call that fails; 0 = none
	Only   string // only calls of this description, such as "create state.json", are counted; "" = all
	Mode   Mode
	Reads  bool   // reading calls count, and fail, too
	Seed   uint64 // decides which parts of a write or of what is unsynced survive; 0: half of the bytes, none of the names
	Calls  int    // calls so far
	Log    []string
	Hit    string // the call that the fault struck, "" so far

	mu    sync.Mutex
	real  durable.OS
	rng   *rand.Rand
	dead  bool
	armed bool  // the chosen call has come
	now   bool  // it is the present one
	disk  *disk // in mode PowerCut: what would outlast it
}

// Dead reports whether the process "died".
func (f *FS) Dead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// kind is what a call does.
type kind int

const (
	reading kind = iota
	making       // needs room on the disk
	writing
	changing
)

// step counts a call and returns the error it must fail with, or nil. The caller holds mu until it is done.
func (f *FS) step(k kind, what, path string) error {
	if f.dead {
		return ErrKilled
	}
	if f.rng == nil {
		f.rng = rand.New(rand.NewPCG(f.Seed, 0))
	}
	if f.Mode == PowerCut && f.disk == nil {
		f.disk = newDisk(path)
	}
	if k == reading && !f.Reads {
		return nil
	}
	call := what + " " + filepath.Base(path)
	f.Log = append(f.Log, call)
	named, _, _ := strings.Cut(call, ".tmp-")
	counts := f.Only == "" || f.Only == named
	if counts {
		f.Calls++
	}
	f.now = counts && f.FailAt > 0 && f.Calls == f.FailAt
	f.armed = f.armed || f.now
	if !f.armed {
		return nil
	}
	var errno error
	switch {
	case f.Mode == Kill || f.Mode == PowerCut:
		f.dead, f.Hit = true, call
		return ErrKilled
	case f.Mode == ErrNoSpace && f.now, f.Mode == Full && (k == making || k == writing):
		errno = syscall.ENOSPC
	case f.Mode == ErrIO && f.now:
		errno = syscall.EIO
	case f.Mode == ReadOnly && k != reading:
		errno = syscall.EROFS
	default:
		return nil
	}
	if f.Hit == "" {
		f.Hit = call
	}
	return &fs.PathError{Op: what, Path: path, Err: errno}
}

// fewer returns how many of n bytes arrive where not all of them do.
func (f *FS) fewer(n int) int {
	if f.Seed == 0 || n == 0 {
		return n / 2
	}
	return f.rng.IntN(n)
}

// due reports whether the one damage of this mode is to be done now.
func (f *FS) due(m Mode) bool {
	if f.Mode != m || f.Hit != "" || !f.armed {
		return false
	}
	f.Hit = f.Log[len(f.Log)-1]
	return true
}

// rot returns a damaged copy.
func (f *FS) rot(p []byte) []byte {
	p = bytes.Clone(p)
	if len(p) > 0 {
		p[f.fewer(len(p))] ^= 0x10
	}
	return p
}

// Create counts as one call, and so does every Write and Sync of the file.
func (f *FS) Create(path string) (durable.File, error) { return f.open("create", path, f.real.Create) }

// Append counts as one call, and so does every Write and Sync of the file.
func (f *FS) Append(path string) (durable.File, error) { return f.open("append", path, f.real.Append) }

func (f *FS) open(what, path string, open func(string) (durable.File, error)) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(making, what, path); err != nil {
		return nil, err
	}
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	h := &handle{fs: f, file: file, path: path}
	if f.disk != nil {
		h.node = f.disk.open(path)
	}
	return h, nil
}

type handle struct {
	fs   *FS
	file durable.File
	path string
	node *node // on the disk; nil where that is not kept
}

func (h *handle) Write(p []byte) (int, error) {
	f := h.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.dead
	err := f.step(writing, "write", h.path)
	switch {
	case was, err != nil && !f.now:
		return 0, err
	case err != nil, f.due(Short):
		n, werr := h.put(p[:f.fewer(len(p))])
		return n, errors.Join(err, werr)
	case f.due(Rot):
		return h.put(f.rot(p))
	}
	return h.put(p)
}

func (h *handle) put(p []byte) (int, error) {
	n, err := h.file.Write(p)
	if h.node != nil {
		h.node.write(p[:n])
	}
	return n, err
}

func (h *handle) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.step(changing, "sync", h.path); err != nil {
		return err
	}
	if h.node != nil {
		h.node.sync()
	}
	return nil
}

// Close always closes; the test process itself lives on.
func (h *handle) Close() error { return h.file.Close() }

// Rename counts as one call.
func (f *FS) Rename(old, new string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(changing, "rename", new); err != nil {
		return err
	}
	err := f.real.Rename(old, new)
	if err == nil && f.disk != nil {
		f.disk.rename(old, new)
	}
	return err
}

// RemoveAll counts as one call; when it fails, half of a folder's entries are gone.
func (f *FS) RemoveAll(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return ErrKilled
	}
	remove := func(path string) error {
		err := f.real.RemoveAll(path)
		if err == nil && f.disk != nil {
			f.disk.remove(path)
		}
		return err
	}
	if err := f.step(changing, "remove", path); err != nil {
		if f.Mode != ReadOnly {
			entries, _ := f.real.ReadDir(path)
			for _, e := range entries[:len(entries)/2] {
				_ = remove(filepath.Join(path, e.Name()))
			}
		}
		return err
	}
	return remove(path)
}

// MkdirAll counts as one call.
func (f *FS) MkdirAll(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(making, "mkdir", path); err != nil {
		return err
	}
	err := f.real.MkdirAll(path)
	if err == nil && f.disk != nil {
		f.disk.mkdir(path)
	}
	return err
}

// SyncDir counts as one call and makes the names in the folder durable.
func (f *FS) SyncDir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(changing, "syncdir", path); err != nil {
		return err
	}
	if f.disk != nil {
		f.disk.syncDir(path)
	}
	return nil
}

// ReadFile counts as one call where Reads is set, as do Map, ReadDir and Stat.
func (f *FS) ReadFile(path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(reading, "read", path); err != nil {
		return nil, err
	}
	b, err := f.real.ReadFile(path)
	if err == nil && f.Reads && f.due(Rot) {
		b = f.rot(b)
	}
	return b, err
}

// Map returns a copy where the reading is damaged.
func (f *FS) Map(path string) (data []byte, unload func() error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(reading, "map", path); err != nil {
		return nil, nil, err
	}
	data, unload, err = f.real.Map(path)
	if err == nil && f.Reads && f.due(Rot) {
		data = f.rot(data)
	}
	return data, unload, err
}

// ReadDir lists a folder.
func (f *FS) ReadDir(path string) ([]fs.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(reading, "list", path); err != nil {
		return nil, err
	}
	return f.real.ReadDir(path)
}

// Stat describes a file.
func (f *FS) Stat(path string) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(reading, "stat", path); err != nil {
		return nil, err
	}
	return f.real.Stat(path)
}

// Crash is to be called after the failure, when every file is closed: in mode PowerCut it leaves on the real disk what a
// machine might find there that has lost its power, which Seed decides. Every unsynced change of names is there or not,
// each for itself; so is every unsynced write, or a part of it, zeros standing in for what is lost before it. FS is of no
// use afterwards.
func (f *FS) Crash() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil {
		return nil
	}
	if f.Seed == 0 {
		return f.disk.lose(nil)
	}
	return f.disk.lose(f.rng)
}
