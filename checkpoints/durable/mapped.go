package durable

import (
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"unsafe"
)

// ErrGone is the class of files that were cut short, or whose disk failed, while they were used in place.
var ErrGone = errors.New("a file in use went away")

// GoneError names such a file.
type GoneError struct{ Path string }

func (e *GoneError) Error() string {
	return e.Path + ": was cut short or could not be read any more while it was in use"
}

// Unwrap makes errors.Is(err, ErrGone) true.
func (e *GoneError) Unwrap() error { return ErrGone }

// Hint says what to do.
func (e *GoneError) Hint() string {
	return "a file in use must not be changed: put it there again, under another name and then renamed, and run again"
}

// mapped lists the files that are used in place, and those closed last: a panic runs the deferred Close of a file before
// it reaches whoever asks which file it was.
var mapped struct {
	sync.Mutex
	files, closed []mappedFile
}

const closedKept = 64

type mappedFile struct {
	begin, end uintptr
	path       string
}

func remember(data []byte, path string) {
	begin := uintptr(unsafe.Pointer(&data[0]))
	mapped.Lock()
	defer mapped.Unlock()
	mapped.files = append(mapped.files, mappedFile{begin, begin + uintptr(len(data)), path})
}

func forget(data []byte) {
	begin := uintptr(unsafe.Pointer(&data[0]))
	mapped.Lock()
	defer mapped.Unlock()
	i := slices.IndexFunc(mapped.files, func(f mappedFile) bool { return f.begin == begin })
	if i < 0 {
		return // closed already
	}
	mapped.closed = append(mapped.closed[max(0, len(mapped.closed)-closedKept+1):], mapped.files[i])
	mapped.files = slices.Delete(mapped.files, i, i+1)
}

// inUse reports whether bytes lie in a file that is mapped now.
func inUse(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	begin := uintptr(unsafe.Pointer(&data[0]))
	mapped.Lock()
	defer mapped.Unlock()
	return slices.ContainsFunc(mapped.files, func(f mappedFile) bool { return f.begin <= begin && begin+uintptr(len(data)) <= f.end })
}

// Gone returns the *GoneError that a recovered panic, or an error made of one, stands for: reading a byte of a mapped file
// that is not there any more, by a goroutine that has called debug.SetPanicOnFault. It is nil for any other.
func Gone(recovered any) error {
	err, _ := recovered.(error)
	var fault interface{ Addr() uintptr } // the runtime's error; its type has no name
	if !errors.As(err, &fault) {
		return nil
	}
	return goneAt(fault.Addr())
}

// goneAt returns the *GoneError of the file that lies at an address, nil where none does.
func goneAt(at uintptr) error {
	mapped.Lock()
	defer mapped.Unlock()
	for _, f := range slices.Backward(slices.Concat(mapped.closed, mapped.files)) { // those in use first
		if f.begin <= at && at < (f.end+pageSize-1)/pageSize*pageSize { // the address may be the page's, not the byte's
			return &GoneError{Path: f.path}
		}
	}
	return nil
}

const pageSize = 64 << 10 // the largest of any system

// Guard calls read, which looks at mapped files, and returns a *GoneError where one of them goes away meanwhile. Without it
// the system ends the process. It guards its own goroutine only.
func Guard(read func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			if err = Gone(r); err == nil {
				panic(r)
			}
		}
	}()
	return read()
}
