package tokenizer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// charsmap is SentencePiece's compiled table of character sequences and what replaces them: a double-array trie whose
// values are places in a block of zero-ended texts. Sources: normalizer.cc of SentencePiece for the outer form, darts.h of
// darts-clone for the units of the trie.
type charsmap struct {
	units []uint32
	texts []byte
}

// readCharsmap reads the table. Look-ups check every index, so that a damaged one can be wrong but not out of bounds.
func readCharsmap(blob []byte) (*charsmap, error) {
	if len(blob) < 4 {
		return nil, errors.New("precompiled_charsmap is shorter than its header")
	}
	size := binary.LittleEndian.Uint32(blob)
	if size == 0 || size%4 != 0 || uint64(size) > uint64(len(blob)-4) {
		return nil, errors.New("precompiled_charsmap is cut short")
	}
	c := &charsmap{units: make([]uint32, size/4), texts: blob[4+size:]}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(blob[4+4*i:])
	}
	return c, nil
}

// longest returns the replacement of the longest sequence that text begins with, and its length; 0 = none. With shortest
// it is the shortest one.
func (c *charsmap) lookup(text []byte, shortest bool) (replacement []byte, n int) {
	node := c.child(0)
	for i, b := range text {
		node ^= uint32(b)
		if uint64(node) >= uint64(len(c.units)) {
			break
		}
		unit := c.units[node]
		if unit&(1<<31|0xff) != uint32(b) {
			break
		}
		leaf := unit>>8&1 == 1
		node ^= unit >> 10 << (unit & (1 << 9) >> 6)
		if !leaf || uint64(node) >= uint64(len(c.units)) {
			continue
		}
		at := c.units[node] &^ (1 << 31)
		if uint64(at) >= uint64(len(c.texts)) {
			continue
		}
		replacement, n = c.texts[at:], i+1
		if end := bytes.IndexByte(replacement, 0); end >= 0 {
			replacement = replacement[:end]
		}
		if shortest {
			break
		}
	}
	return replacement, n
}

func (c *charsmap) child(node uint32) uint32 {
	unit := c.units[node]
	return node ^ unit>>10<<(unit&(1<<9)>>6)
}

// replacementChar stands for a byte that is not part of valid UTF-8.
const replacementChar = "\ufffd"

// validUTF8 returns text, or a copy in buf in which each byte that is not part of valid UTF-8 is replaced by U+FFFD.
func validUTF8(buf, text []byte) (valid, buffer []byte) {
	if utf8.Valid(text) {
		return text, buf
	}
	buf = buf[:0]
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			buf = append(buf, replacementChar...)
		} else {
			buf = append(buf, text[at:at+n]...)
		}
		at += n
	}
	return buf, buf
}
