package hf

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFolder is the class of every fault of a model folder that is not one of a single file's format or of the
// configuration's values (format.ErrFormat, spec.ErrConfig).
var ErrFolder = errors.New("model folder")

// FolderError is one fault of a folder: the file or folder, what is wrong (tensors by name), and what to do.
type FolderError struct {
	Path    string
	Problem string
	Fix     string
	Cause   error // the system's error, or nil
}

func (e *FolderError) Error() string { return e.Path + ": " + e.Problem }

// Unwrap makes errors.Is(err, ErrFolder) true, and finds fs.ErrNotExist and its like.
func (e *FolderError) Unwrap() []error {
	if e.Cause != nil {
		return []error{ErrFolder, e.Cause}
	}
	return []error{ErrFolder}
}

// Hint says what to do.
func (e *FolderError) Hint() string { return e.Fix }

// some joins the first few of many names.
func some(names []string) string {
	const shown = 8
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
