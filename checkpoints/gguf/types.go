package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"mmfree/checkpoints/dtype"
)

// Type is the storage type of a tensor, by its number in the file.
type Type uint32

// Types that Decode knows.
const (
	F32  Type = 0
	F16  Type = 1
	Q8_0 Type = 8
	BF16 Type = 30
	TQ1  Type = 34 // ternary, 1.69 bits a weight
	TQ2  Type = 35 // ternary, 2.06 bits a weight
	I2S  Type = 36 // ternary, 2 bits a weight and one scale a tensor (bitnet.cpp)
)

// layout is how a type lays out its values: blocks of so many values in so many bytes, and bytes behind the tensor.
type layout struct {
	name          string
	values, bytes int64
	behind        int64
}

// layouts lists every type whose size is known, so that files which hold a type that is not decoded can be listed.
var layouts = map[Type]layout{
	F32: {"F32", 1, 4, 0}, F16: {"F16", 1, 2, 0}, BF16: {"BF16", 1, 2, 0}, 28: {"F64", 1, 8, 0},
	24: {"I8", 1, 1, 0}, 25: {"I16", 1, 2, 0}, 26: {"I32", 1, 4, 0}, 27: {"I64", 1, 8, 0},
	2: {"Q4_0", 32, 18, 0}, 3: {"Q4_1", 32, 20, 0}, 6: {"Q5_0", 32, 22, 0}, 7: {"Q5_1", 32, 24, 0},
	Q8_0: {"Q8_0", 32, 34, 0}, 9: {"Q8_1", 32, 36, 0}, 10: {"Q2_K", 256, 84, 0}, 11: {"Q3_K", 256, 110, 0},
	12: {"Q4_K", 256, 144, 0}, 13: {"Q5_K", 256, 176, 0}, 14: {"Q6_K", 256, 210, 0}, 15: {"Q8_K", 256, 292, 0},
	16: {"IQ2_XXS", 256, 66, 0}, 17: {"IQ2_XS", 256, 74, 0}, 18: {"IQ3_XXS", 256, 98, 0}, 19: {"IQ1_S", 256, 50, 0},
	20: {"IQ4_NL", 32, 18, 0}, 21: {"IQ3_S", 256, 110, 0}, 22: {"IQ2_S", 256, 82, 0}, 23: {"IQ4_XS", 256, 136, 0},
	29: {"IQ1_M", 256, 56, 0}, TQ1: {"TQ1_0", 256, 54, 0}, TQ2: {"TQ2_0", 256, 66, 0}, I2S: {"I2_S", 128, 32, 32},
}

func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Ternary reports whether the type's values are trits times a scale.
func (t Type) Ternary() bool { return t == TQ1 || t == TQ2 || t == I2S }

// Decodes reports whether Decode knows the type.
func (t Type) Decodes() bool {
	return t == F32 || t == F16 || t == BF16 || t == Q8_0 || t.Ternary()
}

// Block returns the bytes of n values, a multiple of 256, and those that follow a whole tensor of the type.
func (t Type) Block(n int64) (bytes, behind int64) {
	l := layouts[t]
	return n / l.values * l.bytes, l.behind
}

// size returns the bytes of n values in rows of width values, or false where a row is no whole number of blocks. n is
// bounded by the caller, so that no product overflows.
func (t Type) size(n, width int64) (bytes int64, ok bool) {
	l := layouts[t]
	if t == I2S { // the blocks run on over the rows
		width = n
	}
	if width%l.values != 0 {
		return 0, false
	}
	return n/l.values*l.bytes + l.behind, true
}

// Decode writes the values of a tensor's bytes src to dst, which has their number.
func Decode(dst []float32, src []byte, t Type) error {
	if want, ok := t.size(int64(len(dst)), int64(len(dst))); !ok || want != int64(len(src)) {
		return fmt.Errorf("%d bytes of %s for %d values", len(src), t, len(dst))
	}
	switch t {
	case F32:
		return dtype.Decode(dst, src, dtype.F32)
	case F16:
		return dtype.Decode(dst, src, dtype.F16)
	case BF16:
		return dtype.Decode(dst, src, dtype.BF16)
	case Q8_0:
		for b := range len(dst) / 32 {
			block := src[34*b:][:34]
			d := half(block)
			for j, q := range block[2:] {
				dst[32*b+j] = float32(int8(q)) * d
			}
		}
		return nil
	}
	if !t.Ternary() {
		return fmt.Errorf("values of %s are not read", t)
	}
	x, err := openTrits(src, t, len(dst))
	if err != nil {
		return err
	}
	var codes [maxBlock]int8
	for b := range x.count {
		scale, err := x.block(codes[:], b)
		if err != nil {
			return err
		}
		for j, c := range codes[:x.values] {
			dst[b*x.values+j] = float32(c) * scale
		}
	}
	return nil
}

