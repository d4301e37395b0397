package llama2c

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"mmfree/ternary/spec"
)

// layout is one way in which a .bin file holds a model.
type layout struct {
	name   string
	header int64    // bytes before the tensors
	order  []string // llama2.c's names; those with a star, once for each layer, all of one before the next
	bit    bool     // matrices are ternary
	group  int      // matrices are int8 with a factor for so many values; 0: float32
}

var (
	norms    = []string{"*attention_norm", "*ffn_norm", "norm"}
	matrices = []string{"*attention.wq", "*attention.wk", "*attention.wv", "*attention.wo", "*feed_forward.w1", "*feed_forward.w2", "*feed_forward.w3"}
	// order0 is version 0's, which has the norms among the matrices and tables behind them.
	order0 = []string{
		"tok_embeddings", "*attention_norm", "*attention.wq", "*attention.wk", "*attention.wv", "*attention.wo", "*ffn_norm",
		"*feed_forward.w1", "*feed_forward.w2", "*feed_forward.w3", "norm", ropeTable, ropeTable, "output",
	}
	order1   = concat(norms, []string{"tok_embeddings"}, matrices, []string{"output"})
	orderBit = concat([]string{"norm", "tok_embeddings"}, matrices)
)

func concat(parts ...[]string) (all []string) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

const (
	magic       = 0x616b3432 // "ak42"
	shortHeader = 7 * 4
	longHeader  = 256
	// ropeTable is the cosines or the sines of version 0, [max_seq_len, head width / 2].
	ropeTable = "(rotary table)"
	floatSize = 4
	bitCodes  = 4 // to a byte
)

// faultAt is a fault of a header.
type faultAt struct {
	offset  int64
	problem string
}

func (f *faultAt) Error() string { return f.problem }

// readHeader finds out what a file of that size holds, from its first bytes. matched is false where the first bytes could be
// anything: the file is then no model of llama2.c. Otherwise err is what is wrong with it.
func readHeader(head []byte, size int64) (s shape, l layout, matched bool, err error) {
	if len(head) < shortHeader {
		return s, l, false, &faultAt{int64(len(head)), "is too short for a header"}
	}
	if binary.LittleEndian.Uint32(head) != magic {
		s = readShape(head)
		negative := s.Vocab < 0
		if s.Tied = !negative; negative {
			s.Vocab = -s.Vocab
		}
		l = layout{name: "llama2.c, version 0", header: shortHeader, order: order0}
		if want, ok := l.size(&s); ok && want == size {
			return s, l, true, nil
		}
		return s, l, false, &faultAt{0, "has neither the magic of llama2.c nor a header of version 0 that fits its size"}
	}
	if len(head) < longHeader {
		return s, l, true, &faultAt{int64(len(head)), "ends within its header"}
	}
	version := int32(binary.LittleEndian.Uint32(head[4:]))
	s = readShape(head[8:])
	const behindShape = 8 + shortHeader
	s.Tied = head[behindShape] != 0
	rest := head[behindShape+1 : longHeader]
	var candidates []layout
	switch version {
	case 1:
		candidates = []layout{
			{name: "llama2.c, version 1", header: longHeader, order: order1},
			{name: "bitllama2.c, version 1", header: longHeader, order: orderBit, bit: true},
		}
	case 2:
		group := int(int32(binary.LittleEndian.Uint32(rest)))
		rest = rest[4:]
		if group < 1 || group > 1<<20 {
			return s, l, true, &faultAt{behindShape + 1, fmt.Sprintf("has groups of %d values", group)}
		}
		candidates = []layout{{name: "llama2.c, version 2", header: longHeader, order: order1, group: group}}
	default:
		return s, l, true, &faultAt{4, fmt.Sprintf("is of version %d; versions 0, 1 and 2 are read", version)}
	}
	if len(bytes.Trim(rest, "\x00")) > 0 || head[behindShape] > 1 {
		return s, l, true, &faultAt{behindShape, "has a header that is not filled up with zeros"}
	}
	wants := ""
	for _, l := range candidates {
		want, ok := l.size(&s)
		if ok && want == size {
			if l.bit {
				s.ModelType = BitModelType
			}
			return s, l, true, nil
		}
		if ok {
			wants += fmt.Sprintf(", %d as %s", want, l.name)
		}
	}
	if wants == "" {
		return s, l, true, &faultAt{8, "has a header with impossible sizes"}
	}
	return s, l, true, &faultAt{min(size, longHeader), fmt.Sprintf("has %d bytes, its header asks for others: %s", size, wants[2:])}
}

func readShape(b []byte) shape {
	s := plain()
	for _, to := range []*int{&s.Dim, &s.Hidden, &s.Layers, &s.Heads, &s.KVHeads, &s.Vocab, &s.Positions} {
		*to = int(int32(binary.LittleEndian.Uint32(b)))
		b = b[4:]
	}
	return s
}

// size returns the bytes of a whole file; false for a shape that is impossible.
func (l *layout) size(s *shape) (int64, bool) {
	c, err := s.config()
	if err != nil || l.bit && !s.Tied {
		return 0, false
	}
	_, end, ok := l.places(s, &c)
	return end, ok
}

// places returns where each tensor begins, by llama2.c's name, and where the last ends.
func (l *layout) places(s *shape, c *spec.Config) (at map[string]int64, end int64, ok bool) {
	elements := map[string]int64{}
	for _, t := range spec.Tensors(*c) {
		elements[foreign(t.Name)] = int64(t.Elements())
	}
	_, _, width := c.Attention()
	elements[ropeTable] = int64(s.Positions) * int64(width/2)
	at, end = map[string]int64{}, l.header
	add := func(name string) bool {
		n, is := elements[name]
		if !is {
			return name == "output" // of a tied model
		}
		at[name] = end
		bytes, fits := l.bytes(name, n)
		end += bytes
		return fits && end > 0 && end < math.MaxInt64/2
	}
	for _, name := range l.order {
		if name[0] != '*' {
			if !add(name) {
				return nil, 0, false
			}
			continue
		}
		for n := range s.Layers {
			if !add(fmt.Sprintf("layers.%d.%s", n, name[1:])) {
				return nil, 0, false
			}
		}
	}
	return at, end, true
}

// bytes returns what n values of a tensor take; false where groups or bytes are not filled.
func (l *layout) bytes(name string, n int64) (int64, bool) {
	switch {
	case isNorm(name), !l.bit && l.group == 0, l.bit && name == "tok_embeddings":
		return floatSize * n, true
	case l.bit:
		return floatSize + n/bitCodes, n%bitCodes == 0
	}
	return n + n/int64(l.group)*floatSize, n%int64(l.group) == 0
}

func isNorm(name string) bool { return bytes.HasSuffix([]byte(name), []byte("norm")) }
