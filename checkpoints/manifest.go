package checkpoints

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/hf"
)

const (
	manifestName     = "manifest.json"
	manifestFormat   = "mmfree-checkpoint"
	manifestVersion  = 2 // 1 has SHA-256 in the place of XXH64, and is read
	maxManifestBytes = 1 << 20
)

// Manifest is manifest.json: what a checkpoint folder must hold to be whole.
type Manifest struct {
	Format  string                  `json:"format"`  // "mmfree-checkpoint"
	Version int                     `json:"version"` // 2
	Step    int                     `json:"step"`
	Files   map[string]ManifestFile `json:"files"` // by name in the folder
}

// ManifestFile is size and checksum of one file. XXH64 is there against accidents, not against forgery, which no sum beside
// the file could tell, and is several times faster than any disk.
type ManifestFile struct {
	Bytes  int64  `json:"bytes"`
	XXH64  string `json:"xxh64,omitempty"`  // lower-case hex
	SHA256 string `json:"sha256,omitempty"` // of version 1, in the place of XXH64
}

// checksum returns the sum that a manifest's entry is made with, and what it says.
func (m *Manifest) checksum(name string) (sum hash.Hash, says string) {
	if m.Version == 1 {
		return sha256.New(), m.Files[name].SHA256
	}
	return xxhash.New(), m.Files[name].XXH64
}

const fixDamaged = "the checkpoint is damaged: use an earlier one"

// readManifest reads a folder's manifest and checks its form, not the files it names.
func readManifest(fsys durable.FS, dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestName)
	info, err := fsys.Stat(path)
	if err != nil {
		return nil, Unreadable(path, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxManifestBytes {
		return nil, &Error{Path: path, Problem: fmt.Sprintf("is no file of at most %d bytes", maxManifestBytes), Fix: fixDamaged}
	}
	text, err := fsys.ReadFile(path)
	if err != nil {
		return nil, Unreadable(path, err)
	}
	return parseManifest(path, text)
}

func parseManifest(path string, text []byte) (*Manifest, error) {
	bad := func(format string, args ...any) error {
		return &Error{Path: path, Problem: fmt.Sprintf(format, args...), Fix: fixDamaged}
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, bad("is not a manifest: %v", err)
	}
	switch {
	case m.Format != manifestFormat:
		return nil, bad("is not the manifest of a checkpoint")
	case m.Version < 1 || m.Version > manifestVersion:
		return nil, &Error{Path: path, Problem: fmt.Sprintf("has version %d; this program reads 1 to %d", m.Version, manifestVersion), Fix: "use the version of the program that wrote the checkpoint"}
	case m.Step < 0:
		return nil, bad("names step %d", m.Step)
	}
	for name := range m.Files {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\:`) {
			return nil, bad("names %.100q, which is not a file of this folder", name)
		}
	}
	for _, name := range []string{hf.ConfigName, hf.ModelName, optimizerName, stateName} {
		if _, ok := m.Files[name]; !ok {
			return nil, bad("does not list %s", name)
		}
	}
	return m, nil
}

// Verify compares every file of a checkpoint folder with the manifest. The first that differs, sizes before checksums
// and both in order of names, is the Path of the *Error.
func Verify(dir string) (*Manifest, error) {
	f, err := openFolder(durable.OS{}, dir)
	if err != nil {
		return nil, err
	}
	return f.manifest, f.close()
}

// folder is a checkpoint folder whose files are open and have the manifest's checksums.
type folder struct {
	dir      string
	manifest *Manifest
	files    map[string][]byte // by name, in place where the system can
	unloads  []func() error
}

// openFolder opens a checkpoint folder and compares it with its manifest, as Verify says.
func openFolder(fsys durable.FS, dir string) (*folder, error) {
	m, err := readManifest(fsys, dir)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(m.Files))
	for _, name := range names { // cheap, and finds what was cut short
		path := filepath.Join(dir, name)
		switch info, err := fsys.Stat(path); {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &Error{Path: path, Problem: "is missing", Fix: fixDamaged, Cause: err}
		case err != nil:
			return nil, Unreadable(path, err)
		case !info.Mode().IsRegular() || info.Size() != m.Files[name].Bytes:
			return nil, &Error{Path: path, Problem: fmt.Sprintf("has %d bytes, the manifest says %d", info.Size(), m.Files[name].Bytes), Fix: fixDamaged}
		}
	}
	f := &folder{dir: dir, manifest: m, files: map[string][]byte{}}
	for _, name := range names {
		if err := f.open(fsys, name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// open maps a file and compares its checksum.
func (f *folder) open(fsys durable.FS, name string) error {
	path := filepath.Join(f.dir, name)
	data, unload, err := fsys.Map(path)
	if err != nil {
		return Unreadable(path, err)
	}
	f.files[name], f.unloads = data, append(f.unloads, unload)
	sum, want := f.manifest.checksum(name)
	if err := durable.Guard(func() error { _, err := sum.Write(data); return err }); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return &Error{Path: path, Problem: fmt.Sprintf("has checksum %s, the manifest says %.64s", got, want), Fix: fixDamaged}
	}
	return nil
}

// close releases the files; their bytes must not be used any more.
func (f *folder) close() error {
	var errs []error
	for _, unload := range f.unloads {
		errs = append(errs, unload())
	}
	f.files, f.unloads = nil, nil
	return errors.Join(errs...)
}
