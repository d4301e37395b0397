package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/format"
)

// Keys of a model in several files, as llama.cpp's gguf-split writes them: the first file has all other keys too.
const (
	splitKey      = "split.count"         // uint16: the number of files
	splitNoKey    = "split.no"            // uint16: which one this is, from 0
	splitTotalKey = "split.tensors.count" // int32: the tensors of all files together
)

// maxParts is the most files whose numbers have five digits in their names and fit the keys.
const maxParts = math.MaxUint16

const fixParts = "put all parts of the model, from one source and under their own names, into one folder"

// fileEnd is how names of GGUF files end.
const fileEnd = ".gguf"

// partName returns the name of part i (from 0) of n of the model that alone would be called base.gguf.
func partName(base string, i, n int) string { return base + partEnd(i, n) }

func partEnd(i, n int) string { return fmt.Sprintf("-%05d-of-%05d%s", i+1, n, fileEnd) }

// HasModel reports whether a folder holds GGUF files, and so perhaps a model that Open takes the folder for.
func HasModel(dir string) bool {
	names, err := filesIn(dir)
	return err == nil && len(names) > 0
}

// filesIn lists the GGUF files of a folder, in the order of their names.
func filesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, format.Unreadable(dir, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), fileEnd) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// modelFile returns the file to begin with: path itself, or where that is a folder the only model's in it, of one in parts the
// first of them.
func modelFile(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return path, nil // what is wrong with it is seen when it is opened
	}
	names, err := filesIn(path)
	if err != nil {
		return "", err
	}
	fault := func(problem, fix string) error {
		return &format.Error{File: path, Offset: -1, Problem: problem, Fix: fix}
	}
	if len(names) == 0 {
		return "", fault("holds no file whose name ends with "+fileEnd, "name a GGUF file, or a folder that holds a model as one")
	}
	if len(names) == 1 {
		return filepath.Join(path, names[0]), nil
	}
	base, whole := strings.CutSuffix(names[0], partEnd(0, len(names)))
	for i, name := range names {
		whole = whole && name == partName(base, i, len(names))
	}
	if !whole {
		return "", fault(fmt.Sprintf("holds %d GGUF files that are not the parts of one model, all of them: %s", len(names), firstOf(names)),
			"name one file, of a model in parts the first")
	}
	return filepath.Join(path, names[0]), nil
}

// splitNumber returns a key of the split.
func (f *File) splitNumber(key string, least, most int64) (int, error) {
	v, ok := f.values[key]
	if !ok {
		return 0, f.keyFault(key, "is missing, where the file is one of several", fixParts)
	}
	n, ok := v.Int()
	if !ok || n < least || n > most {
		return 0, f.keyFault(key, fmt.Sprintf("is no whole number from %d to %d", least, most), fixFaulty)
	}
	return int(n), nil
}

// join opens the other files of a model in parts, and adds their tensors to those of f, the first one. Any other file stays as it
// is.
func (f *File) join() error {
	if _, ok := f.values[splitKey]; !ok {
		return nil
	}
	n, err := f.splitNumber(splitKey, 0, maxParts)
	if err != nil || n <= 1 {
		return err
	}
	no, err := f.splitNumber(splitNoKey, 0, int64(n)-1)
	if err != nil {
		return err
	}
	total, err := f.splitNumber(splitTotalKey, 1, math.MaxInt32)
	if err != nil {
		return err
	}
	base, ok := strings.CutSuffix(f.path, partEnd(no, n))
	if !ok {
		return f.keyFault(splitKey, fmt.Sprintf("is %d and %s is %d, but the file's name does not end with %s", n, splitNoKey, no, partEnd(no, n)), fixParts)
	}
	if no != 0 {
		return f.keyFault(splitNoKey, fmt.Sprintf("is %d: the file is part %d of %d, and the model's keys are in the first", no, no+1, n),
			"give "+partName(base, 0, n))
	}
	f.parts = map[string]*File{}
	for i := 1; i < n; i++ {
		if err := f.add(partName(base, i, n), i, n, total); err != nil {
			return err
		}
	}
	if len(f.tensors) != total {
		return f.keyFault(splitTotalKey, fmt.Sprintf("is %d, where the %d parts hold %d tensors", total, n, len(f.tensors)), fixParts)
	}
	return nil
}

