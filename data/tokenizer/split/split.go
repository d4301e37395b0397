package split

import "fmt"

// The patterns that have loops of their own, spelled as tokenizer.json files spell them. All have alternatives for every
// kind of character, so that their pieces lie one behind the other without gaps, and look-ahead, which Go's regular
// expressions lack.
const (
	// GPT2 is the pattern of GPT-2, GPT-NeoX and everything that uses ByteLevel with its own pattern.
	GPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// Llama3 keeps a leading character with a word, cuts numbers after three digits and takes contractions of any case.
	Llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Qwen2 is Llama3 with single digits.
	Qwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// spellings are other ways to write the known patterns.
func spellings(pattern string) string {
	switch pattern {
	case `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
		`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`:
		return GPT2
	case `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:
		return Llama3
	case `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:
		return Qwen2
	}
	return pattern
}

// Splitter cuts text by one pattern. It is immutable, hence safe for concurrent use.
type Splitter struct {
	pattern string
	empty   bool // the pattern matches the empty text
	next    func(text []byte) (n int, match bool)
}

// New returns the splitter of a pattern: one of the constants above, or a regular expression without look-around,
// anchors and word boundaries, read as Oniguruma reads it. Any other is an error that names it.
func New(pattern string) (*Splitter, error) {
	s := &Splitter{pattern: pattern}
	switch spellings(pattern) {
	case GPT2:
		s.next = gpt2
	case Llama3:
		s.next = func(text []byte) (int, bool) { return llama3(text, 3), true }
	case Qwen2:
		s.next = func(text []byte) (int, bool) { return llama3(text, 1), true }
	default:
		re, err := compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		s.next, s.empty = (&expression{re}).next, re.MatchString("")
	}
	return s, nil
}

// Pattern returns the pattern as given to New.
func (s *Splitter) Pattern() string { return s.pattern }

// Next returns the length of the first piece of text and whether the pattern matched it; else it is the stretch before
// the next match, which may be an empty one. It is 0 only for empty text. The text's end counts as such, so a text must not be cut before it is
// split. A byte that is not part of valid UTF-8 counts as a character that is neither letter, number nor space.
func (s *Splitter) Next(text []byte) (n int, match bool) {
	if len(text) == 0 {
		return 0, false
	}
	return s.next(text)
}
