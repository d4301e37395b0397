package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
)

// decodeStep changes the text of one token, which may be the first or the last of those that are decoded.
type decodeStep func(token string, first, last bool) string

// decoder makes text of tokens. Steps up to the one that joins all tokens run on each token, those behind it on the whole.
// Bytes that are not part of valid UTF-8 come as they are, where Hugging Face's library, whose texts cannot hold them, gives
// U+FFFD.
type decoder struct {
	each, whole []decodeStep
	spaced      bool // tokens stand with spaces between
	first, last bool // a step treats the first or the last token otherwise
	tokens      []string
	texts       []string // of each token, neither first nor last
	silent      []bool   // tokens that stand for no text: special ones, and ids that nothing has
}

// parseDecoder reads a decoder; without one, tokens stand with spaces between.
func parseDecoder(v any) (*decoder, error) {
	parts, err := flatten("decoder", v, "decoders")
	if err != nil {
		return nil, err
	}
	d := &decoder{spaced: len(parts) == 0}
	joined := false
	for i, p := range parts {
		step, err := d.parse(p)
		if err == nil {
			err = p.done()
		}
		if err != nil {
			return nil, err
		}
		if p.kind() == "ByteFallback" && i+1 < len(parts) && parts[i+1].kind() != "Fuse" {
			return nil, fmt.Errorf("unsupported %s: %s behind ByteFallback, without Fuse between", parts[i+1].path, parts[i+1].kind())
		}
		switch {
		case step != nil && joined:
			d.whole = append(d.whole, step)
		case step != nil:
			d.each = append(d.each, step)
			d.first, d.last = d.first || p.kind() == "Metaspace", d.last || p.kind() == "BPEDecoder"
		}
		joined = joined || p.kind() == "Fuse" || p.kind() == "ByteLevel"
	}
	return d, nil
}

// parse returns the step of a part, nil for Fuse.
func (d *decoder) parse(p *part) (decodeStep, error) {
	switch p.kind() {
	case "Fuse":
		return nil, nil
	case "Replace":
		s, content, err := parseReplacement(p)
		return func(token string, _, _ bool) string {
			if out, changed := s.Replace(nil, []byte(token), content); changed {
				return string(out)
			}
			return token
		}, err
	case "ByteFallback":
		return func(token string, _, _ bool) string {
			if len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>' {
				if b, err := strconv.ParseUint(token[3:5], 16, 8); err == nil {
					return string([]byte{byte(b)})
				}
			}
			return token
		}, nil
	case "ByteLevel":
		p.flag("add_prefix_space", true)
		p.flag("trim_offsets", true)
		p.flag("use_regex", true)
		return func(token string, _, _ bool) string {
			raw, _ := byteText(token)
			return raw
		}, nil
	case "Strip":
		content, start, stop := p.char("content"), p.count("start", maxStrip), p.count("stop", maxStrip)
		return func(token string, _, _ bool) string {
			for i := 0; i < start && strings.HasPrefix(token, content); i++ {
				token = token[len(content):]
			}
			for i := 0; i < stop && strings.HasSuffix(token, content); i++ {
				token = token[:len(token)-len(content)]
			}
			return token
		}, nil
	case "Metaspace":
		m := parseMetaspace(p)
		return func(token string, first, _ bool) string {
			if first && m.prefix != "never" {
				return strings.ReplaceAll(token, m.mark, "")
			}
			return strings.ReplaceAll(token, m.mark, " ")
		}, nil
	case "BPEDecoder":
		suffix := p.text("suffix")
		if suffix == "" {
			p.fail("unsupported %s: suffix is empty", p.path)
		}
		return func(token string, _, last bool) string {
			if last {
				return strings.ReplaceAll(token, suffix, "")
			}
			return strings.ReplaceAll(token, suffix, " ")
		}, nil
	}
	return nil, p.unsupported()
}

// maxStrip bounds how many characters a decoder takes away.
const maxStrip = 1 << 20

// byteText is the bytes that a token's characters stand for; where one stands for none, the token itself and false.
func byteText(token string) (string, bool) {
	raw := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := charBytes[r]
		if !ok {
			return token, false
		}
		raw = append(raw, b)
	}
	return string(raw), true
}

// setTokens gives the decoder the vocabulary: the text of each id, and which ids stand for none.
func (d *decoder) setTokens(tokens []string, silent []bool) {
	d.tokens, d.silent, d.texts = tokens, silent, make([]string, len(tokens))
	for id, token := range tokens {
		if !silent[id] {
			d.texts[id] = run(d.each, token, false, false)
		}
	}
}

func run(steps []decodeStep, token string, first, last bool) string {
	for _, step := range steps {
		token = step(token, first, last)
	}
	return token
}

// decode appends the text of ids, which are in the vocabulary.
func (d *decoder) decode(dst []byte, ids []int32) []byte {
	for len(ids) > 0 && d.silent[ids[len(ids)-1]] {
		ids = ids[:len(ids)-1]
	}
	start, first := len(dst), true
	for i, id := range ids {
		if d.silent[id] {
			continue
		}
		if d.spaced && !first {
			dst = append(dst, ' ')
		}
		if last := i == len(ids)-1; d.first && first || d.last && last {
			dst = append(dst, run(d.each, d.tokens[id], first, last)...)
		} else {
			dst = append(dst, d.texts[id]...)
		}
		first = false
	}
	if len(d.whole) == 0 || first {
		return dst
	}
	return append(dst[:start], run(d.whole, string(dst[start:]), true, true)...)
}
