package dtype_test

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"

	"mmfree/checkpoints/dtype"
)

// TestEveryHalfComesBack decodes and encodes all 65,536 patterns of both 16-bit types.
func TestEveryHalfComesBack(t *testing.T) {
	src := make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
	}
	for _, typ := range []dtype.Type{dtype.F16, dtype.BF16} {
		v := make([]float32, 1<<16)
		back := make([]byte, len(src))
		if err := dtype.Decode(v, src, typ); err != nil {
			t.Fatal(err)
		}
		if err := dtype.Encode(back, v, typ); err != nil {
			t.Fatal(err)
		}
		for i := range src {
			if src[i] != back[i] {
				t.Fatalf("%s: pattern %#04x is %v and came back as % x", typ, i/2, v[i/2], back[i&^1:][:2])
			}
		}
		if !dtype.Exact(v, typ) {
			t.Errorf("%s: Exact is false for its own values", typ)
		}
	}
}

func TestKnownValues(t *testing.T) {
	for _, c := range []struct {
		v    float32
		f16  uint16
		bf16 uint16
	}{
		{0, 0, 0},
		{float32(math.Copysign(0, -1)), 0x8000, 0x8000},
		{1, 0x3c00, 0x3f80},
		{-2, 0xc000, 0xc000},
		{65504, 0x7bff, 0x4780},
		{65519.996, 0x7bff, 0x4780},
		{65520, 0x7c00, 0x4780},
		{0x1p-14, 0x0400, 0x3880},
		{0x1p-24, 0x0001, 0x3380},
		{0x1p-25, 0x0000, 0x3300},        // a tie with zero, which is even
		{0x1.8p-24, 0x0002, 0x33c0},      // a tie, to even
		{0x1.000002p-25, 0x0001, 0x3300}, // just above the tie
		{0x1.ff8p-15, 0x03ff, 0x3880},    // largest subnormal
		{0x1.ffcp-15, 0x0400, 0x3880},    // a tie up into the normal numbers
		{1 + 0x1p-11, 0x3c00, 0x3f80},    // ties
		{1 + 0x3p-11, 0x3c02, 0x3f80},    //
		{1 + 0x1p-8, 0x3c04, 0x3f80},     //
		{1 + 0x3p-8, 0x3c0c, 0x3f82},     //
		{float32(math.Inf(-1)), 0xfc00, 0xff80},
		{math.MaxFloat32, 0x7c00, 0x7f80},
		{math.Float32frombits(0x7f800001), 0x7e00, 0x7fc0}, // a payload that would be lost stays a NaN
	} {
		var f, b [2]byte
		if err := dtype.Encode(f[:], []float32{c.v}, dtype.F16); err != nil {
			t.Fatal(err)
		}
		if err := dtype.Encode(b[:], []float32{c.v}, dtype.BF16); err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint16(f[:]); got != c.f16 {
			t.Errorf("F16 of %x: got %#04x, want %#04x", c.v, got, c.f16)
		}
		if got := binary.LittleEndian.Uint16(b[:]); got != c.bf16 {
			t.Errorf("BF16 of %x: got %#04x, want %#04x", c.v, got, c.bf16)
		}
	}
}

// TestNearest compares both encoders with a search among all values, ties to the even pattern.
func TestNearest(t *testing.T) {
	for _, typ := range []dtype.Type{dtype.F16, dtype.BF16} {
		rapid.Check(t, func(t *rapid.T) {
			v := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
			if v != v || math.Abs(float64(v)) > 65504 {
				return
			}
			var b [2]byte
			if err := dtype.Encode(b[:], []float32{v}, typ); err != nil {
				t.Fatal(err)
			}
			h := binary.LittleEndian.Uint16(b[:])
			dist := func(h uint16) float64 {
				var p [2]byte
				var f [1]float32
				binary.LittleEndian.PutUint16(p[:], h)
				if err := dtype.Decode(f[:], p[:], typ); err != nil {
					t.Fatal(err)
				}
				return math.Abs(float64(f[0]) - float64(v))
			}
			for _, n := range []uint16{h - 1, h + 1} {
				if n&0x7fff > 0x7bff || (n^h)&0x8000 != 0 { // not finite in f16, or across zero
					continue
				}
				if d := dist(n); d < dist(h) || d == dist(h) && h&1 == 1 {
					t.Fatalf("%s of %x: %#04x, but %#04x is nearer or even", typ, v, h, n)
				}
			}
		})
	}
}

