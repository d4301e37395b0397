package split

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Literal returns the splitter whose matches are the places of a text, which must not be empty.
func Literal(text string) *Splitter {
	sought := []byte(text)
	return &Splitter{pattern: text, next: func(text []byte) (int, bool) {
		switch at := bytes.Index(text, sought); {
		case at < 0:
			return len(text), false
		case at > 0:
			return at, false
		}
		return len(sought), true
	}}
}

// chars returns the splitter that matches each character of a set.
func chars(name string, has func(rune) bool) *Splitter {
	return &Splitter{pattern: name, next: func(text []byte) (int, bool) {
		for at := 0; at < len(text); {
			r, n := utf8.DecodeRune(text[at:])
			if has(r) && (r != utf8.RuneError || n > 1) {
				if at > 0 {
					return at, false
				}
				return n, true
			}
			at += n
		}
		return len(text), false
	}}
}

// Digits returns the splitter that matches each number: decimal digits, letters and others that Unicode counts as numbers.
func Digits() *Splitter { return chars("Digits", unicode.IsNumber) }

// Spaces returns the splitter that matches each character of white space.
func Spaces() *Splitter { return chars("WhitespaceSplit", unicode.IsSpace) }

// Punctuation returns the splitter that matches each punctuation mark; ASCII's symbols are some.
func Punctuation() *Splitter {
	return chars("Punctuation", func(r rune) bool {
		return r < utf8.RuneSelf && (r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~') || unicode.IsPunct(r)
	})
}

// Words returns the splitter whose matches are runs of word characters, and runs of what is neither that nor white space.
func Words() *Splitter {
	kind := func(text []byte, at int) (int, int) {
		r, n := utf8.DecodeRune(text[at:])
		switch {
		case IsWord(r):
			return 2, n
		case unicode.IsSpace(r):
			return 0, n
		}
		return 1, n
	}
	return &Splitter{pattern: "Whitespace", next: func(text []byte) (int, bool) {
		first, at := kind(text, 0)
		for at < len(text) {
			k, n := kind(text, at)
			if k != first {
				break
			}
			at += n
		}
		return at, first > 0
	}}
}

// IsWord tells whether \w of Rust's regular expressions matches a character: Unicode's Alphabetic, marks, decimal digits,
// connectors and joiners.
func IsWord(r rune) bool {
	if r < utf8.RuneSelf {
		return ascii[r]&(letter|number) != 0 || r == '_'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic) || r == 0x200c || r == 0x200d
}

// Empty tells whether the pattern matches the empty text.
func (s *Splitter) Empty() bool { return s.empty }

// Replace appends text with content in place of each match to buf, and tells whether there was one.
func (s *Splitter) Replace(buf, text []byte, content string) ([]byte, bool) {
	changed := false
	for len(text) > 0 {
		n, match := s.Next(text)
		if match {
			buf, changed = append(buf, content...), true
		} else {
			buf = append(buf, text[:n]...)
		}
		text = text[n:]
	}
	return buf, changed
}
