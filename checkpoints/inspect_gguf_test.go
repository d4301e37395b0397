package checkpoints_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"mmfree/checkpoints"
)

// TestInspectGGUF: a matrix of 2 bits a trit with its scale behind it, and a vector of floats.
func TestInspectGGUF(t *testing.T) {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			must(t, binary.Write(&b, binary.LittleEndian, v))
		}
	}
	name := func(s string) { put(uint64(len(s)), []byte(s)) }
	align := func() { b.Write(make([]byte, (32-b.Len()%32)%32)) }
	b.WriteString("GGUF")
	put(uint32(3), uint64(2), uint64(0))
	name("w")
	put(uint32(2), uint64(64), uint64(2), uint32(36), uint64(0))
	name("v")
	put(uint32(1), uint64(4), uint32(0), uint64(64))
	align()
	for range 32 {
		put(uint8(0b_01_10_00_01)) // trits 0, 1, −1, 0
	}
	put(math.Float32bits(0.25))
	align()
	put([]float32{0, 1, 2, 0})
	align()
	path := filepath.Join(t.TempDir(), "model")
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	in, err := checkpoints.Inspect(path, true)
	must(t, err)
	if in.Kind != checkpoints.KindGGUF || in.Parameters != 132 || in.Bytes != int64(b.Len()) || len(in.Tensors) != 2 {
		t.Fatalf("%+v", in)
	}
	w, v := in.Tensors[0], in.Tensors[1]
	if w.DType != "I2_S" || w.ZeroFraction == nil || *w.ZeroFraction != 0.5 || w.Scale == nil || *w.Scale != 0.25 {
		t.Errorf("the matrix: %+v", w)
	}
	if v.DType != "F32" || v.ZeroFraction == nil || *v.ZeroFraction != 0.5 || v.Scale != nil {
		t.Errorf("the vector: %+v", v)
	}
}
