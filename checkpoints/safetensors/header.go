package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
	"unicode/utf8"

	"mmfree/checkpoints/dtype"
	"mmfree/checkpoints/format"
)

// Limits. The first two are the reference's; a rank above the third has no meaning anywhere, and without it one header
// could ask for shapes of millions of dimensions.
const (
	prefixBytes    = 8
	maxHeaderBytes = 100_000_000
	maxRank        = 1024
)

const metadataName = "__metadata__"

// Info describes one tensor of a file.
type Info struct {
	Name       string
	DType      dtype.Type
	Shape      []int // empty for a single value
	Begin, End int64 // bytes [Begin, End) of the data section
}

// Elements returns the number of values.
func (t *Info) Elements() int {
	n := 1
	for _, s := range t.Shape {
		n *= s
	}
	return n
}

// header is the parsed and checked head of a file.
type header struct {
	dataStart int64 // bytes before the data section
	tensors   []Info
	index     map[string]int
	metadata  map[string]string
}

// readHeader checks the head of a file of size bytes, of which head are the first: all of them, or at least prefix and
// header. Every fault is a *format.Error.
func readHeader(file string, head []byte, size int64) (*header, error) {
	bad := func(offset int64, fix, problem string, args ...any) error {
		return &format.Error{File: file, Offset: offset, Problem: fmt.Sprintf(problem, args...), Fix: fix}
	}
	if size < prefixBytes {
		return nil, bad(size, fixCopy, "has %d bytes, too few for a safetensors file", size)
	}
	length := binary.LittleEndian.Uint64(head)
	if length > maxHeaderBytes {
		return nil, bad(0, fixCopy, "the header is said to have %d bytes, more than the %d the format allows", length, maxHeaderBytes)
	}
	h := &header{dataStart: prefixBytes + int64(length), index: map[string]int{}}
	if h.dataStart > size {
		return nil, bad(size, fixCopy, "the header is said to have %d bytes, the file ends before", length)
	}
	text := head[prefixBytes:h.dataStart]
	if !utf8.Valid(text) {
		return nil, bad(prefixBytes, fixCopy, "the header is not UTF-8")
	}
	if err := h.parse(text); err != nil {
		var at *scanError
		errors.As(err, &at) // parse returns nothing else
		return nil, &format.Error{File: file, Tensor: at.tensor, Offset: prefixBytes + int64(at.pos), Problem: at.problem, Fix: fixJSON}
	}
	if err := h.validate(file, size); err != nil {
		return nil, err
	}
	for i := range h.tensors { // sorted only now
		h.index[h.tensors[i].Name] = i
	}
	return h, nil
}

func (h *header) parse(text []byte) error {
	s := &scanner{data: text}
	hasMetadata := false
	err := s.object(func(key string) error {
		if key == metadataName {
			if hasMetadata {
				return s.fail("%s is given twice", metadataName)
			}
			hasMetadata = true
			if s.word("null") {
				return nil
			}
			return h.parseMetadata(s)
		}
		if _, twice := h.index[key]; twice {
			return &scanError{pos: s.pos, tensor: key, problem: "is listed twice"}
		}
		t, err := parseTensor(s)
		if err != nil {
			var at *scanError
			if errors.As(err, &at) {
				at.tensor = key
			}
			return err
		}
		t.Name = key
		h.index[key] = len(h.tensors)
		h.tensors = append(h.tensors, t)
		return nil
	})
	if err != nil {
		return err
	}
	if s.peek(); s.pos < len(text) {
		return s.fail("the header goes on behind its JSON object with %s", s.found())
	}
	return nil
}

func (h *header) parseMetadata(s *scanner) error {
	h.metadata = map[string]string{}
	return s.object(func(key string) error {
		if _, twice := h.metadata[key]; twice {
			return s.fail("metadata key %q is given twice", format.Name(key))
		}
		if s.peek() != '"' {
			return s.fail("metadata %q is not a string", format.Name(key))
		}
		value, err := s.str()
		h.metadata[key] = value
		return err
	})
}

