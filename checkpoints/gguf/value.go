package gguf

import (
	"encoding/binary"
	"math"
)

// Kind is the type of a metadata value, by its number in the file.
type Kind uint32

// Kinds of metadata.
const (
	Uint8 Kind = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
	kinds
)

var kindBytes = [kinds]int{Uint8: 1, Int8: 1, Uint16: 2, Int16: 2, Uint32: 4, Int32: 4, Float32: 4, Bool: 1, Uint64: 8, Int64: 8, Float64: 8}

// Value is one value of the metadata. It lies in the file's bytes; the methods take it from there.
type Value struct {
	Kind    Kind
	Element Kind // of an Array
	Len     int  // elements of an Array, else 1
	raw     []byte
}

// Int returns a whole number of any width, or a Bool as 0 or 1; false for others and for what does not fit.
func (v Value) Int() (int64, bool) {
	switch v.Kind {
	case Uint8, Bool:
		return int64(v.raw[0]), true
	case Int8:
		return int64(int8(v.raw[0])), true
	case Uint16:
		return int64(binary.LittleEndian.Uint16(v.raw)), true
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(v.raw))), true
	case Uint32:
		return int64(binary.LittleEndian.Uint32(v.raw)), true
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(v.raw))), true
	case Uint64, Int64:
		n := int64(binary.LittleEndian.Uint64(v.raw))
		return n, v.Kind == Int64 || n >= 0
	}
	return 0, false
}

// Float returns a Float32 or Float64.
func (v Value) Float() (float64, bool) {
	switch v.Kind {
	case Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(v.raw))), true
	case Float64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.raw)), true
	}
	return 0, false
}

// Text returns a String.
func (v Value) Text() (string, bool) {
	if v.Kind != String {
		return "", false
	}
	return string(v.raw), true
}

// Strings returns an Array of String.
func (v Value) Strings() ([]string, bool) {
	if v.Kind != Array || v.Element != String {
		return nil, false
	}
	list := make([]string, v.Len)
	at := v.raw
	for i := range list {
		n := int(binary.LittleEndian.Uint64(at)) // checked when the file was opened
		list[i] = string(at[8:][:n])
		at = at[8+n:]
	}
	return list, true
}

// Bytes returns an Array of Uint8 or Int8, in place.
func (v Value) Bytes() ([]byte, bool) {
	if v.Kind != Array || v.Element != Uint8 && v.Element != Int8 {
		return nil, false
	}
	return v.raw, true
}

// Float32s returns an Array of Float32.
func (v Value) Float32s() ([]float32, bool) {
	if v.Kind != Array || v.Element != Float32 {
		return nil, false
	}
	list := make([]float32, v.Len)
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(v.raw[4*i:]))
	}
	return list, true
}

// Int32s returns an Array of Int32 or Uint32, whose values must fit.
func (v Value) Int32s() ([]int32, bool) {
	if v.Kind != Array || v.Element != Int32 && v.Element != Uint32 {
		return nil, false
	}
	list := make([]int32, v.Len)
	for i := range list {
		list[i] = int32(binary.LittleEndian.Uint32(v.raw[4*i:]))
		if v.Element == Uint32 && list[i] < 0 {
			return nil, false
		}
	}
	return list, true
}
