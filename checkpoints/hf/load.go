package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/spec"
)

// Names of a folder's files.
const (
	ConfigName = "config.json"
	ModelName  = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
	binName    = "pytorch_model.bin"
)

// Limits of what is read whole.
const (
	maxConfigBytes = 16 << 20
	maxIndexBytes  = 64 << 20
	maxSideBytes   = 256 << 20
)

// sideNames are the files that belong to a model but not to its arithmetic. They are carried along as they are.
var sideNames = [...]string{
	"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"generation_config.json", "vocab.json", "merges.txt", "chat_template.jinja",
}

// Info is what a folder holds beside configuration and values.
type Info struct {
	Types    map[string]dtype.Type // how each tensor of the model is stored
	Side     map[string][]byte     // tokenizer.json and its like, by name
	Bytes    int64                 // of all tensors, as stored
	Warnings []string
}

// ReadConfig reads a folder's config.json.
func ReadConfig(dir string) (c spec.Config, err error) {
	path := filepath.Join(dir, ConfigName)
	text, err := readLimited(path, maxConfigBytes)
	if err != nil {
		return c, err
	}
	if !json.Valid(text) {
		return c, &FolderError{Path: path, Problem: "is not JSON", Fix: "the file is damaged or no configuration: get it again from its source"}
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Load reads a folder: configuration, values as float32 (from F32, F16 or BF16, exactly), and what else it holds. All
// tensors of the model must be there in their shapes; others are left out with a warning. Nothing is allocated before
// that is known, so a false configuration costs nothing.
func Load(dir string) (*spec.Weights, *Info, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, nil, err
	}
	src, err := openSource(dir)
	if err != nil {
		return nil, nil, err
	}
	defer src.close()
	info, err := src.check(c)
	if err != nil {
		return nil, nil, err
	}
	w, err := spec.NewWeights(c)
	if err != nil {
		return nil, nil, err
	}
	for i := range w.Tensors {
		name := w.Tensors[i].Name
		if err := src.files[src.at[name]].ReadFloat32(name, w.At(i)); err != nil {
			return nil, nil, err
		}
	}
	info.Side = map[string][]byte{}
	for _, name := range sideNames {
		b, err := readLimited(filepath.Join(dir, name), maxSideBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		info.Side[name] = b
	}
	return w, info, nil
}

// WeightFiles returns the paths of the files that hold a folder's tensors, in order. Their heads are checked.
func WeightFiles(dir string) ([]string, error) {
	s, err := openSource(dir)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var paths []string
	for name := range s.files {
		paths = append(paths, filepath.Join(dir, name))
	}
	sort.Strings(paths)
	return paths, nil
}

// source is the tensors of a folder, wherever they lie.
type source struct {
	dir   string
	files map[string]*safetensors.File // by name in the folder
	at    map[string]string            // tensor -> file
}

func openSource(dir string) (*source, error) {
	s := &source{dir: dir, files: map[string]*safetensors.File{}, at: map[string]string{}}
	single := filepath.Join(dir, ModelName)
	_, err := os.Stat(single)
	switch {
	case err == nil: // preferred to an index, as transformers does
		err = s.openSingle(single)
	case !errors.Is(err, fs.ErrNotExist):
		err = &FolderError{Path: single, Problem: "cannot be read: " + err.Error(), Fix: "check the folder and its permissions", Cause: err}
	default:
		err = s.openSharded()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *source) openSingle(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	s.files[ModelName] = f
	for _, t := range f.Tensors() {
		s.at[t.Name] = ModelName
	}
	return nil
}

func (s *source) openSharded() error {
	path := filepath.Join(s.dir, IndexName)
	text, err := readLimited(path, maxIndexBytes)
	if errors.Is(err, fs.ErrNotExist) {
		if _, binErr := os.Stat(filepath.Join(s.dir, binName)); binErr == nil {
			return &FolderError{
				Path: filepath.Join(s.dir, binName), Problem: "files of this kind are not supported yet",
				Fix: "write the model as safetensors: save_pretrained(..., safe_serialization=True)",
			}
		}
		return &FolderError{
			Path: s.dir, Problem: fmt.Sprintf("has neither %s nor %s", ModelName, IndexName),
			Fix: "name a folder with config.json and the model's weights", Cause: fs.ErrNotExist,
		}
	}
	if err != nil {
		return err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	bad := func(format string, args ...any) error {
		return &FolderError{Path: path, Problem: fmt.Sprintf(format, args...), Fix: "the index is damaged: get it again from its source"}
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return bad("is not an index: %v", err)
	}
	if len(index.WeightMap) == 0 {
		return bad("names no tensors in weight_map")
	}
	names := make([]string, 0, len(index.WeightMap))
	for name := range index.WeightMap {
		names = append(names, name)
	}
	sort.Strings(names) // so that the first fault is always the same
	for _, name := range names {
		file := index.WeightMap[name]
		// A file of another folder is never meant; checked for both separators whatever the system.
		if file == "" || file == "." || file == ".." || strings.ContainsAny(file, `/\:`) || !filepath.IsLocal(file) {
			return bad("tensor %.100q is said to lie in %.100q, which is not a file of this folder", name, file)
		}
		f := s.files[file]
		if f == nil {
			if f, err = safetensors.Open(filepath.Join(s.dir, file)); err != nil {
				return err
			}
			s.files[file] = f
		}
		if _, ok := f.Info(name); !ok {
			return bad("tensor %.100q is said to lie in %s, which does not hold it", name, file)
		}
		s.at[name] = file
	}
	return nil
}

func (s *source) close() {
	for _, f := range s.files {
		f.Close()
	}
}

// check compares the tensors with those of the model, by name, shape and type.
func (s *source) check(c spec.Config) (*Info, error) {
	info := &Info{Types: map[string]dtype.Type{}}
	var missing, wrong []string
	wanted := map[string]bool{}
	for _, t := range spec.Tensors(c) {
		wanted[t.Name] = true
		file, ok := s.at[t.Name]
		if !ok {
			missing = append(missing, t.Name)
			continue
		}
		switch have, _ := s.files[file].Info(t.Name); {
		case !slices.Equal(have.Shape, t.Shape):
			wrong = append(wrong, fmt.Sprintf("%s is %v, not %v", t.Name, have.Shape[:min(len(have.Shape), 8)], t.Shape))
		case !have.DType.Float():
			wrong = append(wrong, fmt.Sprintf("%s has dtype %s, not F32, F16 or BF16", t.Name, have.DType))
		default:
			info.Types[t.Name] = have.DType
			info.Bytes += have.End - have.Begin
		}
	}
	var problems []string
	if len(missing) > 0 {
		problems = append(problems, fmt.Sprintf("%d missing tensors: %s", len(missing), some(missing)))
	}
	if len(wrong) > 0 {
		problems = append(problems, fmt.Sprintf("%d tensors do not fit: %s", len(wrong), some(wrong)))
	}
	if len(problems) > 0 {
		return nil, &FolderError{
			Path: s.dir, Problem: strings.Join(problems, "; "),
			Fix: "config.json and the weights do not belong together, or the download is incomplete: get the folder again",
		}
	}
	var unexpected []string
	for name := range s.at {
		if !wanted[name] {
			unexpected = append(unexpected, fmt.Sprintf("%.120q", name))
		}
	}
	if len(unexpected) > 0 {
		sort.Strings(unexpected)
		info.Warnings = append(info.Warnings, fmt.Sprintf("%d tensors are not part of the model and are left out: %s", len(unexpected), some(unexpected)))
	}
	return info, nil
}

// readLimited reads a regular file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		return nil, &FolderError{Path: path, Problem: fmt.Sprintf("is no file of at most %d bytes", limit), Fix: "such a file does not belong to a model: remove it or get the folder again"}
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		var p *fs.PathError
		cause := err
		if errors.As(err, &p) {
			cause = p.Err
		}
		return nil, &FolderError{Path: path, Problem: "cannot be read: " + cause.Error(), Fix: "name a folder with config.json and the model's weights, and check its permissions", Cause: err}
	}
	return b, nil
}
