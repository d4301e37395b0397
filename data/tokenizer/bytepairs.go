package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	hf "github.com/sugarme/tokenizer"
	"golang.org/x/text/unicode/norm"

	"mmfree/data/tokenizer/split"
)

const bpeName = "bpe"

// BytePairs is a byte-level BPE tokenizer, as GPT-2, GPT-NeoX, Llama-3 and Qwen2 have.
type BytePairs struct {
	file        []byte // tokenizer.json
	form        *norm.Form
	splitters   []*split.Splitter // each cuts the pieces of the one before
	prefixSpace bool
	prefixLevel int        // splitters whose pieces get the space before them
	added       []*matcher // first those of raw text, then those of normalized text
	tokens      map[int32]hf.TokenConfig
	bpe         bpe
	decoded     []string // text of each id; "" for special ones
	before      []int32  // what EncodeSpecial puts round a text
	after       []int32
	specials    Specials
	lent        *scratches
}

// NewBPE trains a vocabulary on text and returns its tokenizer.
func NewBPE(text []byte, o TrainOptions) (Tokenizer, error) {
	t, err := NewTrainer(o)
	if err != nil {
		return nil, err
	}
	t.Add(text)
	trained, err := t.Train()
	if err != nil {
		return nil, err
	}
	file, err := trained.JSON()
	if err != nil {
		return nil, err
	}
	return Parse(file, "the trained vocabulary")
}

// parseBytePairs reads a byte-level BPE from a tokenizer.json, whose text is file.
func parseBytePairs(c *hf.Config, file []byte) (Tokenizer, error) {
	p := &BytePairs{file: slices.Clone(file), tokens: map[int32]hf.TokenConfig{}, specials: noSpecials(), lent: &scratches{}}
	if err := p.readPreTokenizer(c.PreTokenizer); err != nil {
		return nil, err
	}
	if err := expect(byteLevelBPE(c)...); err != nil {
		return nil, err
	}
	if c.Normalizer != nil {
		forms := map[any]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}
		form, ok := forms[c.Normalizer["type"]]
		if !ok {
			return nil, fmt.Errorf("unsupported normalizer %v", c.Normalizer["type"])
		}
		p.form = &form
	}
	vocab, err := readVocabulary(c.Model["vocab"])
	if err != nil {
		return nil, err
	}
	if err := p.readModel(c, vocab); err != nil {
		return nil, err
	}
	if err := p.readAdded(c.AddedTokens, vocab); err != nil {
		return nil, err
	}
	p.before, p.after, err = parseTemplate(c.PostProcessor)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Concat(p.before, p.after) {
		if id < 0 || int(id) >= len(p.decoded) {
			return nil, fmt.Errorf("post_processor: id %d is not in the vocabulary of %d", id, len(p.decoded))
		}
	}
	p.nameSpecials()
	return p, nil
}

func (p *BytePairs) readPreTokenizer(part map[string]any) error {
	parts := []any{part}
	if part["type"] == "Sequence" {
		parts, _ = part["pretokenizers"].([]any)
	}
	if part == nil || len(parts) == 0 {
		return errors.New("unsupported pre_tokenizer: type is <nil>, not ByteLevel")
	}
	for _, v := range parts[:len(parts)-1] {
		cut, _ := v.(map[string]any)
		pattern, _ := cut["pattern"].(map[string]any)
		regex, ok := pattern["Regex"].(string)
		if cut["type"] != "Split" || !ok {
			return fmt.Errorf("unsupported pre_tokenizer %v before ByteLevel: only Split by a Regex is", cut["type"])
		}
		err := expect(setting{"pre_tokenizer", cut, "behavior", "Isolated"}, setting{"pre_tokenizer", cut, "invert", false})
		if err != nil {
			return err
		}
		s, err := split.New(regex)
		if err != nil {
			return fmt.Errorf("unsupported pre_tokenizer: %w", err)
		}
		p.splitters = append(p.splitters, s)
	}
	last, _ := parts[len(parts)-1].(map[string]any)
	if err := expect(setting{"pre_tokenizer", last, "type", "ByteLevel"}); err != nil {
		return err
	}
	p.prefixSpace, p.prefixLevel = last["add_prefix_space"] != false, len(p.splitters) // an absent key means true
	if last["use_regex"] != false {
		s, err := split.New(split.GPT2)
		p.splitters = append(p.splitters, s)
		return err
	}
	return nil
}

