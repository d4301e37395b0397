package gguf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mmfree/checkpoints/format"
	"mmfree/checkpoints/gguf"
)

// builder writes the parts of a file by the format's text.
type builder struct{ bytes.Buffer }

func (b *builder) put(values ...any) *builder {
	for _, v := range values {
		if s, ok := v.(string); ok {
			b.put(uint64(len(s)))
			b.WriteString(s)
			continue
		}
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b
}

func head(tensors, keys uint64) *builder {
	b := &builder{}
	b.WriteString("GGUF")
	return b.put(uint32(3), tensors, keys)
}

func (b *builder) align(n int) *builder {
	b.Write(make([]byte, (n-b.Len()%n)%n))
	return b
}

// whole is a file with a value of each sort and two tensors.
func whole() []byte {
	b := head(2, 5)
	b.put("general.architecture", uint32(8), "llama")
	b.put("a.count", uint32(4), uint32(7), "a.theta", uint32(6), float32(0.5))
	b.put("a.words", uint32(9), uint32(8), uint64(2), "", "ab")
	b.put("a.scores", uint32(9), uint32(6), uint64(2), float32(-1), float32(2))
	b.put("m", uint32(2), uint64(3), uint64(2), uint32(0), uint64(0)) // two rows of three
	b.put("v", uint32(1), uint64(2), uint32(1), uint64(32))
	b.align(32)
	b.put([]float32{1, 2, 3, 4, 5, 6}).align(32)
	b.put([]uint16{0x3c00, 0xc000}).align(32) // 1 and −2
	return b.Bytes()
}

func TestWhole(t *testing.T) {
	f, err := gguf.Parse("F", whole())
	if err != nil {
		t.Fatal(err)
	}
	value := func(key string) gguf.Value {
		v, ok := f.Value(key)
		if !ok {
			t.Fatalf("no key %s", key)
		}
		return v
	}
	if s, ok := value("general.architecture").Text(); !ok || s != "llama" {
		t.Errorf("architecture %q, %v", s, ok)
	}
	if n, ok := value("a.count").Int(); !ok || n != 7 {
		t.Errorf("count %d, %v", n, ok)
	}
	if x, ok := value("a.theta").Float(); !ok || x != 0.5 {
		t.Errorf("theta %v, %v", x, ok)
	}
	if s, ok := value("a.words").Strings(); !ok || !slices.Equal(s, []string{"", "ab"}) {
		t.Errorf("words %q, %v", s, ok)
	}
	if s, ok := value("a.scores").Float32s(); !ok || !slices.Equal(s, []float32{-1, 2}) {
		t.Errorf("scores %v, %v", s, ok)
	}
	if _, ok := value("a.scores").Strings(); ok {
		t.Error("numbers came out as strings")
	}
	m, ok := f.Tensor("m")
	if !ok || !slices.Equal(m.Shape, []int{2, 3}) || m.Elements != 6 || m.Bytes != 24 {
		t.Fatalf("tensor m: %+v", m)
	}
	got := make([]float32, 6)
	if err := f.ReadFloat32("m", got); err != nil || !slices.Equal(got, []float32{1, 2, 3, 4, 5, 6}) {
		t.Errorf("m: %v, %v", got, err)
	}
	if err := f.ReadFloat32("v", got[:2]); err != nil || !slices.Equal(got[:2], []float32{1, -2}) {
		t.Errorf("v: %v, %v", got[:2], err)
	}
	if err := f.ReadFloat32("m", got[:5]); !errors.Is(err, format.ErrFormat) {
		t.Errorf("five of six values: %v", err)
	}
	if err := f.ReadFloat32("x", nil); !errors.Is(err, format.ErrFormat) {
		t.Errorf("a tensor that is not there: %v", err)
	}
}

// TestCut: no file that ends early is taken, and none makes the reader look behind its end.
func TestCut(t *testing.T) {
	file := whole()
	for n := range file {
		if _, err := gguf.Parse("F", file[:n:n]); !errors.Is(err, format.ErrFormat) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(file), err)
		}
	}
}

// encodeTQ1, encodeTQ2 and encodeI2S are the formats' own rules read from the writing side: five base-3 digits spread
// over a byte, or two bits a trit.
func encodeTQ1(t []int8, scale uint16) []byte {
	var out []byte
	pack := func(at, groups, width int) {
		for m := range width {
			v := 0
			for n := range 5 {
				v *= 3
				if n < groups {
					v += int(t[at+width*n+m]) + 1
				}
			}
			out = append(out, byte((v*256+242)/243))
		}
	}
	pack(0, 5, 32)
	pack(160, 5, 16)
	pack(240, 4, 4)
	return binary.LittleEndian.AppendUint16(out, scale)
}

func encodeTQ2(t []int8, scale uint16) []byte {
	out := make([]byte, 64)
	for i, v := range t {
		out[i/128*32+i%32] |= byte(v+1) << (2 * (i / 32 % 4))
	}
	return binary.LittleEndian.AppendUint16(out, scale)
}

func encodeI2S(t []int8, scale float32) []byte {
	out := make([]byte, len(t)/4+32)
	for i, v := range t {
		out[i/128*32+i%32] |= byte(v+1) << (6 - 2*(i/32%4))
	}
	binary.LittleEndian.PutUint32(out[len(t)/4:], math.Float32bits(scale))
	return out
}

func TestTernaryTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	trits := make([]int8, 512)
	for i := range trits {
		trits[i] = int8(rng.IntN(3)) - 1
	}
	const half = 0x3800 // 0.5
	for name, c := range map[string]struct {
		kind gguf.Type
		src  []byte
	}{
		"TQ1_0": {gguf.TQ1, append(encodeTQ1(trits[:256], half), encodeTQ1(trits[256:], half)...)},
		"TQ2_0": {gguf.TQ2, append(encodeTQ2(trits[:256], half), encodeTQ2(trits[256:], half)...)},
		"I2_S":  {gguf.I2S, encodeI2S(trits, 0.5)},
	} {
		codes := make([]int8, len(trits))
		scale, err := gguf.DecodeTernary(codes, c.src, c.kind)
		if err != nil || scale != 0.5 || !slices.Equal(codes, trits) {
			t.Errorf("%s: scale %v, %v, codes equal %v", name, scale, err, slices.Equal(codes, trits))
		}
		values := make([]float32, len(trits))
		if err := gguf.Decode(values, c.src, c.kind); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, v := range values {
			if v != float32(trits[i])*0.5 {
				t.Fatalf("%s: value %d is %v, want %v", name, i, v, float32(trits[i])*0.5)
			}
		}
		if err := gguf.Decode(values[:256], c.src, c.kind); err == nil {
			t.Errorf("%s: half the values decoded from all bytes", name)
		}
	}
	mixed := append(encodeTQ2(trits[:256], half), encodeTQ2(trits[256:], 0x3c00)...)
	if _, err := gguf.DecodeTernary(make([]int8, 512), mixed, gguf.TQ2); err == nil || !strings.Contains(err.Error(), "value 256") {
		t.Errorf("blocks of two scales: %v", err)
	}
	zeros := append(encodeTQ2(make([]int8, 256), 0), encodeTQ2(trits[256:], half)...)
	if scale, err := gguf.DecodeTernary(make([]int8, 512), zeros, gguf.TQ2); err != nil || scale != 0.5 {
		t.Errorf("a block of zeros with another scale: %v, %v", scale, err)
	}
	bad := encodeI2S(trits, 0.5)
	bad[7] |= 0xc0
	if err := gguf.Decode(make([]float32, 512), bad, gguf.I2S); err == nil {
		t.Error("code 3 was taken for a trit")
	}
}

func TestQ8(t *testing.T) {
	src := binary.LittleEndian.AppendUint16(nil, 0x3800)
	want := make([]float32, 32)
	for j := range want {
		src = append(src, byte(int8(j-16)))
		want[j] = float32(j-16) * 0.5
	}
	got := make([]float32, 32)
	if err := gguf.Decode(got, src, gguf.Q8_0); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestRobustness holds the verdicts of the shared malformed files, and what a refusal may allocate.
func TestRobustness(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	dir := filepath.Join(shared, "data", "robustness", "gguf")
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Cases []struct{ File, Expect, Why string }
	}
	if err := json.Unmarshal(raw, &manifest); err != nil || len(manifest.Cases) == 0 {
		t.Fatal(err, len(manifest.Cases))
	}
	for _, c := range manifest.Cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := gguf.Open(filepath.Join(dir, c.File))
		runtime.ReadMemStats(&after)
		if (err == nil) != (c.Expect == "accept") {
			t.Errorf("%s (%s): got %v, want %s", c.File, c.Why, err, c.Expect)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%s: %d bytes allocated", c.File, got)
		}
		if err == nil {
			for _, tensor := range f.Tensors() {
				if int64(len(f.Bytes(tensor.Name))) != tensor.Bytes {
					t.Errorf("%s: tensor %s has %d bytes in place", c.File, tensor.Name, len(f.Bytes(tensor.Name)))
				}
			}
			f.Close()
		} else if !strings.Contains(err.Error(), c.File) {
			t.Errorf("%s: not named in %q", c.File, err)
		}
	}
}

// TestVocabularies opens the two real files, which hold a vocabulary each.
func TestVocabularies(t *testing.T) {
	shared := os.Getenv("MMFREE_SHARED")
	if shared == "" {
		t.Skip("MMFREE_SHARED is not set")
	}
	for path, size := range map[string]int{"gpt2/ggml-vocab-gpt-2.gguf": 50257, "llama-2/ggml-vocab-llama-spm.gguf": 32000} {
		f, err := gguf.Open(filepath.Join(shared, "data", "tokenizers", path))
		if err != nil {
			t.Fatal(err)
		}
		v, _ := f.Value("tokenizer.ggml.tokens")
		if tokens, ok := v.Strings(); !ok || len(tokens) != size {
			t.Errorf("%s: %d tokens, want %d", path, len(tokens), size)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole())
	f.Add(head(0, 0).Bytes())
	f.Add(head(0, 1).put("k", uint32(9), uint32(8), uint64(1)<<40).Bytes())
	f.Add(head(1, 0).put("t", uint32(4), uint64(1)<<40, uint64(1)<<40, uint64(1), uint64(1), uint32(35), uint64(0)).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Parse("F", b)
		if err != nil {
			if !errors.Is(err, format.ErrFormat) {
				t.Fatalf("error of another class: %v", err)
			}
			return
		}
		for _, key := range file.Keys {
			v, ok := file.Value(key)
			if !ok {
				t.Fatalf("key %q is listed and not found", key)
			}
			v.Int()
			v.Float()
			v.Text()
			v.Strings()
			v.Float32s()
			v.Int32s()
		}
		for _, tensor := range file.Tensors() {
			if int64(len(file.Bytes(tensor.Name))) != tensor.Bytes {
				t.Fatalf("tensor %q has %d bytes in place, want %d", tensor.Name, len(file.Bytes(tensor.Name)), tensor.Bytes)
			}
			_ = file.ReadFloat32(tensor.Name, make([]float32, tensor.Elements))
		}
	})
}
