package gguf

import (
	"encoding/binary"
	"math"
)

// oneHalf is 1 as float16: the scale of blocks whose tensor has its scale elsewhere.
const oneHalf = 0x3c00

// appendCodes writes codes, whole blocks of the type, behind b. Blocks that have a scale get 1: a float16 could not hold the
// tensor's, which is a float32. I2_S has none in its blocks; appendI2SScale writes it behind the last.
func appendCodes(b []byte, codes []int8, t Type) []byte {
	for n := int(layouts[t].values); len(codes) > 0; codes = codes[n:] {
		block := codes[:n]
		switch t {
		case TQ1:
			b = appendTQ1(b, block)
			b = binary.LittleEndian.AppendUint16(b, oneHalf)
		case TQ2:
			b = appendTwoBits(b, block[:128], 0, 2)
			b = appendTwoBits(b, block[128:], 0, 2)
			b = binary.LittleEndian.AppendUint16(b, oneHalf)
		case I2S:
			b = appendTwoBits(b, block, 6, -2)
		case Q8_0:
			b = binary.LittleEndian.AppendUint16(b, oneHalf)
			for _, c := range block {
				b = append(b, byte(c))
			}
		default: // F16: 1 or −1
			b = binary.LittleEndian.AppendUint16(b, uint16(int16(block[0]))&0x8000|oneHalf*uint16(block[0]&1))
		}
	}
	return b
}

// appendI2SScale writes what lies behind the blocks of an I2_S tensor.
func appendI2SScale(b []byte, scale float32) []byte {
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(scale))
	return append(b, make([]byte, layouts[I2S].behind-4)...)
}

// appendTwoBits is the inverse of unpackTwoBits.
func appendTwoBits(b []byte, codes []int8, first, step int) []byte {
	for m := range 32 {
		var v byte
		for l := range 4 {
			v |= byte(codes[32*l+m]+1) << uint(first+l*step)
		}
		b = append(b, v)
	}
	return b
}

// appendTQ1 is the inverse of unpackTQ1.
func appendTQ1(b []byte, codes []int8) []byte {
	digits := func(at, groups, width int) {
		for m := range width {
			v := 0
			for n := range groups {
				v = 3*v + int(codes[at+width*n+m]) + 1
			}
			for range 5 - groups {
				v *= 3
			}
			// Of 243 values over the 256 of a byte, rounded up: digits come out of products that are rounded down.
			b = append(b, byte((v*256+242)/243))
		}
	}
	digits(0, 5, 32)
	digits(160, 5, 16)
	digits(240, 4, 4)
	return b
}
