package split

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"pgregory.net/rapid"
)

// pieces cuts text with s.
func pieces(s *Splitter, text string) []string {
	var out []string
	for at := 0; at < len(text); {
		n, _ := s.Next([]byte(text[at:]))
		out = append(out, text[at:at+n])
		at += n
	}
	return out
}

// plain cuts text with an engine that runs the pattern literally, look-ahead included.
func plain(t interface{ Fatal(...any) }, re *regexp2.Regexp, text string) []string {
	var out []string
	m, err := re.FindStringMatch(text)
	at, runes := 0, []rune(text)
	for ; m != nil; m, err = re.FindNextMatch(m) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Length == 0 {
			continue
		}
		if m.Index > at {
			out = append(out, string(runes[at:m.Index]))
		}
		out = append(out, m.String())
		at = m.Index + m.Length
	}
	if at < len(runes) {
		out = append(out, string(runes[at:]))
	}
	return out
}

// Every pattern with a loop of its own, and some without, against the literal engine.
func patterns() []string {
	return []string{
		GPT2, Llama3, Qwen2, `\p{N}{1,3}`, `[\r\n]`, `\s?\p{L}+`, `\s?[!-/:-~]+`, `[^\s]+`, `\d`, `\S+`, ` `, `[\s\S]`,
	}
}

func TestKnownTexts(t *testing.T) {
	for _, tc := range []struct{ pattern, text, want string }{
		{GPT2, "I'm  you're\n\n a 12 3!", "I|'m| | you|'re|\n\n| a| 12| 3|!"},
		{GPT2, "  ", "  "},
		{GPT2, "a  ", "a|  "},
		{GPT2, "'S 'x''s", "'|S| '|x|''|s"},
		{GPT2, "x\u00a0\u3000é", "x|\u00a0|\u3000|é"},
		{Llama3, "I'LL 12345 \t\n\n  x \u00a0y\ttab", "I|'LL| |123|45| \t\n\n| | x| |\u00a0y|\ttab"},
		{Llama3, "a!?\r\n\r\nb '\u017f", "a|!?\r\n\r\n|b| '|\u017f"},
		{Llama3, "'\u017fx", "'\u017f|x"},
		{Qwen2, "12 3", "1|2| |3"},
		{GPT2, "a\xff\xfeb \xc3", "a|\xff\xfe|b| \xc3"},
		{GPT2, "", ""},
		{`\d+`, "a12b", "a|12|b"},
		{`\d*`, "ab12", "a|b|12"},
	} {
		s, err := New(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(pieces(s, tc.text), "|"); got != tc.want {
			t.Errorf("%s on %q:\ngot  %q\nwant %q", tc.pattern, tc.text, got, tc.want)
		}
	}
}

func TestSpellings(t *testing.T) {
	for _, p := range []string{
		`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
		`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	} {
		if s, err := New(p); err != nil || s.Pattern() != p {
			t.Error(p, err)
		}
	}
}

func TestAgainstLiteralEngine(t *testing.T) {
	words := []string{
		"'", "s", "S", "l", "L", "re", "VE", "'ll", "'D", " ", "  ", "\n", "\r", "\r\n", "\t", "\u00a0", "\u3000", "\u0085", "\u2028",
		"1", "23", "½", "٣", "Ⅳ", "é", "e\u0301", "Ж", "語", "𝔘", "!", "-", "_", "…", "👋", "\u200d", "\u0000", "\x1b", "ǅ", "ʰ",
	}
	for _, p := range patterns() {
		s, err := New(p)
		if err != nil {
			t.Fatal(p, err)
		}
		re := regexp2.MustCompile(p, regexp2.None)
		t.Run(p, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				text := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(words), rapid.StringN(1, 1, -1)), 0, 20).Draw(t, "text"), "")
				// The literal engine folds case by ASCII; long s has a case of its own above.
				if text = strings.ToValidUTF8(text, "?"); strings.ContainsRune(text, 0x17f) {
					return
				}
				got, want := pieces(s, text), plain(t, re, text)
				if strings.Join(got, "|") != strings.Join(want, "|") {
					t.Fatalf("%q:\ngot  %q\nwant %q", text, got, want)
				}
			})
		})
	}
}

// Each code point has the class that package unicode gives it.
func TestClasses(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		c := allClasses().of(r)
		if (c&letter != 0) != unicode.IsLetter(r) || (c&number != 0) != unicode.IsNumber(r) || (c&space != 0) != unicode.IsSpace(r) ||
			(c&newline != 0) != (r == '\n' || r == '\r') || r < utf8.RuneSelf && c != ascii[r] {
			t.Fatalf("%U has the class %b", r, c)
		}
	}
	if n := len(allClasses().bits); n > 256 {
		t.Fatalf("%d blocks do not fit a byte", n)
	}
}

func TestRefused(t *testing.T) {
	for pattern, want := range map[string]string{
		`(`: "not a regular expression", `a(?=b)`: "look-around", `(?i)a`: "flags", `\bx`: `\b is not supported`, `^a`: "anchor",
		`a++`: "possessive", `[a[b]]`: "class inside a class", `[\S]`: "negated class", `[a&&b]`: "intersection", `\p{Klingon}`: "not a regular",
		strings.Repeat("a", 5000): "longer", `a{2000}`: "not a regular expression",
	} {
		if _, err := New(pattern); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), pattern[:1]) {
			t.Errorf("%.20q: got %v, want %q", pattern, err, want)
		}
	}
}

// The pieces of any bytes, joined, are the bytes: nothing is dropped and every call gets further.
func FuzzNext(f *testing.F) {
	f.Add([]byte("it's 12 o'clock\r\n \xff"))
	var all []*Splitter
	for _, p := range patterns() {
		s, err := New(p)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, s)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, s := range all {
			for at := 0; at < len(text); {
				n, _ := s.Next(text[at:])
				if n <= 0 || at+n > len(text) {
					t.Fatalf("%s: %d at %d of %d", s.Pattern(), n, at, len(text))
				}
				at += n
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	text := []byte(strings.Repeat("It's the 12th of May, and a 'Quick brown fox' jumps over the lazy dog again.\n", 4000))
	if shared := os.Getenv("MMFREE_SHARED"); shared != "" {
		if read, err := os.ReadFile(filepath.Join(shared, "data/corpora/tinyshakespeare.txt")); err == nil {
			text = read
		}
	}
	for name, p := range map[string]string{"gpt2": GPT2, "llama3": Llama3} {
		s, _ := New(p)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for at := 0; at < len(text); {
					n, _ := s.Next(text[at:])
					at += n
				}
			}
		})
	}
}
