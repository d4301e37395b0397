package split

import "unicode/utf8"

// contraction returns the length of 's 't 'm 'd 're 've 'll at the start of text, which begins with an apostrophe, or 0.
// With fold, letters of any case count, U+017F (long s) among them, which folds to s.
func contraction(text []byte, fold bool) int {
	if len(text) < 2 {
		return 0
	}
	a, b := text[1], byte(0)
	if len(text) > 2 {
		b = text[2]
	}
	if fold {
		if a == 0xc5 && b == 0xbf { // U+017F
			return 3
		}
		a, b = lower(a), lower(b)
	}
	switch {
	case a == 's', a == 't', a == 'm', a == 'd':
		return 2
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 3
	}
	return 0
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// gpt2 matches the pattern GPT2 at the start of text.
func gpt2(text []byte) (int, bool) {
	at := 0
	switch text[0] {
	case '\'':
		if n := contraction(text, false); n > 0 {
			return n, true
		}
	case ' ':
		at = 1
	}
	switch c, n := classAt(text, at); {
	case n == 0 || c&space != 0:
		return spaces(text, run(text, at, space)), true
	case c&letter != 0:
		return run(text, at+n, letter), true
	case c&number != 0:
		return run(text, at+n, number), true
	default:
		return runOther(text, at+n), true
	}
}

// spaces returns how much of the white space text[:end] is one piece: all of it at the end of the text, else all but the
// last character, which goes with what follows or stands alone.
func spaces(text []byte, end int) int {
	if end == len(text) {
		return end
	}
	_, n := utf8.DecodeLastRune(text[:end])
	if n < end {
		return end - n
	}
	return end
}

// llama3 matches the pattern Llama3, with at most digits numbers in a piece, at the start of text.
func llama3(text []byte, digits int) int {
	if text[0] == '\'' {
		if n := contraction(text, true); n > 0 {
			return n
		}
	}
	c, n := classAt(text, 0)
	if c&letter != 0 {
		return run(text, n, letter)
	}
	if c&number != 0 {
		at := n
		for range digits - 1 {
			c, n := classAt(text, at)
			if c&number == 0 {
				break
			}
			at += n
		}
		return at
	}
	next, m := classAt(text, n)
	if c&newline == 0 && next&letter != 0 {
		return run(text, n+m, letter)
	}
	if c == 0 || text[0] == ' ' && m > 0 && next == 0 {
		return run(text, runOther(text, n), newline)
	}
	end := run(text, n, space)
	for last := end; last > 0; last-- { // white space up to its last line end
		if b := text[last-1]; b == '\n' || b == '\r' {
			return last
		}
	}
	return spaces(text, end)
}
