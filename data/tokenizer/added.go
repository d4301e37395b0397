package tokenizer

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	hf "github.com/sugarme/tokenizer"

	"mmfree/data/tokenizer/split"
)

// addedTokens finds the tokens beside the model's vocabulary in texts: those that are sought in raw text, and those that are
// sought in what the normalizer leaves of it. Source: tokenizer/added_vocabulary.rs of Hugging Face's tokenizers.
type addedTokens struct {
	raw, normal *matcher
	flags       map[int32]hf.TokenConfig
}

// readAdded takes in the added tokens of a file: their texts for decoding go to p.tokens, and p.silent marks special ones.
func (p *Pipeline) readAdded(added []hf.TokenConfig, vocab map[string]int32) error {
	var texts [2][]string
	var ids [2][]int32
	p.added.flags = map[int32]hf.TokenConfig{}
	s := p.lent.get()
	defer p.lent.put(s)
	next := int64(len(vocab))
	given := map[string]int64{}
	for _, a := range added {
		want := next
		if id, ok := given[a.Content]; ok {
			want = id
		} else if id, ok := vocab[a.Content]; ok {
			want = int64(id)
		} else {
			next++
		}
		switch {
		case a.Content == "" || len(a.Content) > maxPieceBytes || !utf8.ValidString(a.Content):
			return fmt.Errorf("added_tokens: a token of %d bytes", len(a.Content))
		case a.Id < 0 || a.Id >= maxPieces:
			return fmt.Errorf("added_tokens: id %d of %q is not in 0 … %d", a.Id, a.Content, maxPieces-1)
		case a.Id != want:
			return fmt.Errorf("added_tokens: %q has the id %d, and %d by the vocabulary and the order of added tokens", a.Content, a.Id, want)
		}
		given[a.Content] = want
		id, phase, text := int32(a.Id), 0, a.Content
		p.hold(id)
		p.tokens[id] = text
		if a.Normalized {
			out, _ := p.normalizer.run(s, []byte(text))
			phase, text = 1, string(out)
			p.tokens[id] = text
			if p.normalizer.marked {
				p.tokens[id] = strings.ReplaceAll(text, " ", spaceMark)
			}
		}
		p.silent[id] = a.Special
		p.added.flags[id] = a
		texts[phase], ids[phase] = append(texts[phase], text), append(ids[phase], id)
	}
	p.added.raw, p.added.normal = newMatcher(texts[0], ids[0]), newMatcher(texts[1], ids[1])
	return nil
}

// hold makes room for an id.
func (p *Pipeline) hold(id int32) {
	for int(id) >= len(p.tokens) {
		p.tokens, p.silent = append(p.tokens, ""), append(p.silent, true)
	}
}

// between walks through a text from one added token to the next.
type between struct {
	added   *addedTokens
	matcher *matcher
	text    []byte
	from    int // where the text behind the last token begins
	sought  int // how far tokens were sought: white space that a token takes in may hold the next one
}

// next returns where the stretch of text up to the next added token begins and ends, and the token's id; -1 at the end of the
// text.
func (b *between) next() (from, to int, id int32) {
	from = b.from
	for !b.matcher.empty() {
		start, n, id := b.matcher.find(b.text, b.sought)
		if n == 0 {
			break
		}
		b.sought = start + n
		flags := b.added.flags[id]
		if flags.SingleWord && (wordBefore(b.text[:start]) || wordBehind(b.text[b.sought:])) {
			continue
		}
		to, b.from = start, b.sought
		if flags.Lstrip {
			to = max(from, len(bytes.TrimRightFunc(b.text[:start], unicode.IsSpace)))
		}
		if flags.Rstrip {
			b.from = len(b.text) - len(bytes.TrimLeftFunc(b.text[b.sought:], unicode.IsSpace))
		}
		if b.from <= to { // the token before took it in
			from = b.from
			continue
		}
		return from, max(from, to), id
	}
	b.from = len(b.text)
	return from, len(b.text), -1
}

func wordBefore(text []byte) bool {
	r, n := utf8.DecodeLastRune(text)
	return n > 0 && split.IsWord(r)
}

func wordBehind(text []byte) bool {
	r, n := utf8.DecodeRune(text)
	return n > 0 && split.IsWord(r)
}

// The names that published vocabularies use for tokens with a meaning; tokenizer.json itself does not say.
var (
	bosNames     = []string{"<s>", "<|begin_of_text|>", "<bos>", "[BOS]"}
	eosNames     = []string{"</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>", "[EOS]"}
	padNames     = []string{"<pad>", "<|pad|>", "[PAD]"}
	unknownNames = []string{"<unk>", "[UNK]"}
)

// nameSpecials takes BOS and EOS from the template, else from the names of special tokens.
func (p *Pipeline) nameSpecials(unknown int32) {
	named := func(names []string) int32 {
		for _, name := range names {
			for id, a := range p.added.flags {
				if a.Content == name && a.Special {
					return id
				}
			}
		}
		return -1
	}
	p.specials = Specials{named(bosNames), named(eosNames), unknown, named(padNames)}
	if unknown < 0 {
		p.specials.Unknown = named(unknownNames)
	}
	if len(p.before) > 0 {
		p.specials.BOS = p.before[0]
	}
	if n := len(p.after); n > 0 {
		p.specials.EOS = p.after[n-1]
	}
}

// inside is a token as it stands in text before the model, where spaces may stand for U+2581; false where no text can hold
// it.
func (p *Pipeline) inside(token string) (string, bool) {
	if !p.marked {
		return token, true
	}
	return strings.ReplaceAll(token, spaceMark, " "), !strings.Contains(token, " ")
}
