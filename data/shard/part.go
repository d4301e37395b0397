package shard

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
)

// A shard file, little-endian:
//
//	byte 0   8 bytes  "MMFSHARD"
//	     8   uint32   version, 1
//	    12   uint32   width of an id in bytes, 2 or 4
//	    16   uint64   number of ids, n
//	    24   uint64   number of document starts, m
//	    32   32 bytes zero
//	    64   n ids of width bytes, then zeros up to a multiple of 8
//	     …   m uint32, ascending: the ids (counted from 0) at which a document starts
//
// and nothing behind it. A document may go on from the shard before: then no start is at 0.
const (
	magic      = "MMFSHARD"
	version    = 1
	headerSize = 64
	// MaxTokens is the most ids of a part: starts have 32 bits.
	MaxTokens = math.MaxUint32
)

// Part is the ids of one shard. Its memory may be a mapped file: read only.
type Part struct {
	width       int
	ids, starts []byte
}

// Width returns the bytes of an id that a vocabulary of V needs.
func Width(V int) int {
	if V <= 1<<16 {
		return 2
	}
	return 4
}

// ParsePart reads a whole shard file, in place. path is for errors.
func ParsePart(path string, file []byte) (*Part, error) {
	bad := func(offset int64, format string, args ...any) (*Part, error) {
		return nil, &FormatError{Path: path, Offset: offset, Problem: fmt.Sprintf(format, args...)}
	}
	if len(file) < headerSize {
		return bad(int64(len(file)), "the file ends inside the header of %d bytes", headerSize)
	}
	if string(file[:8]) != magic {
		return bad(0, "no shard: it starts with %q", file[:8])
	}
	if v := binary.LittleEndian.Uint32(file[8:]); v != version {
		return bad(8, "version %d is not known", v)
	}
	width := binary.LittleEndian.Uint32(file[12:])
	if width != 2 && width != 4 {
		return bad(12, "ids of %d bytes", width)
	}
	n, m := binary.LittleEndian.Uint64(file[16:]), binary.LittleEndian.Uint64(file[24:])
	if n > MaxTokens || m > n {
		return bad(16, "%d ids and %d document starts", n, m)
	}
	for i, c := range file[32:headerSize] {
		if c != 0 {
			return bad(int64(32+i), "the header's end is not zero")
		}
	}
	idBytes := n * uint64(width) // at most 2^34
	padded := (idBytes + 7) &^ 7
	if want := headerSize + padded + 4*m; uint64(len(file)) != want {
		return bad(int64(min(want, uint64(len(file)))), "%d bytes, and %d ids with %d starts make %d", len(file), n, m, want)
	}
	for i, c := range file[headerSize+idBytes : headerSize+padded] {
		if c != 0 {
			return bad(int64(headerSize+idBytes)+int64(i), "the padding is not zero")
		}
	}
	p := &Part{width: int(width), ids: file[headerSize : headerSize+idBytes], starts: file[headerSize+padded:]}
	before := int64(-1)
	for i := range p.Documents() {
		at := int64(p.start(i))
		if at <= before || uint64(at) >= n {
			return bad(int64(headerSize+padded)+4*int64(i), "document start %d behind %d of %d ids", at, before, n)
		}
		before = at
	}
	return p, nil
}

// Len returns the number of ids.
func (p *Part) Len() int { return len(p.ids) / p.width }

// Documents returns the number of documents that start here.
func (p *Part) Documents() int { return len(p.starts) / 4 }

func (p *Part) start(i int) uint32 { return binary.LittleEndian.Uint32(p.starts[4*i:]) }

// read fills dst with the ids from at on.
func (p *Part) read(dst []int32, at int) {
	if p.width == 2 {
		src := p.ids[2*at:][:2*len(dst)]
		for i := range dst {
			dst[i] = int32(binary.LittleEndian.Uint16(src[2*i:]))
		}
		return
	}
	src := p.ids[4*at:][:4*len(dst)]
	for i := range dst {
		dst[i] = int32(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// mark sets dst[i] where a document starts at id at+i.
func (p *Part) mark(dst []bool, at int) {
	first := sort.Search(p.Documents(), func(i int) bool { return int(p.start(i)) >= at })
	for i := first; i < p.Documents() && int(p.start(i)) < at+len(dst); i++ {
		dst[int(p.start(i))-at] = true
	}
}

// encode writes the part as a file.
func (p *Part) encode(w io.Writer) error {
	header := make([]byte, headerSize)
	copy(header, magic)
	binary.LittleEndian.PutUint32(header[8:], version)
	binary.LittleEndian.PutUint32(header[12:], uint32(p.width))
	binary.LittleEndian.PutUint64(header[16:], uint64(p.Len()))
	binary.LittleEndian.PutUint64(header[24:], uint64(p.Documents()))
	for _, b := range [][]byte{header, p.ids, make([]byte, -len(p.ids)&7), p.starts} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// Builder gathers a part.
type Builder struct{ part Part }

// NewBuilder makes a builder of ids of the given width, 2 or 4.
func NewBuilder(width int) *Builder { return &Builder{Part{width: width}} }

// Len returns the number of ids so far.
func (b *Builder) Len() int { return b.part.Len() }

// Append adds ids, each of which the width holds; starts says that a document starts with them. An id that the width
// does not hold, or more ids than MaxTokens, is an error, and then nothing is added.
func (b *Builder) Append(ids []int32, starts bool) error {
	p := &b.part
	limit := int32(math.MaxInt32)
	if p.width == 2 {
		limit = math.MaxUint16
	}
	for i, id := range ids {
		if id < 0 || id > limit {
			return fmt.Errorf("id %d at %d does not fit %d bytes", id, i, p.width)
		}
	}
	at := b.Len()
	if len(ids) > MaxTokens-at {
		return fmt.Errorf("%d ids behind %d are too many for a shard", len(ids), at)
	}
	if len(ids) == 0 {
		return nil
	}
	if starts {
		p.starts = binary.LittleEndian.AppendUint32(p.starts, uint32(at))
	}
	if p.width == 2 {
		for _, id := range ids {
			p.ids = binary.LittleEndian.AppendUint16(p.ids, uint16(id))
		}
		return nil
	}
	for _, id := range ids {
		p.ids = binary.LittleEndian.AppendUint32(p.ids, uint32(id))
	}
	return nil
}

// Take returns the part and starts a new one.
func (b *Builder) Take() *Part {
	p := b.part
	b.part = Part{width: p.width}
	return &p
}
