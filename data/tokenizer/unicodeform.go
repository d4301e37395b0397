package tokenizer

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// unicodeForm is a step to a Unicode normalization form. Bytes that are not part of valid UTF-8 stay.
func unicodeForm(f norm.Form) func(buf, text []byte) ([]byte, bool) {
	return func(buf, text []byte) ([]byte, bool) {
		if f.QuickSpan(text) == len(text) {
			return nil, false
		}
		out := f.Append(buf, text...)
		// The library writes the stream-safe format: a joiner behind 30 combining marks in a row, which is no part of the form.
		joiner := []byte(norm.GraphemeJoiner)
		if bytes.Count(out[len(buf):], joiner) == bytes.Count(text, joiner) {
			return out, true
		}
		return plainForm(f, buf, text), true
	}
}

// plainForm appends text in a normalization form by the definition (Unicode Standard 3.11: D68, D109, D117), with
// combining sequences of any length.
func plainForm(f norm.Form, buf, text []byte) []byte {
	decomposition, composes := f, false
	switch f {
	case norm.NFC:
		decomposition, composes = norm.NFD, true
	case norm.NFKC:
		decomposition, composes = norm.NFKD, true
	}
	var chars []formChar
	var one []byte
	flush := func() {
		orderMarks(chars)
		if composes {
			chars = compose(chars)
		}
		for _, c := range chars {
			buf = utf8.AppendRune(buf, c.r)
		}
		chars = chars[:0]
	}
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			flush()
			buf = append(buf, text[at])
		} else {
			one = decomposition.Append(one[:0], text[at:at+n]...)
			for rest := one; len(rest) > 0; {
				r, n := utf8.DecodeRune(rest)
				chars = append(chars, formChar{r, norm.NFD.Properties(rest).CCC()})
				rest = rest[n:]
			}
		}
		at += n
	}
	flush()
	return buf
}

// formChar is a character and its canonical combining class.
type formChar struct {
	r     rune
	class uint8
}

// orderMarks sorts each row of marks by class; marks of one class keep their order.
func orderMarks(chars []formChar) {
	for from := 0; from < len(chars); from++ {
		to := from
		for to < len(chars) && chars[to].class > 0 {
			to++
		}
		slices.SortStableFunc(chars[from:to], func(a, b formChar) int { return int(a.class) - int(b.class) })
		from = to
	}
}

// compose joins each character to the starter before it where the two have a composite and nothing between them blocks it.
// It works in place.
func compose(chars []formChar) []formChar {
	out, starter := chars[:0], -1
	last := uint8(0) // class of the last character behind the starter
	for _, c := range chars {
		if starter >= 0 && (last < c.class || last == 0) {
			if r, ok := composite(out[starter].r, c.r); ok {
				out[starter].r = r
				continue
			}
		}
		if c.class == 0 {
			starter = len(out)
		}
		last = c.class
		out = append(out, c)
	}
	return out
}

// composite returns the character that two make.
func composite(a, b rune) (rune, bool) {
	var in, out [4 * utf8.UTFMax]byte
	pair := norm.NFC.Append(out[:0], utf8.AppendRune(utf8.AppendRune(in[:0], a), b)...)
	r, n := utf8.DecodeRune(pair)
	return r, n == len(pair)
}
