package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"mmfree/checkpoints/pytorch"
	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
)

// source is the tensors of a folder, wherever they lie.
type source struct {
	dir      string
	index    string   // name of the index, of shards
	files    []string // names of the files in the folder, in order
	raw      map[string]stored.Raw
	archives bool            // files of PyTorch are among them
	used     map[string]bool // tensors that the model has asked for
	closes   []func() error
}

func (s *source) close() error {
	var errs []error
	for _, f := range s.closes {
		errs = append(errs, f())
	}
	s.closes = nil
	return errors.Join(errs...)
}

// find returns a tensor, and remembers that it has a meaning.
func (s *source) find(name string) (stored.Raw, bool) {
	raw, ok := s.raw[name]
	if ok {
		s.used[name] = true
	}
	return raw, ok
}

// Tensors opens the tensors of a folder as they stand, whatever config.json says, until close.
func Tensors(dir string) (find func(name string) (stored.Raw, bool), names []string, close func() error, err error) {
	s, err := openSource(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	return s.find, slices.Sorted(maps.Keys(s.raw)), s.close, nil
}

// WeightFiles returns the paths of the files that hold a folder's tensors, in order. Their heads are checked.
func WeightFiles(dir string) ([]string, error) {
	s, err := openSource(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range s.files {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths, s.close()
}

// HasWeights reports whether a folder holds tensors in a form that Open reads, or would have to choose among.
func HasWeights(dir string) bool {
	_, index, files := weights(dir)
	return index != "" || len(files) > 0
}

// weights looks what a folder holds, in the order in which transformers does: model.safetensors, an index, and the same of
// pytorch_model.bin; else every safetensors file. index is the name of an index; single is true for one file.
func weights(dir string) (single bool, index string, files []string) {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil || !errors.Is(err, fs.ErrNotExist)
	}
	for _, form := range []struct{ file, index string }{{ModelName, IndexName}, {binName, binIndexName}} {
		if exists(form.file) {
			return true, "", []string{form.file}
		}
		if exists(form.index) {
			return false, form.index, nil
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".safetensors" && !e.IsDir() {
			files = append(files, e.Name())
		}
	}
	return len(files) == 1, "", files
}

// openSource opens the files of a folder; only names, or none for what the folder holds.
func openSource(dir string, only ...string) (*source, error) {
	s := &source{dir: dir, raw: map[string]stored.Raw{}, used: map[string]bool{}}
	single, index, files := weights(dir)
	if len(only) > 0 {
		single, files = true, only
	}
	var err error
	switch {
	case single:
		err = s.add(files[0], nil)
	case index != "":
		s.index = index
		err = s.openSharded()
	default:
		err = s.unclear(files)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// unclear is the error of a folder that does not say what its weights are.
func (s *source) unclear(files []string) error {
	e := &FolderError{
		Path: s.dir, Problem: fmt.Sprintf("has neither %s nor %s nor %s", ModelName, IndexName, binName),
		Fix: "name a folder with config.json and the model's weights", Cause: fs.ErrNotExist,
	}
	if len(files) > 0 {
		e.Problem += fmt.Sprintf(", and %d other safetensors files: %s", len(files), some(files))
		e.Fix = "name the one that is meant: " + filepath.Join(s.dir, files[0])
	}
	return e
}

// add opens one file. Of its tensors those of the list count; nil: all.
func (s *source) add(name string, list []string) error {
	path := filepath.Join(s.dir, name)
	names, find, closeFile, err := openFile(path)
	if err != nil {
		return err
	}
	s.archives = s.archives || IsArchive(path)
	s.files = append(s.files, name)
	s.closes = append(s.closes, closeFile)
	if list == nil {
		list = names
	}
	for _, t := range list {
		raw, ok := find(t)
		if !ok {
			return s.badIndex("tensor %.100q is said to lie in %s, which does not hold it", t, name)
		}
		s.raw[t] = raw
	}
	return nil
}

// openFile opens a file of tensors: an archive of PyTorch where it begins like one, else safetensors.
func openFile(path string) (names []string, find func(name string) (stored.Raw, bool), closeFile func() error, err error) {
	if IsArchive(path) {
		f, err := pytorch.Open(path)
		if err != nil {
			return nil, nil, nil, err
		}
		return f.Names(), f.Raw, f.Close, nil
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, t := range f.Tensors() {
		names = append(names, t.Name)
	}
	return names, func(name string) (stored.Raw, bool) {
		t, ok := f.Info(name)
		return stored.Raw{DType: t.DType, Shape: t.Shape, Bytes: f.Bytes(name)}, ok
	}, f.Close, nil
}

// IsArchive reports whether a file is to be read as PyTorch's: by its first bytes, or where those say nothing by its name.
func IsArchive(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a named pipe would wait for its other end
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [len(pytorch.Magic)]byte
	f.Read(head[:])
	return string(head[:]) == pytorch.Magic || strings.HasPrefix(filepath.Base(path), "pytorch_model")
}

func (s *source) badIndex(format string, args ...any) error {
	return &FolderError{Path: filepath.Join(s.dir, s.index), Problem: fmt.Sprintf(format, args...), Fix: "the index is damaged: get it again from its source"}
}

func (s *source) openSharded() error {
	text, err := readLimited(filepath.Join(s.dir, s.index), maxIndexBytes)
	if err != nil {
		return err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return s.badIndex("is not an index: %v", err)
	}
	if len(index.WeightMap) == 0 {
		return s.badIndex("names no tensors in weight_map")
	}
	names := make([]string, 0, len(index.WeightMap))
	for name := range index.WeightMap {
		names = append(names, name)
	}
	sort.Strings(names) // so that the first fault is always the same
	var files []string
	tensors := map[string][]string{}
	for _, name := range names {
		file := index.WeightMap[name]
		// A file of another folder is never meant; checked for both separators whatever the system.
		if file == "" || file == "." || file == ".." || strings.ContainsAny(file, `/\:`) || !filepath.IsLocal(file) {
			return s.badIndex("tensor %.100q is said to lie in %.100q, which is not a file of this folder", name, file)
		}
		if tensors[file] == nil {
			files = append(files, file)
		}
		tensors[file] = append(tensors[file], name)
	}
	sort.Strings(files)
	for _, file := range files {
		if err := s.add(file, tensors[file]); err != nil {
			return err
		}
	}
	return nil
}
