package gguf

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
	"mmfree/checkpoints/stored"
	"mmfree/ternary/spec"
)

// leastScale stands for the scale of a matrix of zeros whose file gives 0: the one that the quantiser of training has.
const leastScale = 1e-5

// OpenModel opens the model in a file, or in the parts that Open puts together, which stay mapped until the model's Close. All of the
// model's tensors must be there, and no others: one more is part of an arithmetic that this program does not have.
func OpenModel(path string) (*stored.Model, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	m, err := f.Model()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	m.OnClose(f.Close)
	return m, nil
}

// Model is OpenModel for an open file. Side holds its tokenizer.json, if the file has one.
func (f *File) Model() (*stored.Model, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	s := source{f: f, c: &c, used: map[string]bool{}, shared: f.sharesNorms(&c)}
	m := &stored.Model{Config: c, Format: "GGUF of " + archName(&c), Side: map[string][]byte{}}
	for _, t := range spec.PackedTensors(c) {
		s.add(m, t)
	}
	for _, t := range f.tensors {
		if !s.used[t.Name] {
			s.bad = append(s.bad, f.shown(t.Name)+" is no part of a "+archName(&c)+" model")
		}
	}
	if len(s.bad) > 0 {
		problem := strings.Join(s.bad[:min(len(s.bad), maxNamed)], "; ")
		if more := len(s.bad) - maxNamed; more > 0 {
			problem += fmt.Sprintf("; and %d more", more)
		}
		return nil, &format.Error{File: f.path, Offset: -1, Problem: problem, Fix: "the file's metadata and tensors do not belong together, or it holds a model of another kind"}
	}
	if m.IsCodes() {
		m.Scales = "weight = code * scale: that of the type's blocks, times NAME" + scaleSuffix + " where there is one"
	}
	if text, ok := f.values[TokenizerKey].Text(); ok {
		m.Side["tokenizer.json"] = []byte(text)
	}
	return m, nil
}

// maxNamed is how many faults a message names.
const maxNamed = 4

// sharesNorms reports whether norms inside projections are stored as BitNet's norms.
func (f *File) sharesNorms(c *spec.Config) bool {
	_, ok := f.Tensor(foreign(c.Arch, spec.Layer(0)+"input_layernorm"+weightSuffix, false) + weightSuffix)
	return ok && c.Arch == spec.ArchBitNet && c.NormPlacement == spec.NormBitLinear
}

// source finds a model's tensors in a file.
type source struct {
	f      *File
	c      *spec.Config
	shared bool
	used   map[string]bool
	bad    []string
}

// add adds a tensor to the model, or what is wrong with it to the faults.
func (s *source) add(m *stored.Model, t spec.Tensor) {
	name := foreign(s.c.Arch, t.Name, s.shared)
	have, ok := s.f.Tensor(name + weightSuffix)
	if ok { // a fault that is told once
		s.used[have.Name], s.used[name+scaleSuffix] = true, t.Kind == spec.Ternary
	}
	switch {
	case !ok && t.Name == spec.HeadName && s.c.TieWordEmbeddings: // a ternary head's codes can be made from the embedding
		return
	case !ok:
		s.bad = append(s.bad, "tensor "+quoted(name+weightSuffix)+" is missing")
		return
	case !slices.Equal(have.Shape, t.Shape):
		s.bad = append(s.bad, "tensor "+s.f.shown(have.Name)+" "+stored.Misshapen(have.Shape, t.Shape))
		return
	case !have.Type.Decodes():
		s.bad = append(s.bad, fmt.Sprintf("tensor %s is of the type %s, which is not read", s.f.shown(have.Name), have.Type))
		return
	}
	out, err := s.open(t, have, name+scaleSuffix)
	if err != nil {
		s.bad = append(s.bad, fmt.Sprintf("tensor %s: %v", s.f.shown(have.Name), err))
		return
	}
	if s.c.Arch == spec.ArchTransformer {
		_, _, width := s.c.Attention()
		if isQuery(t.Name) || isKey(t.Name) {
			out = out.Reorder(stored.RotaryPairs(width))
		}
	}
	m.Tensors = append(m.Tensors, out.In(s.f.Bytes(have.Name)))
}

// open opens a tensor; scaleName is where its scale may lie.
func (s *source) open(t spec.Tensor, have Tensor, scaleName string) (stored.Tensor, error) {
	if t.Kind != spec.Ternary {
		return s.f.values32(t, have), nil
	}
	scale, scaled, err := s.scale(scaleName)
	if scaled {
		have.Bytes += int64(layouts[F32].bytes)
	}
	switch {
	case err != nil:
		return stored.Tensor{}, err
	case have.Type.Ternary():
		return s.codes(t, have, scale)
	case scaled:
		return s.f.wholeCodes(t, have, scale), nil
	}
	return s.f.values32(t, have), nil
}

