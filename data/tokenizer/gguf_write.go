package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	hf "github.com/sugarme/tokenizer"

	"mmfree/data/tokenizer/split"
)

// ToGGUF returns a tokenizer's vocabulary as GGUF files hold it. A tokenizer of which the programs that read those would make
// another is an error that says why.
func ToGGUF(t Tokenizer) (*GGUF, error) {
	g, err := toGGUF(t)
	if err != nil {
		return nil, &Error{
			Source: "tokenizer " + t.Name(), Offset: -1, Problem: "has no form in GGUF: " + err.Error(),
			Fix: "text must be turned into ids by this program",
		}
	}
	return g, nil
}

func toGGUF(t Tokenizer) (*GGUF, error) {
	s := t.Specials()
	g := &GGUF{BOS: s.BOS, EOS: s.EOS, Unknown: s.Unknown, Pad: s.Pad}
	switch t := t.(type) {
	case Bytes:
		return g, g.fromBytes()
	case *Chars:
		return g, g.fromChars(t)
	case *SentencePiece:
		return g, g.fromSentencePiece(t)
	case *Pipeline:
		return g, g.fromPipeline(t)
	}
	return nil, errors.New("it is of another kind")
}

// Extend adds tokens that no text has, until there are n: a model may have more embeddings than its tokenizer has tokens.
func (g *GGUF) Extend(n int) {
	for id := len(g.Tokens); id < n; id++ {
		g.add(fmt.Sprintf("[PAD%d]", id), pieceUnused)
	}
	if g.Scores != nil {
		g.Scores = append(g.Scores, make([]float32, len(g.Tokens)-len(g.Scores))...)
	}
}

func (g *GGUF) add(text string, kind int) {
	g.Tokens, g.Types = append(g.Tokens, text), append(g.Types, int32(kind))
}

func (g *GGUF) fromBytes() error {
	g.Model, g.Pre, g.Merges = "gpt2", "gpt-2", []string{}
	for _, r := range byteChars {
		g.add(string(r), pieceNormal)
	}
	return nil
}

// fromChars makes a SentencePiece vocabulary without merges.
func (g *GGUF) fromChars(c *Chars) error {
	g.Model, g.Scores = "llama", make([]float32, len(c.chars))
	for _, r := range c.chars {
		text := string(r)
		switch text {
		case spaceMark:
			return errors.New("the character U+2581 stands for a space there")
		case " ":
			text = spaceMark
		}
		g.add(text, pieceNormal)
	}
	return nil
}

func (g *GGUF) fromSentencePiece(s *SentencePiece) error {
	m := s.model
	g.Model = "llama"
	switch {
	case m.kind == modelUnigram:
		g.Model = "t5"
	case len(m.charsmap) > 0:
		return errors.New("it normalizes text")
	}
	for _, p := range m.pieces {
		g.add(p.text, p.kind)
		g.Scores = append(g.Scores, p.score)
	}
	g.AddSpacePrefix, g.RemoveExtra, g.Charsmap = m.addDummyPrefix, m.removeExtra, m.charsmap
	g.AddBOS, g.AddEOS = s.addBOS, s.addEOS
	return nil
}

// fromPipeline knows two kinds of tokenizer.json: byte-level BPE, and what is made of a SentencePiece BPE.
func (g *GGUF) fromPipeline(p *Pipeline) error {
	var c hf.Config
	if err := decode(p.file, &c); err != nil {
		return err
	}
	b, ok := p.model.(*bpe)
	if !ok {
		return errors.New("it is of another kind")
	}
	for _, a := range c.AddedTokens {
		if a.SingleWord || a.Lstrip || a.Rstrip {
			return fmt.Errorf("its token %q looks at what stands beside it", a.Content)
		}
	}
	decoders, err := flatten("decoder", c.Decoder, "decoders")
	if err != nil {
		return err
	}
	kinds := ""
	for _, part := range decoders {
		kinds += " " + part.kind()
	}
	switch {
	case p.raw && kinds == " ByteLevel":
		return g.fromBytePairs(p, b, &c)
	case p.normalizer.marked && p.normalizer.prepends && len(p.normalizer.steps) == 2 && b.whole == nil && kinds == " Replace ByteFallback Fuse Strip":
		return g.fromMarked(p, b, &c)
	}
	return errors.New("its steps are others than a byte-level BPE's, or than those made of a SentencePiece BPE")
}

// vocabulary takes tokens and merges of a tokenizer.json.
func (g *GGUF) vocabulary(c *hf.Config, size int) error {
	ids, err := vocabularyObject(c.Model["vocab"])
	if err != nil {
		return err
	}
	g.Tokens, g.Types = make([]string, size), make([]int32, size)
	for token, id := range ids {
		g.Tokens[id], g.Types[id] = token, pieceNormal
	}
	for _, a := range c.AddedTokens {
		g.Tokens[a.Id], g.Types[a.Id] = a.Content, pieceUser
		if a.Special {
			g.Types[a.Id] = pieceControl
		}
	}
	for id, token := range g.Tokens {
		if token == "" {
			g.Tokens[id], g.Types[id] = fmt.Sprintf("[PAD%d]", id), pieceUnused
		}
	}
	list, _ := c.Model["merges"].([]any)
	g.Merges = make([]string, len(list))
	for i, v := range list {
		left, right, _ := mergePair(v) // as it was read before
		g.Merges[i] = left + " " + right
	}
	return nil
}