// add adds the tensors of part i of n.
func (f *File) add(path string, i, n, total int) error {
	p, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &format.Error{File: path, Offset: -1, Problem: fmt.Sprintf("is missing: part %d of %d of the model", i+1, n), Fix: fixParts, Cause: err}
	}
	if err != nil {
		return err
	}
	f.others = append(f.others, p)
	for _, want := range []struct {
		key string
		n   int
	}{{splitNoKey, i}, {splitKey, n}, {splitTotalKey, total}} {
		got, err := p.splitNumber(want.key, 0, math.MaxInt32)
		if err != nil {
			return err
		}
		if got != want.n {
			return p.keyFault(want.key, fmt.Sprintf("is %d, where the first part and the file's name say %d", got, want.n), fixParts)
		}
	}
	for _, t := range p.tensors {
		if _, twice := f.index[t.Name]; twice {
			return &format.Error{File: path, Tensor: t.Name, Offset: -1, Problem: "is in an earlier part too", Fix: fixFaulty}
		}
		f.index[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
		f.parts[t.Name] = p
	}
	return nil
}

// divide gives each part its tensors: another part begins where a tensor would make one larger than most bytes of data.
func divide(tensors []Output, most int64) (parts [][]Output, err error) {
	begin, held := 0, int64(0)
	for i := range tensors {
		size := tensors[i].padded()
		if i > begin && held+size > most {
			parts = append(parts, tensors[begin:i])
			begin, held = i, 0
		}
		held += size
	}
	if parts = append(parts, tensors[begin:]); len(parts) > maxParts {
		return nil, unwritable("", fmt.Sprintf("%d parts of %d bytes are more than %d", len(parts), most, maxParts))
	}
	return parts, nil
}

// padded returns the bytes of a tensor of a plan, which has checked them.
func (o *Output) padded() int64 {
	size, _ := o.size()
	return pad(size, defaultAlignment)
}

// saveParts writes a folder: the parts, or one whole file where all fits into one, called as the folder.
func (p *plan) saveParts(fsys durable.FS, dir string, keys []Key) error {
	parts, err := divide(p.tensors, p.o.MaxPart)
	if err != nil {
		return err
	}
	base, n := strings.TrimSuffix(filepath.Base(filepath.Clean(dir)), fileEnd), len(parts)
	build := func(dir string) error {
		if n == 1 {
			return durable.AddFile(fsys, filepath.Join(dir, base+fileEnd), p.file(keys, p.tensors, 0))
		}
		before := int64(0)
		for i, part := range parts {
			own := []Key{{splitNoKey, uint16(i)}, {splitKey, uint16(n)}, {splitTotalKey, int32(len(p.tensors))}}
			if i == 0 {
				own = append(keys, own...)
			}
			if err := durable.AddFile(fsys, filepath.Join(dir, partName(base, i, n)), p.file(own, part, before)); err != nil {
				return err
			}
			for j := range part {
				before += part[j].padded()
			}
		}
		return nil
	}
	if !p.o.Replace {
		return durable.WriteDir(fsys, dir, build)
	}
	entries, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &durable.WriteError{Path: dir, Op: "replace", Err: err}
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), fileEnd) {
			return &format.Error{
				File: dir, Offset: -1, Problem: fmt.Sprintf("holds %s, which is no GGUF file and would be lost", quoted(e.Name())),
				Fix: "choose another folder, or move it away",
			}
		}
	}
	return durable.ReplaceDir(fsys, dir, build)
}