// DecodeTernary writes the trits of n values to dst and returns the scale that all of them have. Blocks of several scales
// are refused: one scale a tensor could not stand for them. Blocks of zeros alone have any scale.
func DecodeTernary(dst []int8, src []byte, t Type) (scale float32, err error) {
	x, err := openTrits(src, t, len(dst))
	if err != nil {
		return 0, err
	}
	if scale, _, err = x.scale(); err != nil {
		return 0, err
	}
	return scale, x.read(dst, 0, scale)
}

// maxBlock is the largest block of a ternary type.
const maxBlock = 256

// trits is a ternary tensor in its bytes.
type trits struct {
	kind          Type
	src           []byte
	count         int // of blocks
	values, bytes int // of a block
}

// openTrits takes n trits in place.
func openTrits(src []byte, t Type, n int) (trits, error) {
	l := layouts[t]
	if want, ok := t.size(int64(n), int64(n)); !t.Ternary() || !ok || want != int64(len(src)) {
		return trits{}, fmt.Errorf("%d bytes of %s for %d trits", len(src), t, n)
	}
	return trits{t, src, n / int(l.values), int(l.values), int(l.bytes)}, nil
}

// block unpacks a block to dst and returns its scale.
func (x *trits) block(dst []int8, b int) (scale float32, err error) {
	src := x.src[b*x.bytes:][:x.bytes]
	ok := true
	switch x.kind {
	case TQ1:
		unpackTQ1(dst, src)
		scale = half(src[52:])
	case TQ2:
		ok = unpackTwoBits(dst[:128], src[:32], 0, 2) && unpackTwoBits(dst[128:256], src[32:64], 0, 2)
		scale = half(src[64:])
	case I2S:
		ok = unpackTwoBits(dst[:128], src, 6, -2)
		scale = math.Float32frombits(binary.LittleEndian.Uint32(x.src[x.count*x.bytes:]))
	}
	if !ok {
		return 0, fmt.Errorf("block %d holds a code that is no trit", b)
	}
	return scale, nil
}

// scale returns the scale of the first block that is not of zeros alone; of a tensor of zeros, that of its first block.
func (x *trits) scale() (scale float32, zeros bool, err error) {
	var codes [maxBlock]int8
	for b := range x.count {
		scale, err := x.block(codes[:], b)
		if err != nil || !allZero(codes[:x.values]) {
			return scale, false, err
		}
	}
	scale, err = x.block(codes[:], 0)
	return scale, true, err
}

// read unpacks the trits from value at on. That their blocks have another scale than the one given is an error.
func (x *trits) read(dst []int8, at int, scale float32) error {
	var codes [maxBlock]int8
	for len(dst) > 0 {
		b := at / x.values
		s, err := x.block(codes[:], b)
		if err != nil {
			return err
		}
		if s != scale && !allZero(codes[:x.values]) {
			return fmt.Errorf("the block at value %d has another scale than the ones before it", b*x.values)
		}
		n := copy(dst, codes[at-b*x.values:x.values])
		dst, at = dst[n:], at+n
	}
	return nil
}

func allZero(codes []int8) bool {
	for _, c := range codes {
		if c != 0 {
			return false
		}
	}
	return true
}

// unpackTwoBits unpacks 128 trits from 32 bytes: group l of 32 lies in the bits from first+l·step on, as trit+1.
func unpackTwoBits(dst []int8, src []byte, first, step int) bool {
	bad := byte(0)
	for l := range 4 {
		shift := uint(first + l*step)
		for m, b := range src {
			c := b >> shift & 3
			bad |= c & (c >> 1) // 3
			dst[32*l+m] = int8(c) - 1
		}
	}
	return bad&1 == 0
}

// unpackTQ1 unpacks 256 trits: five to a byte in base 3, spread over the byte's whole range, so that the digits come out
// at the top of a product with 3.
func unpackTQ1(dst []int8, src []byte) {
	digits := func(at, groups, width int, bytes []byte) {
		power := uint8(1)
		for n := range groups {
			for m, b := range bytes {
				dst[at+width*n+m] = int8(uint16(b*power)*3>>8) - 1
			}
			power *= 3
		}
	}
	digits(0, 5, 32, src[:32])
	digits(160, 5, 16, src[32:48])
	digits(240, 4, 4, src[48:52])
}

// half returns the float16 at the head of b.
func half(b []byte) float32 {
	var v [1]float32
	_ = dtype.Decode(v[:], b[:2], dtype.F16) // cannot fail: one value, two bytes
	return v[0]
}