func TestF32IsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		var b [4]byte
		var back [1]float32
		if dtype.Encode(b[:], []float32{v}, dtype.F32) != nil || dtype.Decode(back[:], b[:], dtype.F32) != nil {
			t.Fatal("error")
		}
		if math.Float32bits(back[0]) != math.Float32bits(v) {
			t.Fatalf("%x came back as %x", math.Float32bits(v), math.Float32bits(back[0]))
		}
	})
}

func TestExactAndErrors(t *testing.T) {
	if dtype.Exact([]float32{1, 1 + 0x1p-8}, dtype.BF16) || !dtype.Exact([]float32{1, 1 + 0x1p-8}, dtype.F16) {
		t.Error("Exact misjudges 1+2^-8")
	}
	if dtype.Exact([]float32{0x1p-30}, dtype.F16) || dtype.Exact([]float32{1}, "I8") {
		t.Error("Exact misjudges what cannot be stored")
	}
	if dtype.Decode(make([]float32, 2), make([]byte, 6), dtype.F32) == nil {
		t.Error("wrong length accepted")
	}
	if dtype.Encode(make([]byte, 2), make([]float32, 2), "I8") == nil {
		t.Error("I8 accepted")
	}
	if dtype.Type("F6_E2M3").Bits() != 6 || dtype.Type("f32").Bits() != 0 || dtype.Type("x").Rank() != -1 || dtype.F32.Rank() <= dtype.BF16.Rank() {
		t.Error("Bits or Rank")
	}
}

// TestEighths goes through all codes of the types of 8 bits: each has the value of its definition, comes back, and is what the
// values around it round to, halves to even.
func TestEighths(t *testing.T) {
	for _, typ := range []struct {
		t              dtype.Type
		man, bias, top int
		infinity       bool
	}{{dtype.E4M3, 3, 7, 0x7e, false}, {dtype.E5M2, 2, 15, 0x7b, true}} {
		decode := func(code int) float32 {
			var v [1]float32
			must(t, dtype.Decode(v[:], []byte{byte(code)}, typ.t))
			return v[0]
		}
		encode := func(v float32) int {
			var b [1]byte
			must(t, dtype.Encode(b[:], []float32{v}, typ.t))
			return int(b[0])
		}
		for code := range 256 {
			v := decode(code)
			if encode(v) != code && !(v != v && code&0x7f == 0x7f) {
				t.Errorf("%s: code %#02x is %v and comes back as %#02x", typ.t, code, v, encode(v))
			}
			abs := code & 0x7f
			exp, man := abs>>typ.man, float64(abs&(1<<typ.man-1))/float64(int(1)<<typ.man)
			want := math.Ldexp(1+man, exp-typ.bias)
			if exp == 0 {
				want = math.Ldexp(man, 1-typ.bias)
			}
			switch {
			case abs > typ.top && typ.infinity && abs == typ.top+1:
				want = math.Inf(1)
			case abs > typ.top:
				want = math.NaN()
			}
			if code > abs {
				want = -want
			}
			if float64(v) != want && !(v != v && want != want) {
				t.Errorf("%s: code %#02x is %v, want %v", typ.t, code, v, want)
			}
			if abs >= typ.top {
				continue
			}
			next := decode(code + 1)
			middle := (v + next) / 2
			even := code + code&1
			for x, want := range map[float32]int{middle: even, math.Nextafter32(middle, v): code, math.Nextafter32(middle, next): code + 1} {
				if got := encode(x); got != want {
					t.Errorf("%s: %v becomes %#02x, want %#02x", typ.t, x, got, want)
				}
			}
		}
		if huge := encode(1e9); huge != typ.top+1 {
			t.Errorf("%s: 1e9 becomes %#02x", typ.t, huge)
		}
		if !dtype.Exact([]float32{1, -2, 0}, typ.t) || dtype.Exact([]float32{1.01}, typ.t) {
			t.Errorf("%s: Exact", typ.t)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
