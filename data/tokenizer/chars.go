package tokenizer

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

const charsName = "chars"

// Chars has one id for each Unicode code point of a corpus. NewChars gives ids in code point order.
type Chars struct {
	chars []rune         // by id
	ascii [128]int32     // id of an ASCII character, or -1: nearly every look-up in most languages' text
	rest  map[rune]int32 // id of any other
}

// NewChars makes the tokenizer of the distinct characters of text, which must be valid UTF-8 and not empty.
func NewChars(text []byte) (*Chars, error) {
	seen := make([]bool, utf8.MaxRune+1)
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			return nil, invalidUTF8(text, at)
		}
		seen[r] = true
		at += n
	}
	var chars []rune
	for r, is := range seen {
		if is {
			chars = append(chars, rune(r))
		}
	}
	if len(chars) == 0 {
		return nil, &Error{
			Source: charsName, Offset: -1, Problem: "no text to take characters from",
			Fix: "give a corpus that is not empty, or use the tokenizer bytes",
		}
	}
	return newChars(chars), nil
}

// newChars gives chars[i], which are distinct, the id i.
func newChars(chars []rune) *Chars {
	c := &Chars{chars: chars, rest: map[rune]int32{}}
	for i := range c.ascii {
		c.ascii[i] = -1
	}
	for id, r := range chars {
		if r < utf8.RuneSelf {
			c.ascii[r] = int32(id)
		} else {
			c.rest[r] = int32(id)
		}
	}
	return c
}

// Name returns "chars".
func (c *Chars) Name() string { return charsName }

// VocabSize returns the number of distinct characters.
func (c *Chars) VocabSize() int { return len(c.chars) }

// Encode appends one id a character of text to dst. Invalid UTF-8 and characters that the corpus did not have are
// errors that name the byte.
func (c *Chars) Encode(dst []int32, text []byte) ([]int32, error) {
	dst = slices.Grow(dst, len(text)) // at least one byte a character
	for at := 0; at < len(text); {
		r, n := rune(text[at]), 1
		if r >= utf8.RuneSelf {
			if r, n = utf8.DecodeRune(text[at:]); r == utf8.RuneError && n == 1 {
				return dst, invalidUTF8(text, at)
			}
		}
		id := c.id(r)
		if id < 0 {
			return dst, &Error{
				Source: charsName, Offset: int64(at), Problem: fmt.Sprintf("the character %q is not in the vocabulary", r),
				Fix: "use only characters of the training text, or train with the tokenizer bytes, which takes any text",
			}
		}
		dst = append(dst, id)
		at += n
	}
	return dst, nil
}

// EncodeSpecial is Encode: no id has another meaning.
func (c *Chars) EncodeSpecial(dst []int32, text []byte) ([]int32, error) { return c.Encode(dst, text) }

// Specials returns none.
func (c *Chars) Specials() Specials { return noSpecials() }

// id returns the id of r, or -1.
func (c *Chars) id(r rune) int32 {
	if r < utf8.RuneSelf {
		return c.ascii[r]
	}
	if id, ok := c.rest[r]; ok {
		return id
	}
	return -1
}

// Decode appends the characters that ids name to dst, in UTF-8.
func (c *Chars) Decode(dst []byte, ids []int32) ([]byte, error) {
	dst = slices.Grow(dst, len(ids))
	for i, id := range ids {
		if id < 0 || int(id) >= len(c.chars) {
			return dst, outOfRange(charsName, ids, i, len(c.chars))
		}
		dst = utf8.AppendRune(dst, c.chars[id])
	}
	return dst, nil
}

// JSON returns the word-level model that splits at every character and gives the same ids.
func (c *Chars) JSON() ([]byte, error) { return charsJSON(c.chars) }

func invalidUTF8(text []byte, at int) error {
	return &Error{
		Source: charsName, Offset: int64(at), Problem: fmt.Sprintf("byte 0x%02x is not valid UTF-8 here", text[at]),
		Fix: "convert the text to UTF-8, or use the tokenizer bytes, which takes any text",
	}
}
