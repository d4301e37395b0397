package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"mmfree/checkpoints/format"
)

// Limits of what a file may claim; those of the bytes that are there bound everything else.
const (
	maxKeyBytes  = 1<<16 - 1
	maxNameBytes = 63 // of a tensor; what the llama.cpp family has room for
	maxRank      = 4
	// The least bytes that a key with its value, and a tensor's entry, take up.
	leastKeyBytes    = 8 + 1 + 4 + 1
	leastTensorBytes = 8 + 4 + 4 + 8
	defaultAlignment = 32
	alignmentKey     = "general.alignment"
)

// reader takes values off the head of a file; the first fault stops it.
type reader struct {
	name string
	data []byte
	at   int
	err  error
}

func (r *reader) fail(at int, fix, problem string, args ...any) {
	if r.err == nil {
		r.err = &format.Error{File: r.name, Offset: int64(at), Problem: fmt.Sprintf(problem, args...), Fix: fix}
	}
}

// left returns how many bytes have not been read.
func (r *reader) left() int { return len(r.data) - r.at }

// bytes takes n bytes in place.
func (r *reader) bytes(n int, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.left() {
		r.fail(r.at, fixCopy, "ends inside %s, which needs %d bytes where %d are left", what, n, r.left())
		return nil
	}
	b := r.data[r.at:][:n:n]
	r.at += n
	return b
}

func (r *reader) uint32(what string) uint32 {
	if b := r.bytes(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(what string) uint64 {
	if b := r.bytes(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// text takes a string of at most limit bytes in place.
func (r *reader) text(limit int, what string) []byte {
	at := r.at
	n := r.uint64(what)
	if r.err != nil {
		return nil
	}
	if n > uint64(min(limit, r.left())) {
		r.fail(at, fixCopy, "%s claims %d bytes, where %d are left and %d allowed", what, n, r.left(), limit)
		return nil
	}
	return r.bytes(int(n), what)
}

// count takes a number of things that need at least so many bytes each.
func (r *reader) count(least int, what string) int {
	at := r.at
	n := r.uint64("the number of " + what)
	if r.err == nil && n > uint64(r.left()/least) {
		r.fail(at, fixCopy, "claims %d %s, for which its %d bytes are too few", n, what, len(r.data))
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// value takes one value of the metadata.
func (r *reader) value(key string) Value {
	at := r.at
	v := Value{Kind: Kind(r.uint32("the type of " + quoted(key))), Len: 1}
	if r.err == nil && v.Kind >= kinds {
		r.fail(at, fixFaulty, "key %s has a value of the unknown type %d", quoted(key), v.Kind)
	}
	switch {
	case r.err != nil:
	case v.Kind == String:
		v.raw = r.text(math.MaxInt, "the value of "+quoted(key))
	case v.Kind != Array:
		v.raw = r.bytes(kindBytes[v.Kind], "the value of "+quoted(key))
	default:
		r.array(&v, key)
	}
	if r.err == nil && v.Kind == Bool && v.raw[0] > 1 {
		r.fail(at+4, fixFaulty, "key %s is neither true nor false", quoted(key))
	}
	return v
}

func (r *reader) array(v *Value, key string) {
	at := r.at
	v.Element = Kind(r.uint32("the type of " + quoted(key)))
	if r.err == nil && (v.Element >= kinds || v.Element == Array) {
		r.fail(at, fixFaulty, "key %s is an array of the type %d", quoted(key), v.Element)
	}
	if r.err != nil {
		return
	}
	least := kindBytes[v.Element]
	if v.Element == String {
		least = 8
	}
	v.Len = r.count(least, "values of "+quoted(key))
	start := r.at
	if v.Element != String {
		v.raw = r.bytes(v.Len*least, "the values of "+quoted(key)) // count has bounded the product
		return
	}
	for i := 0; i < v.Len && r.err == nil; i++ {
		r.text(math.MaxInt, "a string of "+quoted(key))
	}
	if r.err == nil {
		v.raw = r.data[start:r.at:r.at]
	}
}

// tensor takes one tensor's entry; begin is where its data must begin.
func (r *reader) tensor(begin int64, alignment int) (t Tensor, end int64) {
	at := r.at
	t.Name = string(r.text(maxNameBytes, "a tensor's name"))
	rank := r.uint32("the rank of tensor " + quoted(t.Name))
	if r.err == nil && rank > maxRank {
		r.fail(at, fixFaulty, "tensor %s has %d dimensions, at most %d are possible", quoted(t.Name), rank, maxRank)
	}
	if r.err != nil {
		return t, 0
	}
	elements, width := uint64(1), int64(1)
	t.Shape = make([]int, rank)
	for i := range t.Shape {
		n := r.uint64("the shape of tensor " + quoted(t.Name))
		high, low := bits.Mul64(elements, n)
		// 2^48 values keep every later product of sizes below 2^63.
		if r.err == nil && (n > 1<<48 || high != 0 || low > 1<<48 || low == 0) {
			r.fail(at, fixFaulty, "tensor %s has a shape of no values, or of more than 2^48", quoted(t.Name))
		}
		if r.err != nil {
			return t, 0
		}
		elements = low
		t.Shape[int(rank)-1-i] = int(n) // the file has the fastest dimension first
		if i == 0 {
			width = int64(n)
		}
	}
	t.Elements = int64(elements)
	t.Type = Type(r.uint32("the type of tensor " + quoted(t.Name)))
	t.Offset = int64(r.uint64("the place of tensor " + quoted(t.Name)))
	if r.err != nil {
		return t, 0
	}
	if _, known := layouts[t.Type]; !known {
		r.fail(at, fixUnknown, "tensor %s has the unknown %s", quoted(t.Name), t.Type)
		return t, 0
	}
	var ok bool
	if t.Bytes, ok = t.Type.size(t.Elements, width); !ok {
		r.fail(at, fixFaulty, "tensor %s has rows of %d values, which are no whole blocks of %s", quoted(t.Name), width, t.Type)
		return t, 0
	}
	if t.Offset != begin {
		r.fail(at, fixFaulty, "tensor %s begins at byte %d of the data, where %d is expected: tensors must follow each other", quoted(t.Name), t.Offset, begin)
	}
	return t, begin + pad(t.Bytes, alignment)
}

// pad returns n rounded up to a multiple of alignment, a power of two.
func pad(n int64, alignment int) int64 { return (n + int64(alignment) - 1) &^ int64(alignment-1) }
