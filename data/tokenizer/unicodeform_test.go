package tokenizer

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Where no row of marks is long, the definition gives what the library gives, for every character and for random rows of them.
func TestPlainForm(t *testing.T) {
	var texts []string
	var marks, all []rune
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.In(r, unicode.M) {
			marks = append(marks, r)
		}
		if d := norm.NFKD.PropertiesString(string(r)).Decomposition(); d != nil || unicode.In(r, unicode.M, unicode.Hangul) {
			all = append(all, r)
			texts = append(texts, string(r))
		}
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		var b strings.Builder
		for range 1 + rng.IntN(6) {
			b.WriteRune(all[rng.IntN(len(all))])
			for range rng.IntN(5) {
				b.WriteRune(marks[rng.IntN(len(marks))])
			}
			b.WriteString([]string{"", "", "a", "\xff", "e\u0301", "\u1100\u1161\u11a8"}[rng.IntN(6)])
		}
		texts = append(texts, b.String())
	}
	for name, f := range map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD} {
		for _, text := range texts {
			if got, want := string(plainForm(f, nil, []byte(text))), f.String(text); got != want {
				t.Fatalf("%s of %+q: %+q, want %+q", name, text, got, want)
			}
		}
	}
}

// Rows of more than 30 marks are normalized without a joiner, in their order, as Hugging Face's library does.
func TestLongRowsOfMarks(t *testing.T) {
	acute, below := "\u0301", "\u0316" // classes 230 and 220
	for _, c := range []struct {
		form       norm.Form
		text, want string
	}{
		{norm.NFC, "e" + strings.Repeat(acute, 40), "é" + strings.Repeat(acute, 39)},
		{norm.NFD, "é" + strings.Repeat(acute, 40), "e" + strings.Repeat(acute, 41)},
		{norm.NFC, "e" + strings.Repeat(acute, 40) + below + "x", "é" + below + strings.Repeat(acute, 39) + "x"},
		{norm.NFKD, "\u034f" + strings.Repeat(acute+below, 100) + "\xffﬁ", "\u034f" + strings.Repeat(below, 100) + strings.Repeat(acute, 100) + "\xfffi"},
		{norm.NFKC, strings.Repeat(acute, 31) + "e" + acute, strings.Repeat(acute, 31) + "é"},
	} {
		out, changed := unicodeForm(c.form)([]byte("kept"), []byte(c.text))
		if !changed {
			out = append([]byte("kept"), c.text...)
		}
		if got := string(bytes.TrimPrefix(out, []byte("kept"))); got != c.want {
			t.Errorf("form %d of %+q: %+q, want %+q", c.form, c.text, got, c.want)
		}
		if !utf8.ValidString(c.text) && utf8.Valid(out) {
			t.Errorf("%+q: the invalid byte is lost", c.text)
		}
	}
}
