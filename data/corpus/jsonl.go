package corpus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// lineRecords reads a JSONL file: each line that is not blank is an object with the text in one of its fields.
type lineRecords struct {
	r    *Reader
	in   *bufio.Reader
	path *input
	buf  []byte
	line int64
	any  bool // a byte was read
}

func newLines(r *Reader, in *input) (*lineRecords, error) {
	marked, err := takeMark(r, in) // kept or not, it is no part of a line
	return &lineRecords{r: r, in: in.Reader.(*bufio.Reader), path: in, any: marked}, err
}

func (l *lineRecords) next() (record, error) {
	for {
		line, long, err := l.read()
		if err != nil {
			if errors.Is(err, io.EOF) && l.line == 0 && !l.any {
				if _, err := l.r.met(CaseEmpty, 1, &Error{Problem: "the file is empty", Fix: "leave it out, or name a file with text"}); err != nil {
					return record{}, err
				}
			}
			return record{}, err
		}
		if long {
			if _, err := l.r.met(CaseGiantLine, 1, &Error{Line: l.line, Problem: fmt.Sprintf("the line is longer than %d bytes", l.r.options.MaxLine), Fix: "raise data.max_line_bytes, or set data.giant_line to skip"}); err != nil {
				return record{}, err
			}
			continue
		}
		if len(bytes.Trim(line, " \t\r")) == 0 {
			if l.r.pass == 0 {
				l.r.report.Blank++
			}
			continue
		}
		text, surrogates, err := textOf(line, l.r.options.Field)
		if err != nil {
			if _, err := l.r.met(CaseBadLine, 1, &Error{Line: l.line, Problem: err.Error()}); err != nil {
				return record{}, err
			}
			continue
		}
		if surrogates > 0 { // already U+FFFD: nothing else can stand for half a character
			skip, err := l.r.met(CaseInvalidUTF8, surrogates, &Error{Line: l.line, Problem: "an escape that is half a surrogate pair"})
			if err != nil {
				return record{}, err
			}
			if skip {
				continue
			}
		}
		return record{text: text, at: l.line, first: true, last: true}, nil
	}
}

// read returns the next line without its end; of one that is too long only that.
func (l *lineRecords) read() (line []byte, long bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		if !long {
			if len(l.buf)+len(part) > l.r.options.MaxLine+1 { // the line end is not counted
				long, l.buf = true, l.buf[:0]
			} else {
				l.buf = append(l.buf, part...)
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(l.buf) == 0 && !long {
				return nil, false, io.EOF
			}
		case err != nil:
			return nil, false, l.path.fail(err)
		}
		l.line++
		return bytes.TrimSuffix(l.buf, []byte("\n")), long, nil
	}
}

// textOf returns the text in a field of the object that a line is, and how many escapes of it were half a surrogate pair.
// Of a field given twice the last counts, as for Go's and Python's readers.
func textOf(line []byte, field string) (text []byte, surrogates int, err error) {
	if !utf8.Valid(line) {
		_, first := countInvalid(line)
		return nil, 0, fmt.Errorf("byte %d: 0x%02x is not UTF-8", first, line[first])
	}
	if !json.Valid(line) {
		var v json.RawMessage
		return nil, 0, fmt.Errorf("not JSON: %w", json.Unmarshal(line, &v))
	}
	s := scanner{text: line}
	raw, found, err := s.field(field)
	switch {
	case err != nil:
		return nil, 0, err
	case !found:
		return nil, 0, fmt.Errorf("there is no field %q", field)
	case raw[0] != '"':
		return nil, 0, fmt.Errorf("field %q is %s, not a string", field, kindOf(raw[0]))
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, 0, nil
	}
	var decoded string
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil, 0, fmt.Errorf("field %q: %w", field, err)
	}
	return []byte(decoded), halfPairs(inner), nil
}

func kindOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 'n':
		return "null"
	case 't', 'f':
		return "a truth value"
	}
	return "a number"
}

// scanner steps through a text that is known to be JSON.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t' || s.text[s.at] == '\r' || s.text[s.at] == '\n') {
		s.at++
	}
}

// field returns the raw value of the object's field of that name, the last of several.
func (s *scanner) field(name string) (raw []byte, found bool, err error) {
	s.space()
	if s.text[s.at] != '{' {
		return nil, false, errors.New("not an object")
	}
	s.at++
	for s.space(); s.text[s.at] != '}'; s.space() {
		if s.text[s.at] == ',' {
			s.at++
			s.space()
		}
		key := s.value()
		s.space()
		s.at++ // the colon
		s.space()
		value := s.value()
		if isKey(key, name) {
			raw, found = value, true
		}
	}
	return raw, found, nil
}

func isKey(raw []byte, name string) bool {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == name
	}
	var key string
	return json.Unmarshal(raw, &key) == nil && key == name
}

// value steps over a value and returns it.
func (s *scanner) value() []byte {
	from := s.at
	switch s.text[s.at] {
	case '"':
		s.string()
	case '{', '[':
		for depth := 0; ; {
			switch s.text[s.at] {
			case '"':
				s.string()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			s.at++
			if depth == 0 {
				break
			}
		}
	default:
		for s.at < len(s.text) && bytes.IndexByte([]byte(",}] \t\r\n"), s.text[s.at]) < 0 {
			s.at++
		}
	}
	return s.text[from:s.at]
}

func (s *scanner) string() {
	for s.at++; ; s.at++ {
		i := bytes.IndexAny(s.text[s.at:], `"\`)
		s.at += i
		if s.text[s.at] == '"' {
			s.at++
			return
		}
		s.at++ // what is escaped
	}
}

// halfPairs counts the \u escapes of a JSON string that are surrogates without their other half.
func halfPairs(s []byte) (n int) {
	unit := func(at int) int {
		if at+6 > len(s) || s[at] != '\\' || s[at+1] != 'u' {
			return -1
		}
		v := 0
		for _, c := range s[at+2 : at+6] {
			switch {
			case c <= '9':
				c -= '0'
			default:
				c = c&^0x20 - 'A' + 10
			}
			v = v<<4 | int(c)
		}
		return v
	}
	for at := 0; at < len(s); {
		if s[at] != '\\' {
			at++
			continue
		}
		u := unit(at)
		switch {
		case u < 0:
			at += 2
		case u >= 0xD800 && u < 0xDC00 && unit(at+6) >= 0xDC00 && unit(at+6) < 0xE000:
			at += 12
		default:
			if u >= 0xD800 && u < 0xE000 {
				n++
			}
			at += 6
		}
	}
	return n
}
