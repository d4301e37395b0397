package tokenizer

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

const sentencePieceName = "sentencepiece"

// SentencePiece encodes with the vocabulary of a SentencePiece model, by merges (BPE) or by scores (unigram).
//
// Inside, a space stands for itself where pieces have U+2581: text then needs no copy, and since the format cannot tell
// the two apart, U+2581 in a text becomes a space.
type SentencePiece struct {
	model    *spModel
	bpe      *bpe
	unigram  *unigram
	charsmap *charsmap
	users    *matcher // user-defined pieces as they stand in raw text
	frozen   *matcher // the same in normalized text; only for merges, which must not touch them
	identity bool     // normalization does nothing but the dummy prefix
	decoded  []string // text of each piece, with spaces
	specials Specials
	addBOS   bool
	addEOS   bool
	lent     *scratches
}

// ParseModel reads a SentencePiece .model file. name is the file's, for errors. A model of a type other than BPE and
// unigram, and any setting that would change ids and is not supported, is an error that says what it is.
func ParseModel(file []byte, name string) (*SentencePiece, error) {
	m, err := readModel(file)
	if err != nil {
		return nil, modelError(name, "not a SentencePiece model: "+err.Error())
	}
	s, err := newSentencePiece(m)
	if err != nil {
		return nil, modelError(name, err.Error())
	}
	return s, nil
}

func modelError(name, problem string) error {
	return &Error{
		Source: name, Offset: -1, Problem: problem,
		Fix: "use a SentencePiece model of type BPE or unigram, copied whole; or a tokenizer.json",
	}
}

func newSentencePiece(m *spModel) (*SentencePiece, error) {
	switch {
	case len(m.pieces) == 0:
		return nil, fmt.Errorf("no pieces")
	case m.kind != modelBPE && m.kind != modelUnigram:
		return nil, fmt.Errorf("unsupported model type %d: only BPE (2) and unigram (1) are", m.kind)
	case m.spaceAtEnd:
		return nil, fmt.Errorf("unsupported treat_whitespace_as_suffix")
	case m.rewrites:
		return nil, fmt.Errorf("unsupported denormalizer_spec")
	}
	s := &SentencePiece{model: m, lent: &scratches{}, specials: noSpecials()}
	fallback, err := s.readPieces()
	if err != nil {
		return nil, err
	}
	if len(m.charsmap) > 0 {
		if s.charsmap, err = readCharsmap(m.charsmap); err != nil {
			return nil, err
		}
	}
	s.identity = s.charsmap == nil && !m.removeExtra && s.users.empty()
	if m.kind == modelBPE {
		s.bpe, err = s.newBPE(fallback)
	} else {
		s.newUnigram(fallback)
	}
	s.addBOS = s.specials.BOS >= 0
	return s, err
}

