package tokenizer

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"

	"mmfree/data/tokenizer/split"
)

// normalStep is one step of a normalizer.
type normalStep struct {
	// apply appends the normalized text to buf and returns that and true, or anything and false where nothing changes.
	apply func(buf, text []byte) ([]byte, bool)
	// moves tells whether the text's first character is none of the original's first; nil = never.
	moves func(text []byte) bool
}

// normalizer is the steps that a text goes through before it is cut.
type normalizer struct {
	steps    []normalStep
	prepends bool
	marked   bool // spaces stay that were to become U+2581, and stand for it
}

// run returns the normalized text, which may be text or lie in s, and whether it begins with another character than text.
func (n *normalizer) run(s *scratch, text []byte) (out []byte, moved bool) {
	buf := 0
	for _, step := range n.steps {
		moved = moved || step.moves != nil && len(text) > 0 && step.moves(text)
		if out, changed := step.apply(s.normal[buf][:0], text); changed {
			s.normal[buf], text, buf = out, out, 1-buf
		}
	}
	return text, moved
}

// parseNormalizer reads a normalizer. With mark, the last step may leave spaces for U+2581.
func parseNormalizer(v any, mark bool) (n normalizer, err error) {
	parts, err := flatten("normalizer", v, "normalizers")
	if err != nil {
		return n, err
	}
	if last := len(parts) - 1; mark && last >= 0 && writesMarks(parts[last]) {
		n.marked, parts = true, parts[:last]
	}
	for i, p := range parts {
		if n.marked && i == len(parts)-1 && p.kind() == "Prepend" && p.in["prepend"] == spaceMark {
			p.in = map[string]any{"type": "Prepend", "prepend": " "} // spares finding the mark again
		}
		step, err := parseNormalStep(p)
		if err != nil {
			return n, err
		}
		n.prepends = n.prepends || p.kind() == "Prepend"
		n.steps = append(n.steps, step)
	}
	if n.marked {
		n.steps = append(n.steps, normalStep{apply: foldMarks})
	}
	return n, nil
}

// writesMarks tells whether a step replaces each space by U+2581.
func writesMarks(p *part) bool {
	pattern, _ := p.in["pattern"].(map[string]any)
	return p.kind() == "Replace" && len(p.in) == 3 && len(pattern) == 1 && pattern["String"] == " " && p.in["content"] == spaceMark
}

// foldMarks writes U+2581 as a space.
func foldMarks(buf, text []byte) ([]byte, bool) {
	if !bytes.Contains(text, []byte(spaceMark)) {
		return nil, false
	}
	return replaceAll(buf, text, []byte(spaceMark), " "), true
}

func replaceAll(buf, text, from []byte, to string) []byte {
	for {
		at := bytes.Index(text, from)
		if at < 0 {
			return append(buf, text...)
		}
		buf = append(append(buf, text[:at]...), to...)
		text = text[at+len(from):]
	}
}

func parseNormalStep(p *part) (step normalStep, err error) {
	switch p.kind() {
	case "NFC":
		step.apply = unicodeForm(norm.NFC)
	case "NFD":
		step.apply = unicodeForm(norm.NFD)
	case "NFKC":
		step.apply = unicodeForm(norm.NFKC)
	case "NFKD":
		step.apply = unicodeForm(norm.NFKD)
	case "Lowercase":
		step = mapping(unicode.ToLower) // without regard to the text round it
	case "Nmt":
		step = mapping(nmt)
	case "StripAccents":
		step = mapping(func(r rune) rune {
			if unicode.Is(unicode.M, r) {
				return -1
			}
			return r
		})
	case "Strip":
		step = strip(p.flag("strip_left", true), p.flag("strip_right", true))
	case "Prepend":
		prefix := p.text("prepend")
		step.apply = func(buf, text []byte) ([]byte, bool) {
			return append(append(buf, prefix...), text...), len(text) > 0
		}
	case "Replace":
		if step, err = parseReplace(p); err != nil {
			return step, err
		}
	case "ByteLevel":
		step.apply = mapBytes
	case "Precompiled":
		blob, err := base64.StdEncoding.DecodeString(p.text("precompiled_charsmap"))
		if err != nil {
			return step, fmt.Errorf("%s: precompiled_charsmap: %w", p.path, err)
		}
		table, err := readCharsmap(blob)
		if err != nil {
			return step, fmt.Errorf("%s: %w", p.path, err)
		}
		step.apply = table.apply
	default:
		return step, p.unsupported()
	}
	return step, p.done()
}