// readVocabulary reads an object of token and id.
func readVocabulary(v any) (map[string]int32, error) {
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, errors.New("vocab is missing or empty")
	}
	vocab, given := make(map[string]int32, len(object)), make(map[int32]string, len(object))
	for token, value := range object {
		id, ok := value.(float64)
		if !ok || id != math.Trunc(id) || id < 0 || id >= maxPieces {
			return nil, fmt.Errorf("vocab: id %v of %q is not in 0 … %d", value, token, maxPieces-1)
		}
		if other, twice := given[int32(id)]; twice {
			return nil, fmt.Errorf("vocab: id %v is given twice, to %q and %q", id, min(token, other), max(token, other))
		}
		vocab[token], given[int32(id)] = int32(id), token
	}
	return vocab, nil
}

func (p *BytePairs) readModel(c *hf.Config, vocab map[string]int32) error {
	alphabet := byteAlphabet()
	byteOf := make(map[rune]byte, len(alphabet))
	p.bpe = bpe{byteLevel: true, unknown: -1}
	for b, r := range alphabet {
		byteOf[r] = byte(b)
		id, ok := vocab[string(r)]
		if !ok {
			return fmt.Errorf("vocab: the byte %d (%q) is missing", b, r)
		}
		p.bpe.byteSym[b] = id
	}
	raw := func(token string) string { return byteText(byteOf, token) }
	for token, id := range vocab {
		for int(id) >= len(p.decoded) {
			p.decoded = append(p.decoded, "")
		}
		p.decoded[id] = raw(token)
	}
	if c.Model["ignore_merges"] == true {
		p.bpe.whole = make(map[string]int32, len(vocab))
		for token, id := range vocab {
			p.bpe.whole[raw(token)] = id
		}
	}
	p.bpe.vocab = int32(len(p.decoded))
	list, ok := c.Model["merges"].([]any)
	if !ok {
		return errors.New("merges is no list")
	}
	p.bpe.pairs = newPairTable(len(list))
	for rank, v := range list {
		left, right, ok := mergePair(v)
		if !ok {
			return fmt.Errorf("merges: %d is no pair of tokens", rank)
		}
		l, ok1 := vocab[left]
		r, ok2 := vocab[right]
		id, ok3 := vocab[left+right]
		if !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("merges: %d, %q and %q, has a token that is not in the vocabulary", rank, left, right)
		}
		p.bpe.pairs.put(l, r, uint32(rank), id)
	}
	return nil
}

// byteText is the bytes that a token's characters stand for, or the token where one stands for none.
func byteText(byteOf map[rune]byte, token string) string {
	raw := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := byteOf[r]
		if !ok {
			return token
		}
		raw = append(raw, b)
	}
	return string(raw)
}

// mergePair reads a merge: "left right", or a list of both, as newer libraries write it.
func mergePair(v any) (left, right string, ok bool) {
	switch v := v.(type) {
	case string:
		left, right, ok = strings.Cut(v, " ")
		return left, right, ok && left != "" && right != "" && !strings.Contains(right, " ")
	case []any:
		if len(v) == 2 {
			left, ok1 := v[0].(string)
			right, ok2 := v[1].(string)
			return left, right, ok1 && ok2
		}
	}
	return "", "", false
}

func (p *BytePairs) readAdded(added []hf.TokenConfig, vocab map[string]int32) error {
	var texts [2][]string
	var ids [2][]int32
	for _, a := range added {
		known, inVocab := vocab[a.Content]
		switch {
		case a.Content == "" || len(a.Content) > maxPieceBytes:
			return fmt.Errorf("added_tokens: a token of %d bytes", len(a.Content))
		case a.Id < 0 || a.Id >= maxPieces:
			return fmt.Errorf("added_tokens: id %d of %q is not in 0 … %d", a.Id, a.Content, maxPieces-1)
		case inVocab && int64(known) != a.Id:
			return fmt.Errorf("added_tokens: %q has the id %d, and %d in the vocabulary", a.Content, a.Id, known)
		case a.SingleWord:
			return fmt.Errorf("unsupported added_tokens: %q is single_word", a.Content)
		}
		id, phase, text := int32(a.Id), 0, a.Content
		if a.Normalized && p.form != nil {
			phase, text = 1, p.form.String(text)
		}
		for int(id) >= len(p.decoded) {
			p.decoded = append(p.decoded, "")
		}
		if a.Special {
			p.decoded[id] = ""
		} else if !inVocab {
			p.decoded[id] = a.Content
		}
		p.tokens[id] = a
		texts[phase], ids[phase] = append(texts[phase], text), append(ids[phase], id)
	}
	for i := range texts {
		p.added = append(p.added, newMatcher(texts[i], ids[i]))
	}
	return nil
}