// readPieces checks the vocabulary and finds the pieces with a meaning.
func (s *SentencePiece) readPieces() (fallback *[256]int32, err error) {
	m := s.model
	seen := make(map[string]bool, len(m.pieces))
	var bytesOf [256]int32
	found := 0
	var users, inside []string
	var userIDs []int32
	s.decoded = make([]string, len(m.pieces))
	for i, p := range m.pieces {
		id := int32(i)
		switch {
		case p.text == "":
			return nil, fmt.Errorf("piece %d is empty", i)
		case len(p.text) > maxPieceBytes:
			return nil, fmt.Errorf("piece %d of %d bytes is longer than %d", i, len(p.text), maxPieceBytes)
		case !utf8.ValidString(p.text):
			return nil, fmt.Errorf("piece %d, %q, is not valid UTF-8", i, p.text)
		case seen[p.text]:
			return nil, fmt.Errorf("piece %d, %q, stands there twice", i, p.text)
		case math.IsNaN(float64(p.score)) || math.IsInf(float64(p.score), 0):
			return nil, fmt.Errorf("piece %d, %q, has the score %v", i, p.text, p.score)
		}
		seen[p.text] = true
		s.decoded[i] = strings.ReplaceAll(p.text, spaceMark, " ")
		switch p.kind {
		case pieceNormal, pieceUnused:
		case pieceUnknown:
			if s.specials.Unknown >= 0 {
				return nil, fmt.Errorf("pieces %d and %d are both of type unknown", s.specials.Unknown, i)
			}
			s.specials.Unknown, s.decoded[i] = id, m.unkSurface
		case pieceControl:
			s.decoded[i] = ""
			switch p.text {
			case m.bos:
				s.specials.BOS = id
			case m.eos:
				s.specials.EOS = id
			case m.pad:
				s.specials.Pad = id
			}
		case pieceUser:
			users, inside, userIDs = append(users, p.text), append(inside, s.inside(p.text)), append(userIDs, id)
		case pieceByte:
			var b byte
			if n, err := fmt.Sscanf(p.text, "<0x%02X>", &b); n != 1 || err != nil || p.text != byteToken(b) {
				return nil, fmt.Errorf("piece %d, %q, is not a byte", i, p.text)
			}
			bytesOf[b] = id
			s.decoded[i] = string([]byte{b})
			found++
		default:
			return nil, fmt.Errorf("piece %d, %q, has the unknown type %d", i, p.text, p.kind)
		}
	}
	if s.specials.Unknown < 0 {
		return nil, fmt.Errorf("no piece of type unknown")
	}
	if len(users) > 0 {
		s.users = newMatcher(users, userIDs)
		s.frozen = newMatcher(inside, userIDs)
	}
	if m.byteFallback {
		if found != 256 {
			return nil, fmt.Errorf("byte_fallback with %d byte pieces, not 256", found)
		}
		fallback = &bytesOf
	}
	return fallback, nil
}

// byteToken is how vocabularies spell a byte.
func byteToken(b byte) string { return fmt.Sprintf("<0x%02X>", b) }

// inside is the text of a piece with spaces as they stand in normalized text here; "" when no text can hold it.
func (s *SentencePiece) inside(text string) string {
	if !s.model.escape {
		return text
	}
	if strings.Contains(text, " ") {
		return ""
	}
	return strings.ReplaceAll(text, spaceMark, " ")
}

// newBPE makes the merges. SentencePiece merges neighbours whose joined text is a piece, the highest score first, the
// leftmost of equals; here every way to cut a piece in two symbols is a merge, ranked by the piece's score.
func (s *SentencePiece) newBPE(fallback *[256]int32) (*bpe, error) {
	m := s.model
	b := &bpe{vocab: int32(len(m.pieces)), fallback: fallback, marked: m.escape, unknown: s.specials.Unknown, fuse: fallback == nil}
	b.clearChars()
	symbols := make(map[string]int32, len(m.pieces))
	reserved := map[string]int32{}
	var scores []float32
	splits := 0
	for i, p := range m.pieces {
		text := s.inside(p.text)
		if text == "" {
			continue
		}
		if p.kind != pieceNormal && p.kind != pieceUser && p.kind != pieceUnused {
			reserved[text] = int32(i)
			continue
		}
		symbols[text] = int32(i)
		scores = append(scores, p.score)
		splits += utf8.RuneCountInString(text) - 1
	}
	slices.SortFunc(scores, func(a, b float32) int { return cmp.Compare(b, a) })
	scores = slices.Compact(scores)
	symbol := func(text string) (int32, bool) {
		if id, ok := symbols[text]; ok {
			return id, true
		}
		r, n := utf8.DecodeRuneInString(text)
		if n != len(text) {
			return 0, false
		}
		id, ok := reserved[text]
		if !ok {
			id = b.vocab + int32(len(b.hidden))
			b.hidden = append(b.hidden, r)
		}
		symbols[text] = id
		return id, true
	}
	b.pairs, b.joinWide = newPairTable(splits), newPairTable(splits)
	for i, p := range m.pieces {
		if p.kind != pieceNormal && p.kind != pieceUser && p.kind != pieceUnused {
			continue
		}
		text := s.inside(p.text)
		rank, _ := slices.BinarySearchFunc(scores, p.score, func(a, b float32) int { return cmp.Compare(b, a) })
		for at := range text {
			left, ok := symbol(text[:at])
			if at == 0 || !ok {
				continue
			}
			right, ok := symbol(text[at:])
			if !ok {
				continue
			}
			if p.kind == pieceUnused {
				return nil, fmt.Errorf("unsupported unused piece %d, %q, in a BPE model: merges reach it", i, p.text)
			}
			b.pairs.put(left, right, uint32(rank), int32(i))
			b.setJoin(text[:at], text[at:])
		}
	}
	for text, id := range reserved {
		if r, n := utf8.DecodeRuneInString(text); n == len(text) {
			b.setChar(r, id)
		}
	}
	for text, id := range symbols {
		if r, n := utf8.DecodeRuneInString(text); n == len(text) {
			b.setChar(r, id)
		}
	}
	return b, nil
}

