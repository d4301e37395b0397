package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	hf "github.com/sugarme/tokenizer"

	"mmfree/data/tokenizer/split"
)

const bpeName = "bpe"

// BytePairs is a byte-level BPE tokenizer: of Trainer, or from a file of the GPT-2, Llama-3 or Qwen-2 family.
type BytePairs struct {
	trained  *Trained
	splitter *split.Splitter
	bpe      *bpe
	text     []string // of each id; none for special ones
	added    *matcher // tokens that are cut out of the text before anything else
	template template
	file     []byte // the tokenizer.json that was read, or nil
	lent     *scratches
}

// template is what EncodeSpecial puts round a text.
type template struct{ before, behind []int32 }

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
	return newBytePairs(trained)
}

func newBytePairs(t *Trained) (*BytePairs, error) {
	splitter, err := split.New(t.pattern)
	if err != nil {
		return nil, err
	}
	p := &BytePairs{trained: t, splitter: splitter, text: make([]string, len(t.Tokens)), lent: &scratches{}}
	ids := make(map[string]int32, len(t.Tokens))
	byteOf := map[rune]byte{}
	for b, r := range byteAlphabet() {
		byteOf[r] = byte(b)
	}
	var special []string
	var specialIDs []int32
	for id, token := range t.Tokens {
		ids[token] = int32(id)
		if t.isSpecial(id) {
			special, specialIDs = append(special, token), append(specialIDs, int32(id))
			continue
		}
		var raw strings.Builder
		for _, r := range token {
			b, ok := byteOf[r]
			if !ok {
				return nil, fmt.Errorf("vocab: %q of token %q stands for no byte", r, token)
			}
			raw.WriteByte(b)
		}
		p.text[id] = raw.String()
	}
	if len(special) > 0 {
		p.added = newMatcher(special, specialIDs)
	}
	b := &bpe{byteLevel: true, vocab: int32(len(t.Tokens)), unknown: -1, pairs: newPairTable(len(t.Merges))}
	for c, r := range byteAlphabet() {
		id, ok := ids[string(r)]
		if !ok {
			return nil, fmt.Errorf("vocab: the byte %d (%q) is missing", c, r)
		}
		b.byteSym[c] = id
	}
	for rank, m := range t.Merges {
		left, ok1 := ids[m[0]]
		right, ok2 := ids[m[1]]
		id, ok3 := ids[m[0]+m[1]]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("merges: %d, %q, has a token that is not in the vocabulary", rank, m)
		}
		b.pairs.put(left, right, uint32(rank), id)
	}
	if t.ignoreMerges {
		b.whole = make(map[string]int32, len(t.Tokens))
		for id, text := range p.text {
			if text != "" {
				b.whole[text] = int32(id)
			}
		}
	}
	p.bpe = b
	return p, nil
}

// Name returns "bpe".
func (p *BytePairs) Name() string { return bpeName }

// VocabSize returns the number of tokens.
func (p *BytePairs) VocabSize() int { return len(p.text) }

// Specials returns what the template puts round a text.
func (p *BytePairs) Specials() Specials {
	s := noSpecials()
	if len(p.template.before) == 1 {
		s.BOS = p.template.before[0]
	}
	if len(p.template.behind) == 1 {
		s.EOS = p.template.behind[0]
	}
	return s
}

// Encode appends the ids of text, which may be any bytes, to dst. It never fails. The spelling of a special token is that
// token, as in Hugging Face's library.
func (p *BytePairs) Encode(dst []int32, text []byte) ([]int32, error) {
	w := p.lent.get()
	defer p.lent.put(w)
	dst = slices.Grow(dst, len(text)/4)
	for at := 0; at < len(text); {
		end, n, id := len(text), 0, int32(0)
		if !p.added.empty() {
			end, n, id = p.added.find(text, at)
		}
		for at < end {
			size, _ := p.splitter.Next(text[at:end])
			dst = p.bpe.word(w, dst, text, at, at+size)
			at += size
		}
		if n > 0 {
			dst = append(dst, id)
			at += n
		}
	}
	return dst, nil
}

// EncodeSpecial is Encode with the ids of the file's template before and behind the text.
func (p *BytePairs) EncodeSpecial(dst []int32, text []byte) ([]int32, error) {
	dst, err := p.Encode(append(dst, p.template.before...), text)
	return append(dst, p.template.behind...), err
}

// Decode appends the bytes that ids name to dst.
func (p *BytePairs) Decode(dst []byte, ids []int32) ([]byte, error) {
	for i, id := range ids {
		if id < 0 || int(id) >= len(p.text) {
			return dst, outOfRange(bpeName, ids, i, len(p.text))
		}
		dst = append(dst, p.text[id]...)
	}
	return dst, nil
}

// JSON returns the file that was read, or the trained vocabulary's.
func (p *BytePairs) JSON() ([]byte, error) {
	if p.file != nil {
		return p.file, nil
	}
	return p.trained.JSON()
}

