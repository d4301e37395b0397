package dtype

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Type is an element type under the name that safetensors gives it.
type Type string

// Types that are read or written here; the others can only be listed and copied.
const (
	F32  Type = "F32"
	F16  Type = "F16"
	BF16 Type = "BF16"
	E4M3 Type = "F8_E4M3" // sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinity
	E5M2 Type = "F8_E5M2" // the upper half of F16
	U16  Type = "U16"
)

// types lists all of safetensors' types, in the order of its reference (dtype enumeration of tensor.rs), by which the
// reference's writer sorts tensors.
var types = [...]struct {
	name Type
	bits int
}{
	{"BOOL", 8},
	{"F4", 4},
	{"F6_E2M3", 6},
	{"F6_E3M2", 6},
	{"U8", 8},
	{"I8", 8},
	{"F8_E5M2", 8},
	{"F8_E4M3", 8},
	{"F8_E8M0", 8},
	{"F8_E4M3FNUZ", 8},
	{"F8_E5M2FNUZ", 8},
	{"I16", 16},
	{U16, 16},
	{F16, 16},
	{BF16, 16},
	{"I32", 32},
	{"U32", 32},
	{F32, 32},
	{"C64", 64},
	{"F64", 64},
	{"I64", 64},
	{"U64", 64},
}

// Bits returns the size of one element in bits, or 0 when there is no such type.
func (t Type) Bits() int {
	for i := range types {
		if types[i].name == t {
			return types[i].bits
		}
	}
	return 0
}

// Canonical returns the type as a constant of the program, which keeps no file's bytes alive, or "" when there is no
// such type.
func (t Type) Canonical() Type {
	if i := t.Rank(); i >= 0 {
		return types[i].name
	}
	return ""
}

// Rank returns the position of the type in the reference's order, wider types behind narrower ones, or −1.
func (t Type) Rank() int {
	for i := range types {
		if types[i].name == t {
			return i
		}
	}
	return -1
}

// Float reports whether Decode and Encode know the type: F32, F16, BF16, F8_E4M3, F8_E5M2.
func (t Type) Float() bool { return t == F32 || t == F16 || t == BF16 || t == E4M3 || t == E5M2 }

// Decode converts src, little-endian elements of type t, to dst, exactly; NaNs keep their payload. The lengths must
// agree and t must be a Float.
func Decode(dst []float32, src []byte, t Type) error {
	if err := check(len(dst), len(src), t); err != nil {
		return err
	}
	switch t {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case F16:
		for i := range dst {
			dst[i] = math.Float32frombits(fromF16(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case E4M3, E5M2:
		for i := range dst {
			dst[i] = math.Float32frombits(fromF8(src[i], t))
		}
	}
	return nil
}

// Encode converts src to dst, little-endian elements of type t, rounding to the nearest, halves to even; what is too
// large becomes infinite, in F8_E4M3, which has no infinity, NaN. What Decode made comes back bit for bit. The lengths must
// agree and t must be a Float.
func Encode(dst []byte, src []float32, t Type) error {
	if err := check(len(src), len(dst), t); err != nil {
		return err
	}
	switch t {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toBF16(math.Float32bits(v)))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toF16(math.Float32bits(v)))
		}
	case E4M3, E5M2:
		for i, v := range src {
			dst[i] = toF8(math.Float32bits(v), t)
		}
	}
	return nil
}

// Exact reports whether Encode loses nothing: every value comes back with the same bits.
func Exact(src []float32, t Type) bool {
	for _, v := range src {
		b := math.Float32bits(v)
		switch t {
		case F32:
			return true
		case BF16:
			if b&0xffff != 0 {
				return false
			}
		case F16:
			if fromF16(toF16(b)) != b {
				return false
			}
		case E4M3, E5M2:
			if fromF8(toF8(b, t), t) != b {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func check(values, bytes int, t Type) error {
	if !t.Float() {
		return fmt.Errorf("type %s is not F32, F16, BF16, F8_E4M3 or F8_E5M2", t)
	}
	if size := t.Bits() / 8; bytes != values*size {
		return fmt.Errorf("%d values of type %s are %d bytes, not %d", values, t, values*size, bytes)
	}
	return nil
}

func toBF16(b uint32) uint16 {
	if b&0x7fffffff > 0x7f800000 { // NaN: cut the payload, but never down to infinity
		if h := uint16(b >> 16); h&0x7f != 0 {
			return h
		}
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Layout of f16: sign, 5 bits of exponent (bias 15), 10 of mantissa; of float32: sign, 8 (bias 127), 23.

func fromF16(h uint16) uint32 {
	sign, exp, man := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f: // infinity, NaN
		return sign | 0x7f800000 | man<<13
	case exp != 0:
		return sign | (exp+127-15)<<23 | man<<13
	case man == 0:
		return sign
	}
	// A subnormal, man·2^-24, is a normal float32: the conversion is exact.
	return sign | math.Float32bits(float32(man)*0x1p-24)
}

func toF16(b uint32) uint16 {
	sign, abs := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN, as in toBF16
		if man := uint16(abs >> 13 & 0x3ff); man != 0 {
			return sign | 0x7c00 | man
		}
		return sign | 0x7e00
	case abs >= 0x477ff000: // 65520 and more round to infinity
		return sign | 0x7c00
	case abs >= 0x38800000: // normal, from 2^-14
		r := abs + 0xfff + abs>>13&1 // a carry out of the mantissa raises the exponent, as it should
		return sign | uint16((r-(127-15)<<23)>>13)
	case abs < 0x33000000: // below 2^-25
		return sign
	}
	// Subnormal: the mantissa with its leading one, shifted to units of 2^-24; a carry gives the least normal.
	exp := abs >> 23
	man := abs&0x7fffff | 0x800000
	shift := 126 - exp // 14 … 24 bits are dropped
	half := uint32(1) << (shift - 1)
	return sign | uint16((man+half-1+man>>shift&1)>>shift)
}