// nameSpecials takes BOS and EOS from the template, else from the names that published vocabularies use: tokenizer.json
// itself does not say.
func (p *BytePairs) nameSpecials() {
	named := func(names ...string) int32 {
		for _, name := range names {
			for id, a := range p.tokens {
				if a.Content == name && a.Special {
					return id
				}
			}
		}
		return -1
	}
	p.specials.BOS = named("<s>", "<|begin_of_text|>", "<bos>", "[BOS]")
	p.specials.EOS = named("</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>", "[EOS]")
	p.specials.Pad = named("<pad>", "<|pad|>", "[PAD]")
	p.specials.Unknown = named("<unk>", "[UNK]")
	if len(p.before) > 0 {
		p.specials.BOS = p.before[0]
	}
	if n := len(p.after); n > 0 {
		p.specials.EOS = p.after[n-1]
	}
}

// Name returns "bpe".
func (p *BytePairs) Name() string { return bpeName }

// VocabSize returns the number of ids, added tokens among them.
func (p *BytePairs) VocabSize() int { return len(p.decoded) }

// Specials returns the ids with a meaning.
func (p *BytePairs) Specials() Specials { return p.specials }

// Encode appends the ids of text, which may be any bytes, to dst; the spelling of an added token is that token. A byte that
// is not part of valid UTF-8 is kept, and counts as neither letter, number nor space. It never fails.
func (p *BytePairs) Encode(dst []int32, text []byte) ([]int32, error) {
	s := p.lent.get()
	defer p.lent.put(s)
	return p.outside(s, slices.Grow(dst, len(text)/4), text, 0), nil
}

// outside encodes text round the added tokens of a phase.
func (p *BytePairs) outside(s *scratch, dst []int32, text []byte, phase int) []int32 {
	if phase == len(p.added) {
		return p.segment(s, dst, text)
	}
	if phase == 1 && p.form != nil {
		if n := p.form.QuickSpan(text); n < len(text) {
			text = p.form.Append(nil, text...)
		}
	}
	m := p.added[phase]
	if m.empty() {
		return p.outside(s, dst, text, phase+1)
	}
	for at := 0; at < len(text); {
		found, n, id := m.find(text, at)
		end, next := found, found+n
		if a := p.tokens[id]; n > 0 && a.Lstrip {
			end = at + len(trimRight(text[at:found]))
		}
		if a := p.tokens[id]; n > 0 && a.Rstrip {
			next += len(text[next:]) - len(trimLeft(text[next:]))
		}
		dst = p.outside(s, dst, text[at:end], phase+1)
		if n > 0 {
			dst = append(dst, id)
		}
		at = next
	}
	return dst
}

func trimRight(text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeLastRune(text)
		if !unicode.IsSpace(r) {
			break
		}
		text = text[:len(text)-n]
	}
	return text
}

func trimLeft(text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if !unicode.IsSpace(r) {
			break
		}
		text = text[n:]
	}
	return text
}

// segment encodes text without added tokens.
func (p *BytePairs) segment(s *scratch, dst []int32, text []byte) []int32 {
	if len(text) == 0 {
		return dst
	}
	if len(p.splitters) == 1 && !p.prefixSpace {
		for at := 0; at < len(text); {
			n, _ := p.splitters[0].Next(text[at:])
			dst = p.bpe.word(s, dst, text, at, at+n)
			at += n
		}
		return dst
	}
	return p.cut(s, dst, text, 0)
}

func (p *BytePairs) cut(s *scratch, dst []int32, text []byte, level int) []int32 {
	if level == p.prefixLevel && p.prefixSpace && text[0] != ' ' {
		text = append([]byte{' '}, text...)
	}
	if level == len(p.splitters) {
		return p.bpe.word(s, dst, text, 0, len(text))
	}
	for at := 0; at < len(text); {
		n, _ := p.splitters[level].Next(text[at:])
		dst = p.cut(s, dst, text[at:at+n], level+1)
		at += n
	}
	return dst
}

// EncodeSpecial is Encode with the template's ids round the text.
func (p *BytePairs) EncodeSpecial(dst []int32, text []byte) ([]int32, error) {
	dst, err := p.Encode(append(dst, p.before...), text)
	return append(dst, p.after...), err
}

// Decode appends the bytes that ids name to dst; special tokens have none.
func (p *BytePairs) Decode(dst []byte, ids []int32) ([]byte, error) {
	for i, id := range ids {
		if id < 0 || int(id) >= len(p.decoded) {
			return dst, outOfRange(bpeName, ids, i, len(p.decoded))
		}
		dst = append(dst, p.decoded[id]...)
	}
	return dst, nil
}

// JSON returns the tokenizer.json that it was read from.
func (p *BytePairs) JSON() ([]byte, error) { return slices.Clone(p.file), nil }