func (s *SentencePiece) newUnigram(fallback *[256]int32) {
	m := s.model
	texts, scores := make([]string, len(m.pieces)), make([]float64, len(m.pieces))
	lowest, highest := float32(math.MaxFloat32), float32(-math.MaxFloat32)
	for i, p := range m.pieces {
		scores[i] = float64(p.score)
		switch p.kind {
		case pieceNormal:
			lowest, highest = min(lowest, p.score), max(highest, p.score)
			texts[i] = s.inside(p.text)
		case pieceUser:
			texts[i] = s.inside(p.text)
		}
	}
	for i, p := range m.pieces {
		if p.kind == pieceUser { // better than any way through normal pieces
			scores[i] = float64(float32(len(p.text))*highest) - 0.1
		}
	}
	s.unigram = newUnigram(texts, scores)
	s.unigram.single, s.unigram.marked, s.unigram.unknown, s.unigram.fallback = true, m.escape, s.specials.Unknown, fallback
	s.unigram.penalty = float64(lowest - unknownPenalty)
}

// Name returns "sentencepiece".
func (s *SentencePiece) Name() string { return sentencePieceName }

// VocabSize returns the number of pieces.
func (s *SentencePiece) VocabSize() int { return len(s.model.pieces) }

// Specials returns the ids with a meaning.
func (s *SentencePiece) Specials() Specials { return s.specials }

// Encode appends the ids of text to dst, without BOS and EOS; the spelling of a control piece in the text is text. A byte
// that is not part of valid UTF-8 counts as U+FFFD. It never fails.
func (s *SentencePiece) Encode(dst []int32, text []byte) ([]int32, error) {
	w := s.lent.get()
	defer s.lent.put(w)
	if len(text) == 0 {
		return dst, nil
	}
	dst = slices.Grow(dst, len(text)/4)
	text, w.text[0] = validUTF8(w.text[0], text)
	switch {
	case s.bpe == nil:
		w.text[1] = s.normalize(w.text[1][:0], text)
		return s.unigram.spell(w, dst, w.text[1]), nil
	case !s.identity || s.model.escape && bytes.Contains(text, []byte(spaceMark)):
		w.text[1] = s.normalize(w.text[1][:0], text)
		return s.encodeFrozen(w, dst, w.text[1]), nil
	case s.model.addDummyPrefix: // only the first word needs a copy
		start, end := len(dst), s.bpe.wordEnd(text, 0)
		w.text[1] = append(append(w.text[1][:0], ' '), text[:end]...)
		dst = s.bpe.encode(w, dst, w.text[1])
		at := len(dst)
		return s.bpe.joinUnknown(s.bpe.encode(w, dst, text[end:]), start, at), nil
	}
	return s.bpe.encode(w, dst, text), nil
}

