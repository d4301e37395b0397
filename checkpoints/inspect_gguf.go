package checkpoints

import (
	"math"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/gguf"
)

// ggufBlock is the number of values read at a time: a whole number of blocks of every type.
const ggufBlock = 1 << 16

// gguf lists a GGUF file, or the parts of a model in several.
func (in *Inspection) gguf(contents bool) error {
	f, err := gguf.Open(in.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	in.Bytes = f.Size()
	readers := map[string]*blockReader{}
	defer func() {
		for _, r := range readers {
			r.Close()
		}
	}()
	if _, err := f.Model(); err != nil { // else it would be listed as one
		in.Warnings = append(in.Warnings, "this program cannot run it: "+problem(err))
	}
	for _, info := range f.Tensors() {
		path, dataStart := f.Place(info.Name)
		r := readers[path]
		if r == nil {
			if r, err = openReader(path, dataStart); err != nil {
				return err
			}
			readers[path] = r
		}
		t := TensorInfo{Name: info.Name, Shape: info.Shape, DType: dtype.Type(info.Type.String()), Bytes: info.Bytes}
		if contents && info.Type.Decodes() {
			if err := r.quantised(&t, info); err != nil {
				return err
			}
		}
		in.Tensors = append(in.Tensors, t)
	}
	in.total()
	return nil
}

// quantised counts the zeros of a GGUF tensor: of a ternary one among its trits, whose scale it takes where all blocks
// have the same.
func (r *blockReader) quantised(t *TensorInfo, info gguf.Tensor) error {
	bytes, behind := info.Type.Block(ggufBlock)
	var tail []byte // of a tensor that keeps its scale there
	if behind > 0 {
		if err := r.each(info.Offset+info.Bytes-behind, behind, int(behind), func(b []byte) { tail = append(tail, b...) }); err != nil {
			return err
		}
	}
	values, codes := make([]float32, ggufBlock), make([]int8, ggufBlock)
	var zeros, seen int64
	var fault error
	scale, one := float32(0), true
	err := r.each(info.Offset, info.Bytes-behind, int(bytes), func(raw []byte) {
		n := int(min(ggufBlock, info.Elements-seen))
		seen += int64(n)
		src := append(raw[:len(raw):len(raw)], tail...)
		if info.Type.Ternary() {
			s, several := gguf.DecodeTernary(codes[:n], src, info.Type)
			one = one && several == nil && (scale == 0 || s == 0 || math.Float32bits(s) == math.Float32bits(scale))
			scale = max(scale, s)
			for _, c := range codes[:n] {
				if c == 0 {
					zeros++
				}
			}
			return
		}
		if err := gguf.Decode(values[:n], src, info.Type); err != nil {
			fault = err
		}
		for _, v := range values[:n] {
			if v == 0 {
				zeros++
			}
		}
	})
	if err == nil {
		err = fault
	}
	if err != nil || seen == 0 {
		return err
	}
	share := float64(zeros) / float64(info.Elements)
	t.ZeroFraction = &share
	if info.Type.Ternary() && one {
		m := float64(scale)
		t.Scale = &m
	}
	return nil
}
