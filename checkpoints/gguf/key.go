package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// Key is one entry of the metadata to be written. Value is a uint16, uint32, int32, float32, bool or string, or a []string, []float32,
// []int32 or []byte.
type Key struct {
	Name  string
	Value any
}

// kindOf returns how a value is stored; of an array, kind is Array.
func kindOf(value any) (kind, element Kind, ok bool) {
	switch value.(type) {
	case uint16:
		return Uint16, 0, true
	case int32:
		return Int32, 0, true
	case uint32:
		return Uint32, 0, true
	case float32:
		return Float32, 0, true
	case bool:
		return Bool, 0, true
	case string:
		return String, 0, true
	case []string:
		return Array, String, true
	case []float32:
		return Array, Float32, true
	case []int32:
		return Array, Int32, true
	case []byte:
		return Array, Uint8, true
	}
	return 0, 0, false
}

// append writes the entry behind b.
func (k *Key) append(b []byte) ([]byte, error) {
	kind, element, ok := kindOf(k.Value)
	if !ok || k.Name == "" || len(k.Name) > maxKeyBytes {
		return nil, fmt.Errorf("key %s of type %T cannot be stored", quoted(k.Name), k.Value)
	}
	b = appendText(b, k.Name)
	b = binary.LittleEndian.AppendUint32(b, uint32(kind))
	if kind == Array {
		b = binary.LittleEndian.AppendUint32(b, uint32(element))
	}
	return appendValue(b, k.Value), nil
}

func appendValue(b []byte, value any) []byte {
	count := func(n int) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	switch v := value.(type) {
	case uint16:
		b = binary.LittleEndian.AppendUint16(b, v)
	case int32:
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	case uint32:
		b = binary.LittleEndian.AppendUint32(b, v)
	case float32:
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		return appendText(b, v)
	case []string:
		count(len(v))
		for _, s := range v {
			b = appendText(b, s)
		}
	case []float32:
		count(len(v))
		for _, x := range v {
			b = appendValue(b, x)
		}
	case []int32:
		count(len(v))
		for _, n := range v {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
	case []byte:
		count(len(v))
		b = append(b, v...)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// equals reports whether a single value of a file is the one that an entry would write.
func (k *Key) equals(v Value) bool {
	kind, _, ok := kindOf(k.Value)
	if !ok || kind != v.Kind || kind == Array {
		return false
	}
	want := appendValue(nil, k.Value)
	if kind == String {
		want = want[8:] // its length; v.raw is the text alone
	}
	return bytes.Equal(want, v.raw)
}
