package goldentest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// values is one tensor of a safetensors file: exactly one of the slices is set.
type values struct {
	shape []int
	f32   []float32
	i64   []int64
	i8    []int8
}

func (v *values) dtype() string {
	switch {
	case v.f32 != nil:
		return "F32"
	case v.i64 != nil:
		return "I64"
	}
	return "I8"
}

// parse reads a whole safetensors file: an 8-byte header length, a JSON header, then the values, little endian.
func parse(file []byte) (map[string]*values, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("%d bytes are no safetensors file", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	if n > uint64(len(file)-8) {
		return nil, fmt.Errorf("header of %d bytes in a file of %d", n, len(file))
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(file[8:8+n], &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	delete(header, "__metadata__")
	data, out := file[8+n:], map[string]*values{}
	for name, raw := range header {
		var entry struct {
			Dtype   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &entry); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		from, to := entry.Offsets[0], entry.Offsets[1]
		if from < 0 || to < from || to > len(data) {
			return nil, fmt.Errorf("tensor %s: offsets %v in %d bytes", name, entry.Offsets, len(data))
		}
		v, err := decode(entry.Dtype, entry.Shape, data[from:to])
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

func decode(dtype string, shape []int, data []byte) (*values, error) {
	n := 1
	for _, s := range shape {
		n *= s
	}
	v := &values{shape: shape}
	size := map[string]int{"F32": 4, "I64": 8, "I8": 1}[dtype]
	if size == 0 {
		return nil, fmt.Errorf("dtype %s is none of F32, I64, I8", dtype)
	}
	if len(data) != n*size {
		return nil, fmt.Errorf("shape %v of %s in %d bytes", shape, dtype, len(data))
	}
	switch dtype {
	case "F32":
		v.f32 = make([]float32, n)
		for i := range v.f32 {
			v.f32[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case "I64":
		v.i64 = make([]int64, n)
		for i := range v.i64 {
			v.i64[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
	case "I8":
		v.i8 = make([]int8, n)
		for i := range v.i8 {
			v.i8[i] = int8(data[i])
		}
	}
	return v, nil
}
