package corpus

import "unicode/utf8"

// invalidPart returns the length of the maximal part at the start of text, which is no whole character there: what one
// U+FFFD stands for. It is the longest beginning of a well-formed character, or one byte. Source: Unicode 16, §3.9,
// "U+FFFD substitution of maximal subparts", and table 3-7.
func invalidPart(text []byte) int {
	low, high, tail := byte(0x80), byte(0xBF), 0
	switch c := text[0]; {
	case c >= 0xC2 && c <= 0xDF:
		tail = 1
	case c >= 0xE0 && c <= 0xEF:
		tail = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		tail = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= tail && n < len(text) && text[n] >= low && text[n] <= high {
		n++
		low, high = 0x80, 0xBF
	}
	return n
}

// walkInvalid calls bad with the place and length of each part of text that is no character, in order.
func walkInvalid(text []byte, bad func(at, n int)) {
	for at := 0; at < len(text); {
		if text[at] < utf8.RuneSelf {
			at++
			continue
		}
		if r, n := utf8.DecodeRune(text[at:]); r != utf8.RuneError || n > 1 {
			at += n
			continue
		}
		n := invalidPart(text[at:])
		bad(at, n)
		at += n
	}
}

// countInvalid returns how many parts of text are no characters, and where the first is.
func countInvalid(text []byte) (parts, first int) {
	walkInvalid(text, func(at, _ int) {
		if parts == 0 {
			first = at
		}
		parts++
	})
	return parts, first
}

// appendValid appends text to dst with U+FFFD for each part that is no character.
func appendValid(dst, text []byte) []byte {
	from := 0
	walkInvalid(text, func(at, n int) {
		dst = append(append(dst, text[from:at]...), "\uFFFD"...)
		from = at + n
	})
	return append(dst, text[from:]...)
}