// parseBytePairs reads what Trained.JSON writes; merges may be pairs, as newer libraries have them.
func parseBytePairs(c *hf.Config) (Tokenizer, error) {
	t := &Trained{pattern: split.GPT2}
	byteLevel, regex := c.PreTokenizer, true
	if c.PreTokenizer["type"] == "Sequence" {
		parts, _ := c.PreTokenizer["pretokenizers"].([]any)
		if len(parts) != 2 {
			return nil, fmt.Errorf("unsupported pre_tokenizer: a sequence of %d", len(parts))
		}
		cut, _ := parts[0].(map[string]any)
		byteLevel, _ = parts[1].(map[string]any)
		pattern, _ := cut["pattern"].(map[string]any)
		t.pattern, _ = pattern["Regex"].(string)
		regex = false
		err := expect(
			setting{"pre_tokenizer", cut, "type", "Split"}, setting{"pre_tokenizer", cut, "behavior", "Isolated"},
			setting{"pre_tokenizer", cut, "invert", false},
		)
		if err != nil {
			return nil, err
		}
	}
	err := expect(append([]setting{
		{"pre_tokenizer", byteLevel, "type", "ByteLevel"},
		{"pre_tokenizer", byteLevel, "add_prefix_space", false},
		{"pre_tokenizer", byteLevel, "use_regex", regex},
	}, byteLevelBPE(c)...)...)
	if err != nil {
		return nil, err
	}
	t.ignoreMerges = c.Model["ignore_merges"] == true
	vocab, _ := c.Model["vocab"].(map[string]any)
	if err := t.addTokens(vocab, c.AddedTokens); err != nil {
		return nil, err
	}
	t.Tokens = make([]string, len(vocab))
	given := make([]bool, len(vocab))
	for token, value := range vocab {
		id, ok := value.(float64)
		if !ok || id != math.Trunc(id) || id < 0 || id >= float64(len(vocab)) || given[int(id)] {
			return nil, fmt.Errorf("vocab: id %v of %q is not one of 0 … %d, each once", value, token, len(vocab)-1)
		}
		t.Tokens[int(id)], given[int(id)] = token, true
	}
	list, _ := c.Model["merges"].([]any)
	for i, m := range list {
		var pair [2]string
		ok := false
		switch m := m.(type) {
		case string:
			pair[0], pair[1], ok = strings.Cut(m, " ")
		case []any:
			if len(m) == 2 {
				var ok1, ok2 bool
				pair[0], ok1 = m[0].(string)
				pair[1], ok2 = m[1].(string)
				ok = ok1 && ok2
			}
		}
		if !ok {
			return nil, fmt.Errorf("merges: %d is no pair of tokens", i)
		}
		t.Merges = append(t.Merges, pair)
	}
	p, err := newBytePairs(t)
	if err != nil {
		return nil, err
	}
	p.template, err = readTemplate(c.PostProcessor)
	for _, id := range append(p.template.before, p.template.behind...) {
		if int(id) >= len(t.Tokens) || id < 0 {
			return nil, fmt.Errorf("post_processor: id %d is not in the vocabulary of %d", id, len(t.Tokens))
		}
	}
	return p, err
}

// addTokens notes the added tokens of a file, and puts those into vocab that are not there.
func (t *Trained) addTokens(vocab map[string]any, added []hf.TokenConfig) error {
	t.special = map[int]bool{}
	for _, a := range added {
		if a.SingleWord || a.Lstrip || a.Rstrip {
			return fmt.Errorf("added_tokens: %q: single_word, lstrip and rstrip are unsupported", a.Content)
		}
		if a.Content == "" {
			return errors.New("added_tokens: one is empty")
		}
		if id, ok := vocab[a.Content].(float64); ok && int64(id) != a.Id {
			return fmt.Errorf("added_tokens: %q has the id %d, and %v in the vocabulary", a.Content, a.Id, id)
		}
		vocab[a.Content] = float64(a.Id)
		t.special[int(a.Id)] = true
	}
	return nil
}

// isSpecial tells whether an id stands for no text.
func (t *Trained) isSpecial(id int) bool { return id < t.specials || t.special[id] }

// readTemplate reads what a post-processor puts round one text. ByteLevel, which only moves offsets, changes no ids.
func readTemplate(post map[string]any) (template, error) {
	switch post["type"] {
	case nil, "ByteLevel":
		return template{}, nil
	case "Sequence":
		var t template
		parts, _ := post["processors"].([]any)
		for _, part := range parts {
			m, _ := part.(map[string]any)
			next, err := readTemplate(m)
			if err != nil {
				return t, err
			}
			t.before, t.behind = append(next.before, t.before...), append(t.behind, next.behind...)
		}
		return t, nil
	case "TemplateProcessing":
	default:
		return template{}, fmt.Errorf("unsupported post_processor %v", post["type"])
	}
	var t template
	known, _ := post["special_tokens"].(map[string]any)
	single, _ := post["single"].([]any)
	text := false
	for _, item := range single {
		m, _ := item.(map[string]any)
		if s, ok := m["Sequence"].(map[string]any); ok && s["id"] == "A" && !text {
			text = true
			continue
		}
		s, _ := m["SpecialToken"].(map[string]any)
		name, _ := s["id"].(string)
		entry, _ := known[name].(map[string]any)
		list, _ := entry["ids"].([]any)
		if len(list) == 0 {
			return t, fmt.Errorf("post_processor: unsupported item %v of the template", item)
		}
		for _, v := range list {
			id, ok := v.(float64)
			if !ok || id != math.Trunc(id) || id < 0 || id > math.MaxInt32 {
				return t, fmt.Errorf("post_processor: %v is no id", v)
			}
			if text {
				t.behind = append(t.behind, int32(id))
			} else {
				t.before = append(t.before, int32(id))
			}
		}
	}
	if !text {
		return t, errors.New("post_processor: a template without the text")
	}
	return t, nil
}
