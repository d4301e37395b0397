package tasks

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// pythonSpace is \s of Python's regular expressions as a class of Go's, which knows five characters of it.
const pythonSpace = `[\t-\r\x1c-\x1f \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]`

// isSpace is str.isspace: four control characters more than unicode.IsSpace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func trimSpace(s string) string     { return strings.TrimFunc(s, isSpace) }
func trimLeftSpace(s string) string { return strings.TrimLeftFunc(s, isSpace) }

// SplitTrailingSpace cuts off the white space at the end of s, as str.rstrip counts it.
func SplitTrailingSpace(s string) (text, space string) {
	text = strings.TrimRightFunc(s, isSpace)
	return text, s[len(text):]
}

// countWords is the number of pieces that splitting on runs of white space leaves, empty ones at the ends among them.
func countWords(s string) int {
	n, inside := 1, false
	for _, r := range s {
		if isSpace(r) {
			if !inside {
				n++
			}
			inside = true
			continue
		}
		inside = false
	}
	return n
}

// capitalize is str.capitalize: the first character in title case, all others in lower case, both with the mappings to
// several characters.
func capitalize(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return title(first) + lower(s, n)
}

// title is a character in title case. Sources of the mappings to several: SpecialCasing.txt of Unicode.
func title(r rune) string {
	switch r {
	case 'ß':
		return "Ss"
	case 'ŉ':
		return "ʼN"
	case 'ǰ':
		return "J̌"
	case 'ΐ':
		return "Ϊ́"
	case 'ΰ':
		return "Ϋ́"
	case 'և':
		return "Եւ"
	case 'ﬀ':
		return "Ff"
	case 'ﬁ':
		return "Fi"
	case 'ﬂ':
		return "Fl"
	case 'ﬃ':
		return "Ffi"
	case 'ﬄ':
		return "Ffl"
	case 'ﬅ', 'ﬆ':
		return "St"
	}
	return string(unicode.ToTitle(r))
}

// lower returns s[from:] in lower case; what stands before decides about a sigma.
func lower(s string, from int) string {
	var b strings.Builder
	for at, r := range s[from:] {
		at += from
		switch {
		case r == 'İ':
			b.WriteString("i̇")
		case r == 'Σ' && endsWord(s, at):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// endsWord tells whether a letter stands before the sigma at s[at:] and none behind it, characters without case such as
// apostrophes and accents aside (Final_Sigma of Unicode 3.13).
func endsWord(s string, at int) bool {
	ignorable := func(r rune) bool {
		return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) || strings.ContainsRune("'.:··՟״‘’․‧︓︕﹒﹕＇．：", r)
	}
	cased := func(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) }
	before := strings.TrimRightFunc(s[:at], ignorable)
	behind := strings.TrimLeftFunc(s[at+len("Σ"):], ignorable)
	last, _ := utf8.DecodeLastRuneInString(before)
	next, _ := utf8.DecodeRuneInString(behind)
	return before != "" && cased(last) && (behind == "" || !cased(next))
}
