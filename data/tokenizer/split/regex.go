package split

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

// expression is a pattern run by Go's regexp. Both it and Oniguruma take the leftmost match and, of several there, the
// one of the first alternative.
type expression struct{ re *regexp.Regexp }

func (e *expression) next(text []byte) (int, bool) {
	for from := 0; from < len(text); {
		at := e.re.FindIndex(text[from:])
		if at == nil {
			break
		}
		start, end := from+at[0], from+at[1]
		switch {
		case start > 0: // an empty match cuts, too
			return start, false
		case end == 0: // here the text was cut before, or begins
			_, n := classAt(text, 0)
			from = max(n, 1)
		default:
			return end, true
		}
	}
	return len(text), false
}

const (
	everything = `[\s\S]`
	// maxPattern bounds what is compiled.
	maxPattern = 4096
	// spaceClass is what \s means where Unicode is asked for; in RE2 it is five characters of ASCII.
	spaceClass = `\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}`
)

// compile translates the classes that mean more in Unicode than in RE2 and refuses what would mean something else.
func compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, errors.New("longer than 4096 bytes")
	}
	var b strings.Builder
	inClass := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern):
			i++
			switch e := pattern[i]; e {
			case 's':
				writeClass(&b, inClass, "", spaceClass)
			case 'd':
				writeClass(&b, inClass, "", `\p{Nd}`)
			case 'S', 'D':
				if inClass {
					return nil, errors.New("a negated class inside brackets is not supported")
				}
				writeClass(&b, false, "^", map[byte]string{'S': spaceClass, 'D': `\p{Nd}`}[e])
			case 'w', 'W', 'b', 'B', 'A', 'z', 'Z', 'G', 'h', 'H', 'R', 'X', 'Q', 'E', 'K', 'k':
				return nil, errors.New(`\` + string(e) + " is not supported")
			default:
				b.WriteByte('\\')
				b.WriteByte(e)
			}
			continue
		case !inClass && strings.HasPrefix(pattern[i:], everything):
			b.WriteString("(?s:.)")
			i += len(everything) - 1
			continue
		case c == '[' && inClass:
			return nil, errors.New("a class inside a class is not supported")
		case c == '&' && inClass && strings.HasPrefix(pattern[i:], "&&"):
			return nil, errors.New("an intersection of classes is not supported")
		case c == '[':
			inClass = true
		case c == ']':
			inClass = false
		case !inClass && (c == '^' || c == '$'):
			return nil, errors.New("an anchor is not supported")
		case !inClass && c == '+' && i > 0 && strings.IndexByte("+*?", pattern[i-1]) >= 0 && (i < 2 || pattern[i-2] != '\\'):
			return nil, errors.New("a possessive repetition is not supported")
		case !inClass && strings.HasPrefix(pattern[i:], "(?") && !strings.HasPrefix(pattern[i:], "(?:"):
			return nil, errors.New("look-around, flags and named groups are not supported")
		}
		b.WriteByte(c)
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		var fault *syntax.Error
		if errors.As(err, &fault) {
			return nil, errors.New("not a regular expression: " + string(fault.Code))
		}
		return nil, err
	}
	return re, nil
}

func writeClass(b *strings.Builder, inClass bool, not, members string) {
	if inClass {
		b.WriteString(members)
		return
	}
	b.WriteString("[" + not + members + "]")
}
