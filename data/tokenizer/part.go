package tokenizer

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// part reads one part of a tokenizer.json: an object with a type. What it is asked for and the object lacks, or has as
// another kind of value, is an error that names the part and the key; so is every key that it was not asked for, for a key
// that is passed over could change ids. The first error stays.
type part struct {
	path  string
	in    map[string]any
	asked map[string]bool
	err   error
}

// newPart takes a value that must be an object with a type.
func newPart(path string, v any) *part {
	p := &part{path: path, asked: map[string]bool{"type": true}}
	var ok bool
	if p.in, ok = v.(map[string]any); !ok {
		p.fail("unsupported %s: %v is no object", path, v)
	} else if _, ok := p.in["type"].(string); !ok {
		p.fail("unsupported %s: type is %v", path, p.in["type"])
	}
	return p
}

func (p *part) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *part) kind() string {
	kind, _ := p.in["type"].(string)
	return kind
}

// unsupported is the error for a type that is not known.
func (p *part) unsupported() error {
	if p.err != nil {
		return p.err
	}
	return fmt.Errorf("unsupported %s %s", p.path, p.kind())
}

// done returns the first error, or one for a key that nothing asked for.
func (p *part) done() error {
	if p.err != nil {
		return p.err
	}
	for _, key := range slices.Sorted(maps.Keys(p.in)) {
		if !p.asked[key] {
			return fmt.Errorf("unsupported %s: %s has the unknown key %q", p.path, p.kind(), key)
		}
	}
	return nil
}

func (p *part) value(key string) (any, bool) {
	p.asked[key] = true
	v, ok := p.in[key]
	return v, ok && v != nil
}

func wrongKind[T any](p *part, key string, v any) (zero T) {
	p.fail("%s: %s of %s is %v", p.path, key, p.kind(), v)
	return zero
}

// flag returns a truth value, and absent where there is none.
func (p *part) flag(key string, absent bool) bool {
	v, ok := p.value(key)
	if !ok {
		return absent
	}
	b, ok := v.(bool)
	if !ok {
		return wrongKind[bool](p, key, v)
	}
	return b
}

// text returns a text that must be there.
func (p *part) text(key string) string {
	v, _ := p.value(key)
	s, ok := v.(string)
	if !ok {
		return wrongKind[string](p, key, v)
	}
	return s
}

// textOr returns a text, and absent where there is none.
func (p *part) textOr(key, absent string) string {
	if _, ok := p.value(key); !ok {
		return absent
	}
	return p.text(key)
}

// char returns a text of one character.
func (p *part) char(key string) string {
	s := p.text(key)
	if utf8.RuneCountInString(s) != 1 {
		return wrongKind[string](p, key, fmt.Sprintf("%q, not one character", s))
	}
	return s
}

// count returns a whole number from 0 to limit that must be there.
func (p *part) count(key string, limit int) int {
	v, _ := p.value(key)
	n, ok := v.(float64)
	if !ok || n != math.Trunc(n) || n < 0 || n > float64(limit) {
		return wrongKind[int](p, key, v)
	}
	return int(n)
}

// list returns a list that must be there.
func (p *part) list(key string) []any {
	v, _ := p.value(key)
	l, ok := v.([]any)
	if !ok {
		return wrongKind[[]any](p, key, v)
	}
	return l
}

// unset demands that a key is absent, null, or one of some values that do nothing.
func (p *part) unset(key string, harmless ...any) {
	if v, ok := p.value(key); ok && !slices.Contains(harmless, v) {
		p.fail("unsupported %s: %s is %v", p.path, key, v)
	}
}

// pattern returns the pattern of a Replace or Split: a text, or a regular expression.
func (p *part) pattern() (text string, regex bool) {
	v, _ := p.value("pattern")
	object, _ := v.(map[string]any)
	s, isText := object["String"].(string)
	e, isRegex := object["Regex"].(string)
	switch {
	case len(object) != 1 || !isText && !isRegex:
		p.fail("unsupported %s: pattern of %s is %v", p.path, p.kind(), v)
	case isText && s == "":
		p.fail("unsupported %s: pattern of %s is empty", p.path, p.kind())
	}
	return s + e, isRegex
}

// maxParts bounds how many steps a part may have, Sequences inside Sequences together.
const (
	maxParts = 64
	maxPath  = 64 // bytes of a step's path
)

var errParts = errors.New("more than 64 steps")

// flatten returns the steps of a part whose type may be Sequence, with them under key; nil for a part that is null.
func flatten(path string, v any, key string) ([]*part, error) {
	if v == nil {
		return nil, nil
	}
	if m, ok := v.(map[string]any); ok && m == nil {
		return nil, nil
	}
	if len(path) > maxPath {
		return nil, fmt.Errorf("unsupported %.20s…: Sequences too deep", path)
	}
	p := newPart(path, v)
	if p.kind() != "Sequence" {
		return []*part{p}, p.err
	}
	inner := p.list(key)
	if err := p.done(); err != nil {
		return nil, err
	}
	var all []*part
	for i, v := range inner {
		if v == nil {
			return nil, fmt.Errorf("unsupported %s: step %d is null", path, i)
		}
		steps, err := flatten(fmt.Sprintf("%s.%d", path, i), v, key)
		if err != nil {
			return nil, err
		}
		if all = append(all, steps...); len(all) > maxParts {
			return nil, fmt.Errorf("unsupported %s: %w", path, errParts)
		}
	}
	return all, nil
}
