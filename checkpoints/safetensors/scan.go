package safetensors

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of values that are skipped; the reference's JSON reader has the same bound.
const maxDepth = 128

// scanner reads JSON strictly, value by value. Package encoding/json is not used because it takes the last of two equal
// keys, replaces lone surrogates silently, and turns what it reads into values before anyone has looked at them.
// data is valid UTF-8.
type scanner struct {
	data []byte
	pos  int
}

// scanError is a fault at byte pos of the header.
type scanError struct {
	pos     int
	tensor  string
	problem string
}

func (e *scanError) Error() string { return e.problem }

func (s *scanner) fail(format string, args ...any) error {
	return &scanError{pos: s.pos, problem: fmt.Sprintf(format, args...)}
}

// peek skips white space and returns the next byte without taking it; 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take takes the byte c, after white space.
func (s *scanner) take(c byte) error {
	if got := s.peek(); got != c || s.pos >= len(s.data) {
		return s.fail("the header is not valid JSON: expected %q, found %s", c, s.found())
	}
	s.pos++
	return nil
}

func (s *scanner) found() string {
	if s.pos >= len(s.data) {
		return "its end"
	}
	r, _ := utf8.DecodeRune(s.data[s.pos:])
	return fmt.Sprintf("%q", r)
}

// object calls member for each key, with the scanner before its value.
func (s *scanner) object(member func(key string) error) error {
	if err := s.take('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if s.peek() != ',' {
			return s.take('}')
		}
		s.pos++
	}
}

// array calls element with the scanner before each element.
func (s *scanner) array(element func() error) error {
	if err := s.take('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if s.peek() != ',' {
			return s.take(']')
		}
		s.pos++
	}
}

// size reads a whole number from 0 to 2^63−1, written without sign, point or exponent.
func (s *scanner) size() (int64, error) {
	s.peek()
	start := s.pos
	var n int64
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		d := int64(s.data[s.pos] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, s.fail("a number is too large")
		}
		n = 10*n + d
		s.pos++
	}
	length := s.pos - start
	switch {
	case length == 0:
		return 0, s.fail("expected a whole number of at least 0, found %s", s.found())
	case length > 1 && s.data[start] == '0':
		return 0, s.fail("a number begins with 0")
	case s.pos < len(s.data) && strings.IndexByte(".eE", s.data[s.pos]) >= 0:
		return 0, s.fail("expected a whole number, found a fraction")
	}
	return n, nil
}

// str reads a string.
func (s *scanner) str() (string, error) {
	if err := s.take('"'); err != nil {
		return "", err
	}
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] != '"' && s.data[s.pos] != '\\' && s.data[s.pos] >= ' ' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '"' { // no escapes: the common case
		s.pos++
		return string(s.data[start : s.pos-1]), nil
	}
	out := append([]byte(nil), s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			s.pos++
			return string(out), nil
		case c < ' ':
			return "", s.fail("a string holds a raw control character %#02x", c)
		case c != '\\':
			out = append(out, c)
			s.pos++
		default:
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", s.fail("a string has no end")
}

// escape reads one escape sequence, a surrogate pair included.
func (s *scanner) escape() (rune, error) {
	if s.pos+1 >= len(s.data) {
		return 0, s.fail("a string has no end")
	}
	c := s.data[s.pos+1]
	if at := strings.IndexByte(`"\/bfnrt`, c); at >= 0 {
		s.pos += 2
		return rune("\"\\/\b\f\n\r\t"[at]), nil
	}
	r, ok := s.unicode()
	if !ok {
		return 0, s.fail("an escape sequence is not one of JSON's")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	low, ok := s.unicode()
	if both := utf16.DecodeRune(r, low); ok && both != utf8.RuneError {
		return both, nil
	}
	return 0, s.fail("an escape sequence is half of a surrogate pair")
}

// unicode reads \uXXXX.
func (s *scanner) unicode() (r rune, ok bool) {
	const length = len(`\uXXXX`)
	if s.pos+length > len(s.data) || s.data[s.pos] != '\\' || s.data[s.pos+1] != 'u' {
		return 0, false
	}
	for _, c := range s.data[s.pos+2 : s.pos+length] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	s.pos += length
	return r, true
}

// skip passes over any value.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fail("the header is nested more than %d deep", maxDepth)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(string) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || isDigit(c):
		return s.number()
	}
	if s.word("true") || s.word("false") || s.word("null") {
		return nil
	}
	return s.fail("the header is not valid JSON: expected a value, found %s", s.found())
}

// word takes a literal, after white space, if it is next.
func (s *scanner) word(w string) bool {
	s.peek()
	if !strings.HasPrefix(string(s.data[s.pos:min(s.pos+len(w), len(s.data))]), w) {
		return false
	}
	s.pos += len(w)
	return true
}

// number passes over a number of JSON's grammar.
func (s *scanner) number() error {
	if s.data[s.pos] == '-' {
		s.pos++
	}
	start := s.pos
	if !s.digits() || s.pos-start > 1 && s.data[start] == '0' {
		return s.fail("the header is not valid JSON: malformed number")
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("the header is not valid JSON: malformed number")
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return s.fail("the header is not valid JSON: malformed number")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		s.pos++
	}
	return s.pos > start
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
