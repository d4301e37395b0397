package tokenizer

import (
	"fmt"
	"slices"

	hf "github.com/sugarme/tokenizer"
)

// Pipeline is a tokenizer as a tokenizer.json describes it: added tokens are cut out, a normalizer rewrites the text between
// them, a pre-tokenizer cuts it, a model turns pieces into ids, a post-processor puts ids round a text, a decoder makes text
// of ids.
//
// Where the file's spaces become U+2581 before the model, here they stay and stand for it: text then needs fewer copies, and
// the two cannot be told apart behind that step anyway.
type Pipeline struct {
	file       []byte
	name       string
	added      addedTokens
	normalizer normalizer
	cuts       *preTokenizer
	model      model
	marked     bool
	raw        bool // text may be any bytes; else what is not UTF-8 counts as U+FFFD
	decoder    *decoder
	tokens     []string // by id
	silent     []bool   // ids that decode to nothing
	before     []int32  // what EncodeSpecial puts round a text
	after      []int32
	specials   Specials
	lent       *scratches
}

// parsePipeline reads a tokenizer.json, whose text is file.
func parsePipeline(c *hf.Config, file []byte) (*Pipeline, error) {
	p := &Pipeline{file: slices.Clone(file), lent: &scratches{}}
	m := newPart("model", map[string]any(c.Model))
	if m.err != nil {
		return nil, fmt.Errorf("unsupported model type %v", c.Model["type"])
	}
	vocab, err := readVocabulary(m)
	if err != nil {
		return nil, err
	}
	for token, id := range vocab {
		p.hold(id)
		p.tokens[id], p.silent[id] = token, false
	}
	if p.cuts, err = parsePreTokenizer(c.PreTokenizer, true, m.kind() == "BPE" && hasBytes(vocab)); err != nil {
		return nil, err
	}
	if p.normalizer, err = parseNormalizer(c.Normalizer, c.PreTokenizer == nil); err != nil {
		return nil, err
	}
	if p.normalizer.prepends && p.cuts.first {
		return nil, fmt.Errorf("unsupported normalizer: Prepend before a Metaspace with prepend_scheme first")
	}
	p.marked, p.raw = p.normalizer.marked || p.cuts.marked, p.cuts.bytes
	unknown, err := p.readModel(m, vocab)
	if err != nil {
		return nil, err
	}
	if err := p.readAdded(c.AddedTokens, vocab); err != nil {
		return nil, err
	}
	if p.before, p.after, err = parseTemplate(c.PostProcessor, len(p.tokens)); err != nil {
		return nil, err
	}
	if p.decoder, err = parseDecoder(c.Decoder); err != nil {
		return nil, err
	}
	p.decoder.setTokens(p.tokens, p.silent)
	p.nameSpecials(unknown)
	return p, nil
}

// Name returns the kind of its model: bpe, unigram or wordlevel.
func (p *Pipeline) Name() string { return p.name }

// VocabSize returns the number of ids, added tokens among them.
func (p *Pipeline) VocabSize() int { return len(p.tokens) }

// Specials returns the ids with a meaning.
func (p *Pipeline) Specials() Specials { return p.specials }

// Encode appends the ids of text to dst; the spelling of an added token is that token. A byte that is not part of valid UTF-8
// is kept where the vocabulary is one of bytes, and counts as neither letter, number nor space; elsewhere it counts as U+FFFD.
// It fails where the vocabulary has no id for a piece, nor one for unknown pieces.
func (p *Pipeline) Encode(dst []int32, text []byte) ([]int32, error) {
	s := p.lent.get()
	defer p.lent.put(s)
	dst = slices.Grow(dst, len(text)/4)
	if !p.raw {
		text, s.text[0] = validUTF8(s.text[0], text)
	}
	for b := (between{added: &p.added, matcher: p.added.raw, text: text}); ; {
		from, to, id := b.next()
		if to > from {
			normal, moved := p.normalizer.run(s, text[from:to])
			dst = p.segment(s, dst, normal, from == 0 && !moved)
		}
		if id < 0 {
			break
		}
		dst = append(dst, id)
	}
	if s.fault != "" {
		return dst, &Error{
			Source: p.name, Offset: -1, Problem: fmt.Sprintf("the piece %q is not in the vocabulary, which has no id for unknown pieces", s.fault),
			Fix: "use only text of the kind that the vocabulary was made for, or a tokenizer with bytes or an unknown token",
		}
	}
	return dst, nil
}

// segment encodes normalized text; first tells whether it begins where the original text does.
func (p *Pipeline) segment(s *scratch, dst []int32, text []byte, first bool) []int32 {
	for b := (between{added: &p.added, matcher: p.added.normal, text: text}); ; {
		from, to, id := b.next()
		dst = p.cuts.each(s, p.model, dst, text[from:to], 0, first && from == 0)
		if id < 0 {
			return dst
		}
		dst = append(dst, id)
	}
}

// EncodeSpecial is Encode with the template's ids round the text.
func (p *Pipeline) EncodeSpecial(dst []int32, text []byte) ([]int32, error) {
	dst, err := p.Encode(append(dst, p.before...), text)
	return append(dst, p.after...), err
}

// Decode appends the text of ids to dst; special tokens have none.
func (p *Pipeline) Decode(dst []byte, ids []int32) ([]byte, error) {
	for i, id := range ids {
		if id < 0 || int(id) >= len(p.tokens) {
			return dst, outOfRange(p.name, ids, i, len(p.tokens))
		}
	}
	return p.decoder.decode(dst, ids), nil
}

// JSON returns the tokenizer.json that it was read from.
func (p *Pipeline) JSON() ([]byte, error) { return slices.Clone(p.file), nil }
