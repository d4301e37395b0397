package split

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class says what a character is.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s: Unicode's White_Space
	newline                   // \r and \n, which are spaces, too
)

// ascii is the class of each byte below 0x80, and 0 above: there the character has to be decoded.
var ascii = [256]class{
	'\t': space, '\n': space | newline, '\v': space, '\f': space, '\r': space | newline, ' ': space,
	'0': number, '1': number, '2': number, '3': number, '4': number, '5': number, '6': number, '7': number, '8': number, '9': number,
	'A': letter, 'B': letter, 'C': letter, 'D': letter, 'E': letter, 'F': letter, 'G': letter, 'H': letter, 'I': letter,
	'J': letter, 'K': letter, 'L': letter, 'M': letter, 'N': letter, 'O': letter, 'P': letter, 'Q': letter, 'R': letter,
	'S': letter, 'T': letter, 'U': letter, 'V': letter, 'W': letter, 'X': letter, 'Y': letter, 'Z': letter,
	'a': letter, 'b': letter, 'c': letter, 'd': letter, 'e': letter, 'f': letter, 'g': letter, 'h': letter, 'i': letter,
	'j': letter, 'k': letter, 'l': letter, 'm': letter, 'n': letter, 'o': letter, 'p': letter, 'q': letter, 'r': letter,
	's': letter, 't': letter, 'u': letter, 'v': letter, 'w': letter, 'x': letter, 'y': letter, 'z': letter,
}

// classes gives the class of every code point by blocks of 256, equal blocks once. Asking unicode's tables for each
// character costs about ten times as much.
type classes struct {
	block [(unicode.MaxRune + 1) / 256]uint8
	bits  [][256]class
}

var allClasses = sync.OnceValue(func() *classes {
	var c classes
	known := map[[256]class]uint8{}
	flat := make([]class, unicode.MaxRune+1)
	for bit, table := range map[class]*unicode.RangeTable{letter: unicode.L, number: unicode.N, space: unicode.White_Space} {
		for _, r := range table.R16 {
			for x := rune(r.Lo); x <= rune(r.Hi); x += rune(r.Stride) {
				flat[x] |= bit
			}
		}
		for _, r := range table.R32 {
			for x := rune(r.Lo); x <= rune(r.Hi); x += rune(r.Stride) {
				flat[x] |= bit
			}
		}
	}
	flat['\r'] |= newline
	flat['\n'] |= newline
	for i := range c.block {
		bits := [256]class(flat[i*256:])
		at, ok := known[bits]
		if !ok {
			at = uint8(len(c.bits)) // a test counts them
			known[bits] = at
			c.bits = append(c.bits, bits)
		}
		c.block[i] = at
	}
	return &c
})

func (c *classes) of(r rune) class { return c.bits[c.block[r>>8]][r&0xff] }

// classAt returns the class and length of the character at text[at]; 0 and 0 at the end.
func classAt(text []byte, at int) (class, int) {
	if at >= len(text) {
		return 0, 0
	}
	if b := text[at]; b < utf8.RuneSelf {
		return ascii[b], 1
	}
	r, n := utf8.DecodeRune(text[at:])
	if r == utf8.RuneError && n == 1 {
		return 0, 1
	}
	return allClasses().of(r), n
}

// run returns the end of the characters from at on that have one of the classes of want.
func run(text []byte, at int, want class) int {
	for {
		for at < len(text) && ascii[text[at]]&want != 0 {
			at++
		}
		if at >= len(text) || text[at] < utf8.RuneSelf {
			return at
		}
		c, n := classAt(text, at)
		if c&want == 0 {
			return at
		}
		at += n
	}
}

// runOther returns the end of the characters from at on that are no letter, number or space.
func runOther(text []byte, at int) int {
	for {
		c, n := classAt(text, at)
		if n == 0 || c != 0 {
			return at
		}
		at += n
	}
}