// scale reads the number by which a ternary tensor is multiplied; 1 where there is none.
func (s *source) scale(name string) (v float32, there bool, err error) {
	have, ok := s.f.Tensor(name)
	if !ok {
		return 1, false, nil
	}
	var one [1]float32
	if have.Type != F32 || have.Elements != 1 {
		return 0, true, errors.New("its " + scaleSuffix + " is not one F32")
	}
	if err = s.f.ReadFloat32(name, one[:]); err == nil {
		err = checkScale(one[0])
	}
	return one[0], true, err
}

// codes opens a tensor of a ternary type, whose blocks must have one scale.
func (s *source) codes(t spec.Tensor, have Tensor, scale float32) (stored.Tensor, error) {
	x, err := openTrits(s.f.Bytes(have.Name), have.Type, int(have.Elements))
	if err != nil {
		return stored.Tensor{}, err
	}
	blocks, zeros, err := x.scale()
	if err != nil {
		return stored.Tensor{}, err
	}
	m := blocks
	switch {
	case zeros && blocks == 0:
		m = leastScale
	case scale != 1:
		m *= scale
	}
	if err := checkScale(m); err != nil {
		return stored.Tensor{}, err
	}
	f, name, cols := s.f, have.Name, t.Shape[1]
	return stored.Codes(t, dtype.Type(have.Type.String()), have.Bytes, m, func(dst []int8, row int) error {
		if err := x.read(dst, row*cols, blocks); err != nil {
			return f.tensorFault(name, err)
		}
		return nil
	}), nil
}

func checkScale(m float32) error {
	if !(m > 0) || math.IsInf(float64(m), 0) {
		return fmt.Errorf("its scale is %v, which is no positive number", m)
	}
	return nil
}

// wholeCodes opens a tensor of another type that has a scale of its own: its values are codes.
func (f *File) wholeCodes(t spec.Tensor, have Tensor, scale float32) stored.Tensor {
	values := f.values32(t, have)
	return stored.Codes(t, dtype.Type(have.Type.String()), have.Bytes, scale, func(dst []int8, row int) error {
		v := make([]float32, len(dst))
		if err := values.ReadRows(v, row); err != nil {
			return err
		}
		for j, x := range v {
			if x != -1 && x != 0 && x != 1 {
				return f.tensorFault(have.Name, fmt.Errorf("value %d is %v, where its %s makes it one of codes −1, 0 and +1", row*t.Shape[1]+j, x, scaleSuffix))
			}
			dst[j] = int8(x)
		}
		return nil
	})
}

// values32 opens a tensor of values of any type that Decode knows.
func (f *File) values32(t spec.Tensor, have Tensor) stored.Tensor {
	typ, src, l := dtype.Type(have.Type.String()), f.Bytes(have.Name), layouts[have.Type]
	whole := stored.Tensor{Tensor: t}
	_, cols := whole.Rows()
	return stored.Values(t, typ, have.Bytes, func(dst []float32, row int) error {
		at, n := row*cols/int(l.values), len(dst)/int(l.values)
		err := error(nil)
		if have.Type == I2S { // its blocks do not end with the rows
			err = decodeI2S(dst, src, int(have.Elements), row*cols)
		} else {
			err = Decode(dst, src[at*int(l.bytes):][:n*int(l.bytes)], have.Type)
		}
		if err != nil {
			return f.tensorFault(have.Name, err)
		}
		return nil
	})
}

// decodeI2S decodes values from value at on, of n in all.
func decodeI2S(dst []float32, src []byte, n, at int) error {
	x, err := openTrits(src, I2S, n)
	if err != nil {
		return err
	}
	scale, _, err := x.scale()
	if err != nil {
		return err
	}
	codes := make([]int8, len(dst))
	if err := x.read(codes, at, scale); err != nil {
		return err
	}
	for j, c := range codes {
		dst[j] = float32(c) * scale
	}
	return nil
}

// shown is a tensor's name in messages of f, with that of the file that holds it where it is another part.
func (f *File) shown(name string) string {
	if p := f.parts[name]; p != nil {
		return quoted(name) + " of " + filepath.Base(p.path)
	}
	return quoted(name)
}

func (f *File) tensorFault(name string, err error) error {
	path, _ := f.Place(name)
	return &format.Error{File: path, Tensor: name, Offset: -1, Problem: err.Error(), Fix: fixUnknown}
}