// EncodeSpecial is Encode with BOS before the text, where the model has one, and EOS behind it only where a GGUF file
// said so.
func (s *SentencePiece) EncodeSpecial(dst []int32, text []byte) ([]int32, error) {
	if s.addBOS {
		dst = append(dst, s.specials.BOS)
	}
	dst, err := s.Encode(dst, text)
	if s.addEOS && err == nil {
		dst = append(dst, s.specials.EOS)
	}
	return dst, err
}

// encodeFrozen encodes normalized text round the user-defined pieces in it.
func (s *SentencePiece) encodeFrozen(w *scratch, dst []int32, text []byte) []int32 {
	start := len(dst)
	for at := 0; at < len(text); {
		end, n, id := len(text), 0, int32(0)
		if !s.frozen.empty() {
			end, n, id = s.frozen.find(text, at)
		}
		if end > at {
			before := len(dst)
			dst = s.bpe.joinUnknown(s.bpe.encode(w, dst, text[at:end]), start, before)
		}
		if n > 0 {
			dst = append(dst, id)
		}
		at = end + n
	}
	return dst
}

// normalize appends the normalized form of text to dst, spaces as spaces. Source: Normalizer::Normalize in
// SentencePiece's normalizer.cc.
func (s *SentencePiece) normalize(dst, text []byte) []byte {
	m := s.model
	if m.removeExtra {
		for len(text) > 0 {
			chunk, n := s.chunk(text)
			if string(chunk) != " " {
				break
			}
			text = text[n:]
		}
	}
	if len(text) == 0 {
		return dst
	}
	if m.addDummyPrefix {
		dst = append(dst, ' ')
	}
	afterSpace := m.removeExtra
	for len(text) > 0 {
		chunk, n := s.chunk(text)
		text = text[n:]
		for afterSpace && len(chunk) > 0 && chunk[0] == ' ' {
			chunk = chunk[1:]
		}
		if len(chunk) == 0 {
			continue
		}
		dst = append(dst, chunk...)
		if m.escape && len(chunk) >= len(spaceMark) && bytes.Contains(chunk, []byte(spaceMark)) {
			dst = append(dst[:len(dst)-len(chunk)], bytes.ReplaceAll(chunk, []byte(spaceMark), []byte{' '})...)
		}
		afterSpace = m.removeExtra && chunk[len(chunk)-1] == ' '
	}
	if m.removeExtra {
		dst = bytes.TrimRight(dst, " ")
	}
	return dst
}

// chunk returns what the beginning of text becomes, and how much of text that is.
func (s *SentencePiece) chunk(text []byte) ([]byte, int) {
	if !s.users.empty() {
		if _, n := s.users.prefix(text, 0); n > 0 {
			return text[:n], n
		}
	}
	if s.charsmap != nil {
		if replacement, n := s.charsmap.lookup(text, false); n > 0 {
			return replacement, n
		}
	}
	_, n := utf8.DecodeRune(text)
	return text[:n], n
}

// Decode appends the text of ids to dst: control pieces are nothing, the unknown piece is U+2047 between spaces, bytes
// are themselves, and the space that the dummy prefix put before the text goes.
func (s *SentencePiece) Decode(dst []byte, ids []int32) ([]byte, error) {
	start, prefix := len(dst), s.model.addDummyPrefix || s.model.removeExtra
	for i, id := range ids {
		if id < 0 || int(id) >= len(s.decoded) {
			return dst, outOfRange(sentencePieceName, ids, i, len(s.decoded))
		}
		text, kind := s.decoded[id], s.model.pieces[id].kind
		if prefix && len(dst) == start && kind != pieceByte && kind != pieceUnknown && strings.HasPrefix(text, " ") {
			text = text[1:]
			prefix = s.model.removeExtra
		}
		dst = append(dst, text...)
	}
	return dst, nil
}