func parseReplace(p *part) (step normalStep, err error) {
	s, content, err := parseReplacement(p)
	if err != nil {
		return step, err
	}
	step.apply = func(buf, text []byte) ([]byte, bool) { return s.Replace(buf, text, content) }
	step.moves = func(text []byte) bool {
		n, match := s.Next(text)
		_, first := utf8.DecodeRune(text)
		return match && (content == "" || n > first)
	}
	return step, nil
}

// parseReplacement reads what a Replace looks for and writes.
func parseReplacement(p *part) (*split.Splitter, string, error) {
	text, regex := p.pattern()
	content := p.text("content")
	if err := p.done(); err != nil {
		return nil, "", err
	}
	if !regex {
		return split.Literal(text), content, nil
	}
	s, err := split.New(text)
	if err == nil && s.Empty() {
		err = fmt.Errorf("pattern %q: matches the empty text", text)
	}
	if err != nil {
		return nil, "", fmt.Errorf("unsupported %s: %w", p.path, err)
	}
	return s, content, nil
}

// mapping is a step that maps each character to another, or to nothing where f gives -1. İ, the one whose small form is two,
// keeps its dot as a mark.
func mapping(f func(rune) rune) normalStep {
	return normalStep{
		apply: func(buf, text []byte) ([]byte, bool) {
			changed := false
			for at := 0; at < len(text); {
				r, n := utf8.DecodeRune(text[at:])
				switch to := f(r); {
				case to < 0:
					changed = true
				case r == 'İ' && to == 'i':
					buf, changed = append(buf, "i\u0307"...), true
				case to != r:
					buf, changed = utf8.AppendRune(buf, to), true
				default:
					buf = append(buf, text[at:at+n]...)
				}
				at += n
			}
			return buf, changed
		},
		moves: func(text []byte) bool {
			r, _ := utf8.DecodeRune(text)
			return f(r) < 0
		},
	}
}

// nmt drops control characters and makes spaces of other kinds of white space.
func nmt(r rune) rune {
	switch {
	case r >= 1 && r <= 8, r == 0xb, r >= 0xe && r <= 0x1f, r == 0x7f, r == 0x8f, r == 0x9f:
		return -1
	case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, r >= 0x200b && r <= 0x200f, r == 0x2028, r == 0x2029, r == 0x2581, r == 0xfeff, r == 0xfffd:
		return ' '
	}
	return r
}

func strip(left, right bool) normalStep {
	return normalStep{
		apply: func(buf, text []byte) ([]byte, bool) {
			whole := len(text)
			if left {
				text = bytes.TrimLeftFunc(text, unicode.IsSpace)
			}
			if right {
				text = bytes.TrimRightFunc(text, unicode.IsSpace)
			}
			return append(buf, text...), len(text) < whole
		},
		moves: func(text []byte) bool {
			r, _ := utf8.DecodeRune(text)
			return left && unicode.IsSpace(r)
		},
	}
}

// mapBytes writes each byte as the character that stands for it in byte-level vocabularies.
func mapBytes(buf, text []byte) ([]byte, bool) {
	for _, b := range text {
		buf = utf8.AppendRune(buf, byteChars[b])
	}
	return buf, len(text) > 0
}

// apply replaces by the table as Hugging Face's library does, which is not as SentencePiece does: a grapheme of less than
// six bytes is replaced as a whole by what its shortest beginning in the table becomes; in others, and where a grapheme has
// none, each character is. Sources: normalizers/precompiled.rs of their tokenizers and their crate spm_precompiled.
func (c *charsmap) apply(buf, text []byte) ([]byte, bool) {
	const shortGrapheme = 6
	changed := false
	state := -1
	for len(text) > 0 {
		var g []byte
		if text[0] < utf8.RuneSelf && len(text) > 1 && text[1] < utf8.RuneSelf && text[0] != '\r' {
			g, text, state = text[:1], text[1:], -1
		} else {
			g, text, _, state = uniseg.FirstGraphemeCluster(text, state)
		}
		if len(g) < shortGrapheme {
			if to, n := c.lookup(g, true); n > 0 {
				buf, changed = append(buf, to...), true
				continue
			}
		}
		for len(g) > 0 {
			_, n := utf8.DecodeRune(g)
			to, found := c.lookup(g[:n], true)
			if found == 0 {
				to = g[:n]
			}
			buf, changed = append(buf, to...), changed || found > 0
			g = g[n:]
		}
	}
	return buf, changed
}
