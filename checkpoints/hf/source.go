package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"mmfree/checkpoints/safetensors"
	"mmfree/checkpoints/stored"
)

// source is the tensors of a folder, wherever they lie.
type source struct {
	dir    string
	files  []string // names of the files in the folder, in order
	raw    map[string]stored.Raw
	used   map[string]bool // tensors that the model has asked for
	closes []func() error
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
	return index || len(files) > 0
}

// weights looks what a folder holds: model.safetensors or an index, which count alone, else every safetensors file.
func weights(dir string) (single, index bool, files []string) {
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil || !errors.Is(err, fs.ErrNotExist)
	}
	if exists(ModelName) { // preferred to an index, as transformers does
		return true, false, []string{ModelName}
	}
	if exists(IndexName) {
		return false, true, nil
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".safetensors" && !e.IsDir() {
			files = append(files, e.Name())
		}
	}
	return len(files) == 1, false, files
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
	case index:
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
		Path: s.dir, Problem: fmt.Sprintf("has neither %s nor %s", ModelName, IndexName),
		Fix: "name a folder with config.json and the model's weights", Cause: fs.ErrNotExist,
	}
	if len(files) > 0 {
		e.Problem += fmt.Sprintf(", and %d other safetensors files: %s", len(files), some(files))
		e.Fix = "name the one that is meant: " + filepath.Join(s.dir, files[0])
	}
	if _, err := os.Stat(filepath.Join(s.dir, binName)); err == nil {
		e.Path, e.Problem, e.Cause = filepath.Join(s.dir, binName), "files of this kind are not supported yet", nil
		e.Fix = "write the model as safetensors: save_pretrained(..., safe_serialization=True)"
	}
	return e
}

// add opens one file. Of its tensors those of the list count; nil: all.
func (s *source) add(name string, list []string) error {
	f, err := safetensors.Open(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	s.files = append(s.files, name)
	s.closes = append(s.closes, f.Close)
	take := func(t safetensors.Info) {
		s.raw[t.Name] = stored.Raw{DType: t.DType, Shape: t.Shape, Bytes: f.Bytes(t.Name)}
	}
	if list == nil {
		for _, t := range f.Tensors() {
			take(t)
		}
	}
	for _, t := range list {
		info, ok := f.Info(t)
		if !ok {
			return s.badIndex("tensor %.100q is said to lie in %s, which does not hold it", t, name)
		}
		take(info)
	}
	return nil
}

func (s *source) badIndex(format string, args ...any) error {
	return &FolderError{Path: filepath.Join(s.dir, IndexName), Problem: fmt.Sprintf(format, args...), Fix: "the index is damaged: get it again from its source"}
}

func (s *source) openSharded() error {
	text, err := readLimited(filepath.Join(s.dir, IndexName), maxIndexBytes)
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
