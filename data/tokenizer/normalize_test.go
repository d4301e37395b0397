package tokenizer

import "testing"

// Steps that go character by character: what they write, whether the first character moved, and that invalid bytes stay.
func TestMappings(t *testing.T) {
	for _, c := range []struct {
		kind, text, want string
		moved            bool
	}{
		{"Lowercase", "İSTANBUL İ", "i\u0307stanbul i\u0307", false},
		{"Lowercase", "ΣΑΣ ẞ Kelvin", "σασ ß kelvin", false}, // each alone: no final sigma
		{"Lowercase", "already small", "already small", false},
		{"Lowercase", "A\xffB\xf0\x9f", "a\xffb\xf0\x9f", false},
		{"StripAccents", "e\u0301 İ", "e İ", false},
		{"StripAccents", "\u0301e", "e", true},
		{"Nmt", "\x01a\tb\u200bİ", "a b İ", true},
	} {
		n, err := parseNormalizer(map[string]any{"type": c.kind}, false)
		if err != nil {
			t.Fatal(err)
		}
		got, moved := n.run(&scratch{}, []byte(c.text))
		if string(got) != c.want || moved != c.moved {
			t.Errorf("%s of %q: %q, moved %v, want %q, %v", c.kind, c.text, got, moved, c.want, c.moved)
		}
	}
}