// flags takes what is put round a text: BOS before, EOS behind.
func (g *GGUF) flags(before, after []int32) error {
	g.AddBOS, g.AddEOS = len(before) > 0, len(after) > 0
	if g.AddBOS && !slices.Equal(before, []int32{g.BOS}) || g.AddEOS && !slices.Equal(after, []int32{g.EOS}) {
		return errors.New("it puts other tokens than BOS and EOS round a text")
	}
	return nil
}

func (g *GGUF) fromBytePairs(p *Pipeline, b *bpe, c *hf.Config) (err error) {
	g.Model = "gpt2"
	if g.Pre, err = preName(c.PreTokenizer); err != nil {
		return err
	}
	switch {
	case c.Normalizer != nil && (g.Pre != "qwen2" || c.Normalizer["type"] != "NFC"):
		return errors.New("it normalizes text")
	case g.Pre == "llama-bpe" && b.whole == nil && !p.reachesAll(b):
		return errors.New("its merges do not reach every token, which a reader would take whole")
	}
	if err := g.vocabulary(c, len(p.tokens)); err != nil {
		return err
	}
	return g.flags(p.before, p.after)
}

// preName returns the name under which readers know the pattern that cuts a text into words.
func preName(part map[string]any) (string, error) {
	pattern := split.GPT2
	if part["type"] == "Sequence" {
		parts, _ := part["pretokenizers"].([]any)
		if len(parts) != 2 {
			return "", errors.New("it cuts texts by several patterns")
		}
		cut, _ := parts[0].(map[string]any)
		regex, _ := cut["pattern"].(map[string]any)
		pattern, _ = regex["Regex"].(string)
		if cut["type"] != "Split" || cut["behavior"] != "Isolated" || cut["invert"] == true {
			return "", errors.New("it cuts texts otherwise than at each match of a pattern")
		}
		part, _ = parts[1].(map[string]any)
		if part["use_regex"] != false {
			return "", errors.New("it cuts texts by two patterns")
		}
	} else if part["use_regex"] == false {
		return "", errors.New("it does not cut texts into words")
	}
	if part["add_prefix_space"] != false {
		return "", errors.New("it puts a space before a text")
	}
	name, ok := map[string]string{split.GPT2: "gpt-2", split.Llama3: "llama-bpe", split.Qwen2: "qwen2"}[pattern]
	if !ok {
		return "", errors.New("it cuts texts into words by a pattern without a name there")
	}
	return name, nil
}

// reachesAll reports whether every token but the added ones is what its own bytes are merged to.
func (p *Pipeline) reachesAll(b *bpe) bool {
	w := p.lent.get()
	defer p.lent.put(w)
	var ids []int32
	for id, text := range p.decoder.texts {
		if _, added := p.added.flags[int32(id)]; added || text == "" {
			continue
		}
		if ids = b.ids(w, ids[:0], []byte(text), 0, len(text)); len(ids) != 1 || ids[0] != int32(id) {
			return false
		}
	}
	return true
}

// fromMarked gives a piece the rank of its first merge as its score, which is where the ranks were taken from when the file was
// made of a SentencePiece model.
func (g *GGUF) fromMarked(p *Pipeline, b *bpe, c *hf.Config) error {
	if err := g.vocabulary(c, len(p.tokens)); err != nil {
		return err
	}
	ids := make(map[string]int, len(g.Tokens))
	for id, text := range g.Tokens {
		ids[text] = id
	}
	g.Model, g.AddSpacePrefix, g.Scores = "llama", true, make([]float32, len(g.Tokens))
	pairs := make(map[string]bool, len(g.Merges))
	last := ""
	for rank, merge := range g.Merges {
		pairs[merge] = true
		piece := strings.Replace(merge, " ", "", 1)
		if piece == last {
			continue
		}
		if id := ids[piece]; g.Scores[id] == 0 {
			g.Scores[id], last = -float32(rank+1), piece
			continue
		}
		return fmt.Errorf("merges that make %q do not follow each other", piece)
	}
	for id, text := range g.Tokens {
		if g.Types[id] != pieceNormal {
			continue
		}
		for at := range text {
			_, left := ids[text[:at]]
			_, right := ids[text[at:]]
			if at > 0 && left && right && !pairs[text[:at]+" "+text[at:]] {
				return fmt.Errorf("%q can be made of %q and %q, which no merge does", text, text[:at], text[at:])
			}
		}
	}
	g.Merges = nil
	if g.Unknown >= 0 {
		g.Types[g.Unknown] = pieceUnknown
	}
	if b.fallback != nil {
		for _, id := range b.fallback {
			g.Types[id] = pieceByte
		}
	}
	return g.flags(p.before, p.after)
}
