package packed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/safetensors"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// File is an open packed file. Its model uses the mapped bytes in place: it is read-only and ends with Close.
type File struct {
	file  *safetensors.File
	path  string
	model *pack.Model
	meta  Meta
}

// Open opens a packed file and checks all that a kernel relies on, every code included, which reads the matrices once.
// Full-precision values and scales are not compared with the checksum; Verify does that. Faults are
// *format.Error, or the configuration's own.
func Open(path string) (*File, error) {
	s, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := open(path, s)
	if err != nil {
		s.Close()
		return nil, err
	}
	return f, nil
}

// Model returns the model, valid until Close.
func (f *File) Model() *pack.Model { return f.model }

// Meta returns tokenizer and source.
func (f *File) Meta() Meta { return f.meta }

// Close releases the file; the model must not be used any more.
func (f *File) Close() error { return f.file.Close() }

// Verify reads the whole file and compares it with its checksum.
func (f *File) Verify() error {
	want := f.file.Metadata()["sha256"]
	sum := sha256.Sum256(f.file.Data())
	if got := hex.EncodeToString(sum[:]); got != want {
		return fault(f.path, "", "the data has checksum %s, the file says %.64q", got, want)
	}
	return nil
}

// ReadConfig returns the configuration of an open packed file, having checked that it is one.
func ReadConfig(path string, s *safetensors.File) (c spec.Config, err error) {
	md := s.Metadata()
	switch {
	case md["format"] != FormatName:
		return c, fault(path, "", "is not a packed model: its metadata does not say format %q", FormatName)
	case md["version"] != version:
		return c, fault(path, "", "has version %.20q of the packed format; this program reads %s", md["version"], version)
	case md["layout"] != layoutName:
		return c, fault(path, "", "has layout %.20q; this program reads %s", md["layout"], layoutName)
	case !json.Valid([]byte(md["config"])):
		return c, fault(path, "", "its configuration is not JSON")
	}
	if err := json.Unmarshal([]byte(md["config"]), &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func open(path string, s *safetensors.File) (*File, error) {
	c, err := ReadConfig(path, s)
	if err != nil {
		return nil, err
	}
	md := s.Metadata()
	f := &File{file: s, path: path, meta: Meta{Source: md["source"]}}
	if t, ok := md["tokenizer"]; ok {
		f.meta.Tokenizer = []byte(t)
	}
	f.model, err = f.build(c)
	return f, err
}

// build assembles the model from the file's tensors and checks that these are exactly the model's.
func (f *File) build(c spec.Config) (*pack.Model, error) {
	tensors := spec.PackedTensors(c)
	ternary := 0
	for i := range tensors {
		if tensors[i].Kind == spec.Ternary {
			ternary++
		}
	}
	scales, err := f.dense(ScalesName, []int{ternary})
	if err != nil {
		return nil, err
	}
	dense, matrices := map[string][]float32{}, map[string]*pack.Matrix{}
	var words [][]uint16
	var shapes []spec.Tensor // of the ternary tensors
	for _, t := range tensors {
		if t.Kind != spec.Ternary {
			if dense[t.Name], err = f.dense(t.Name, t.Shape); err != nil {
				return nil, err
			}
			continue
		}
		w, err := f.file.Uint16s(t.Name)
		if err != nil {
			return nil, err
		}
		words, shapes = append(words, w), append(shapes, t)
	}
	checked := make([]*pack.Matrix, len(words))
	faults := make([]error, len(words))
	pool := par.New(0)
	pool.Run(len(words), func(_, i int) {
		checked[i], faults[i] = pack.FromWords(shapes[i].Shape[0], shapes[i].Shape[1], scales[i], words[i])
	})
	pool.Close()
	for i, t := range shapes {
		if faults[i] != nil {
			return nil, fault(f.path, t.Name, "%v", faults[i])
		}
		matrices[t.Name] = checked[i]
	}
	for _, info := range f.file.Tensors() {
		_, isDense := dense[info.Name]
		_, isMatrix := matrices[info.Name]
		if !isDense && !isMatrix && info.Name != ScalesName && !strings.HasPrefix(info.Name, paddingPrefix) {
			return nil, fault(f.path, info.Name, "is not part of the model that the configuration describes")
		}
	}
	m, err := pack.NewModel(c, dense, matrices)
	if err != nil {
		return nil, fault(f.path, "", "%v", err)
	}
	return m, nil
}

// dense returns a full-precision tensor of that shape.
func (f *File) dense(name string, shape []int) ([]float32, error) {
	info, ok := f.file.Info(name)
	switch {
	case !ok:
		return nil, fault(f.path, name, "is not in the file")
	case info.DType != dtype.F32:
		return nil, fault(f.path, name, "has dtype %s, not F32", info.DType)
	case !slices.Equal(info.Shape, shape):
		return nil, fault(f.path, name, "has shape %v, the configuration asks for %v", info.Shape[:min(len(info.Shape), 8)], shape)
	}
	return f.file.Float32s(name)
}
