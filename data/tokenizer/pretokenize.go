package tokenizer

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"mmfree/data/tokenizer/split"
)

// cutStep is one step of a pre-tokenizer: it either changes each piece or cuts it.
type cutStep struct {
	// change is as normalStep.apply; first tells whether the piece begins where the original text does.
	change func(buf, piece []byte, first bool) ([]byte, bool)
	cutter *split.Cutter
}

// preTokenizer cuts normalized text into the pieces that the model gets one by one.
type preTokenizer struct {
	steps  []cutStep
	marked bool // its text is to have spaces that stand for U+2581, and has none of its own
	bytes  bool // it would write bytes as characters at the end, and leaves that to the model
	first  bool // it must know whether a piece begins where the original text does
}

// parsePreTokenizer reads a pre-tokenizer. With mark, spaces may stand for U+2581; with raw, the model takes bytes.
func parsePreTokenizer(v any, mark, raw bool) (*preTokenizer, error) {
	parts, err := flatten("pre_tokenizer", v, "pretokenizers")
	if err != nil {
		return nil, err
	}
	t := &preTokenizer{}
	for i, p := range parts {
		if err := t.parse(p, i == 0, i == len(parts)-1, mark, raw); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *preTokenizer) cut(s *split.Splitter, b split.Behavior, invert bool, p *part) error {
	c, err := split.NewCutter(s, b, invert)
	if err != nil {
		return fmt.Errorf("unsupported %s: %w", p.path, err)
	}
	t.steps = append(t.steps, cutStep{cutter: c})
	return nil
}

func (t *preTokenizer) parse(p *part, first, last, mark, raw bool) error {
	var err error
	switch p.kind() {
	case "ByteLevel":
		prefix, regex := p.flag("add_prefix_space", true), p.flag("use_regex", true)
		p.flag("trim_offsets", true) // of no account for ids
		if prefix {
			t.steps = append(t.steps, cutStep{change: func(buf, piece []byte, _ bool) ([]byte, bool) {
				return append(append(buf, ' '), piece...), piece[0] != ' '
			}})
		}
		if regex {
			s, fault := split.New(split.GPT2)
			if fault != nil {
				return fault
			}
			err = t.cut(s, split.Isolated, false, p)
		}
		if t.bytes = last && raw; !t.bytes {
			t.steps = append(t.steps, cutStep{change: func(buf, piece []byte, _ bool) ([]byte, bool) { return mapBytes(buf, piece) }})
		}
	case "Split":
		err = t.parseSplit(p)
	case "Metaspace":
		err = t.parseMetaspace(p, first, last && mark)
	case "Digits":
		behavior := split.Contiguous
		if p.flag("individual_digits", false) {
			behavior = split.Isolated
		}
		err = t.cut(split.Digits(), behavior, false, p)
	case "Punctuation":
		behavior, fault := split.ParseBehavior(p.textOr("behavior", "Isolated"))
		if fault != nil {
			return fmt.Errorf("unsupported %s: %w", p.path, fault)
		}
		err = t.cut(split.Punctuation(), behavior, false, p)
	case "Whitespace":
		err = t.cut(split.Words(), split.Removed, true, p)
	case "WhitespaceSplit":
		err = t.cut(split.Spaces(), split.Removed, false, p)
	case "BertPreTokenizer":
		if err = t.cut(split.Spaces(), split.Removed, false, p); err == nil {
			err = t.cut(split.Punctuation(), split.Isolated, false, p)
		}
	default:
		return p.unsupported()
	}
	if err != nil {
		return err
	}
	return p.done()
}

func (t *preTokenizer) parseSplit(p *part) error {
	text, regex := p.pattern()
	behavior, err := split.ParseBehavior(p.text("behavior"))
	invert := p.flag("invert", false)
	if p.err != nil {
		return p.err
	}
	s := split.Literal(text)
	if regex && err == nil {
		s, err = split.New(text)
	}
	if err != nil {
		return fmt.Errorf("unsupported %s: %w", p.path, err)
	}
	return t.cut(s, behavior, invert, p)
}

// metaspace is what a Metaspace says, as pre-tokenizer and as decoder.
type metaspace struct {
	mark   string
	prefix string // always, first or never
	split  bool
}

func parseMetaspace(p *part) (m metaspace) {
	m.mark, m.prefix = p.char("replacement"), p.textOr("prepend_scheme", "always")
	m.split = p.flag("split", true)
	add := p.flag("add_prefix_space", true)
	p.value("str_rep") // older files repeat the replacement here
	switch {
	case m.prefix != "always" && m.prefix != "first" && m.prefix != "never":
		p.fail("unsupported %s: prepend_scheme is %q", p.path, m.prefix)
	case !add && m.prefix != "never" && p.in["prepend_scheme"] != nil:
		p.fail("%s: add_prefix_space is false and prepend_scheme %q", p.path, m.prefix)
	case !add:
		m.prefix = "never"
	}
	return m
}

// parseMetaspace adds the steps of a Metaspace. With mark it may leave spaces for U+2581.
func (t *preTokenizer) parseMetaspace(p *part, first, mark bool) error {
	m := parseMetaspace(p)
	if m.prefix == "first" {
		if t.first = true; !first {
			return fmt.Errorf("unsupported %s: Metaspace with prepend_scheme first behind another step", p.path)
		}
	}
	from, to := " ", m.mark
	if t.marked = mark && m.mark == spaceMark; t.marked {
		from, to = spaceMark, " "
	}
	t.steps = append(t.steps, cutStep{change: func(buf, piece []byte, first bool) ([]byte, bool) {
		has := bytes.HasPrefix(piece, []byte(from)) || bytes.HasPrefix(piece, []byte(to))
		prepend := !has && (m.prefix == "always" || m.prefix == "first" && first)
		if prepend {
			buf = append(buf, to...)
		}
		if !prepend && !bytes.Contains(piece, []byte(from)) {
			return nil, false
		}
		return replaceAll(buf, piece, []byte(from), to), true
	}})
	if m.split {
		return t.cut(split.Literal(to), split.MergedWithNext, false, p)
	}
	return nil
}

// each appends what the model makes of the pieces of text, from a step on.
func (t *preTokenizer) each(s *scratch, m model, dst []int32, text []byte, step int, first bool) []int32 {
	if len(text) == 0 {
		return dst
	}
	if step == len(t.steps) {
		return m.ids(s, dst, text, 0, len(text))
	}
	now := &t.steps[step]
	if now.change != nil {
		for len(s.pieces) <= step {
			s.pieces = append(s.pieces, nil)
		}
		if changed, did := now.change(s.pieces[step][:0], text, first); did {
			s.pieces[step], text = changed, changed
		}
		return t.each(s, m, dst, text, step+1, first)
	}
	plain := now.cutter.Plain()
	if plain != nil && step+1 == len(t.steps) {
		for at := 0; at < len(text); {
			n, _ := plain.Next(text[at:])
			dst = m.ids(s, dst, text, at, at+n)
			at += n
		}
		return dst
	}
	for at := 0; at < len(text); {
		from, to := now.cutter.Next(text[at:])
		dst = t.each(s, m, dst, text[at+from:at+to], step+1, first && at+from == 0)
		at += to
	}
	return dst
}

// model turns one piece of text into ids.
type model interface {
	// ids appends the ids of text[at:end], which is not empty. What it cannot encode it notes in s.
	ids(s *scratch, dst []int32, text []byte, at, end int) []int32
}

// wordLevel is a vocabulary of whole pieces.
type wordLevel struct {
	vocab   map[string]int32
	unknown int32 // -1 = none: an unknown piece is an error
}

func (w *wordLevel) ids(s *scratch, dst []int32, text []byte, at, end int) []int32 {
	id, ok := w.vocab[string(text[at:end])]
	if !ok {
		if id = w.unknown; id < 0 {
			s.fail(text[at:end])
			return dst
		}
	}
	return append(dst, id)
}

// shortPiece is the beginning of a piece, for errors.
func shortPiece(piece []byte) string {
	const most = 40
	if len(piece) <= most {
		return string(piece)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(piece[cut]) {
		cut--
	}
	return string(piece[:cut])
}