// parseTensor reads one tensor's object; fields it does not know are passed over.
func parseTensor(s *scanner) (t Info, err error) {
	var offsets []int64
	seen := map[string]bool{}
	err = s.object(func(key string) error {
		switch key {
		case "dtype", "shape", "data_offsets":
			if seen[key] {
				return s.fail("%s is given twice", key)
			}
			seen[key] = true
		}
		switch key {
		case "dtype":
			name, err := s.str()
			if err != nil {
				return err
			}
			if t.DType = dtype.Type(name).Canonical(); t.DType == "" {
				return s.fail("dtype %q is not known", format.Name(name))
			}
			return nil
		case "shape":
			return s.array(func() error {
				n, err := s.size()
				if err == nil && (len(t.Shape) == maxRank || n > math.MaxInt) {
					return s.fail("shape has more than %d dimensions, or an impossible one", maxRank)
				}
				t.Shape = append(t.Shape, int(n))
				return err
			})
		case "data_offsets":
			return s.array(func() error {
				n, err := s.size()
				if err == nil && len(offsets) == 2 {
					return s.fail("data_offsets has more than two numbers")
				}
				offsets = append(offsets, n)
				return err
			})
		}
		return s.skip(1)
	})
	if err != nil {
		return t, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return t, s.fail("%s is missing", key)
		}
	}
	if len(offsets) != 2 {
		return t, s.fail("data_offsets has %d numbers, not two", len(offsets))
	}
	t.Begin, t.End = offsets[0], offsets[1]
	return t, nil
}

// validate sorts the tensors by place and checks that they fill the data section without hole or overlap.
func (h *header) validate(file string, size int64) error {
	sort.SliceStable(h.tensors, func(i, j int) bool {
		a, b := &h.tensors[i], &h.tensors[j]
		return a.Begin < b.Begin || a.Begin == b.Begin && a.End < b.End
	})
	end := int64(0)
	for i := range h.tensors {
		t := &h.tensors[i]
		bad := func(problem string, args ...any) error {
			return &format.Error{File: file, Tensor: t.Name, Offset: -1, Problem: fmt.Sprintf(problem, args...), Fix: fixJSON}
		}
		switch {
		case t.Begin != end:
			return bad("its data begins at %d, but what precedes it ends at %d", t.Begin, end)
		case t.End < t.Begin:
			return bad("its data ends at %d, before it begins at %d", t.End, t.Begin)
		}
		bytes, ok := byteSize(t.DType, t.Shape)
		if !ok {
			return bad("shape %v of %s is an impossible size", brief(t.Shape), t.DType)
		}
		if bytes != t.End-t.Begin {
			return bad("shape %v of %s needs %d bytes, the header gives %d", brief(t.Shape), t.DType, bytes, t.End-t.Begin)
		}
		end = t.End
	}
	if have := size - h.dataStart; end != have {
		return &format.Error{
			File: file, Offset: h.dataStart + min(end, have),
			Problem: fmt.Sprintf("the tensors take %d bytes, the file has %d for them", end, have), Fix: fixCopy,
		}
	}
	return nil
}

// byteSize returns the bytes of a tensor; false when a product overflows or the bits do not fill whole bytes.
func byteSize(t dtype.Type, shape []int) (int64, bool) {
	n := int64(1)
	mul := func(f int64) bool {
		if f < 0 || f > 0 && n > math.MaxInt64/f {
			return false
		}
		n *= f
		return true
	}
	for _, s := range shape {
		if !mul(int64(s)) {
			return 0, false
		}
	}
	bits := int64(t.Bits())
	if bits == 0 || !mul(bits) || n%8 != 0 {
		return 0, false
	}
	return n / 8, true
}

// brief cuts a shape for a message.
func brief(shape []int) []int { return shape[:min(len(shape), 8)] }
