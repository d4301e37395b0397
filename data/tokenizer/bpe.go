package tokenizer

import "unicode/utf8"

// bpe is a byte-pair vocabulary ready to encode. A symbol is what merging works on: an id of the vocabulary, a character
// that pieces contain but that is no piece itself (numbered behind the vocabulary), or an unknown character r, as ^r.
type bpe struct {
	pairs *pairTable
	// What a word starts as: symbols of bytes, or of characters.
	byteLevel bool
	byteSym   [256]int32
	ascii     [utf8.RuneSelf]int32
	wide      map[rune]int32
	// Characters between which nothing can ever merge end a word: joins holds those between which a merge exists.
	joinASCII [utf8.RuneSelf * utf8.RuneSelf]bool
	joinWide  *pairTable
	whole     map[string]int32 // words that are taken as they are; nil = none
	// What becomes of unknown characters: ids of their bytes, else the unknown id, else nothing.
	vocab    int32 // symbols below are ids
	hidden   []rune
	fallback *[256]int32
	marked   bool  // a space stands for U+2581
	unknown  int32 // -1 = none
	fuse     bool  // unknown ids side by side are one
	drop     bool  // unknown characters are left out before words are cut, so that what stood beside them may merge
}

// ids appends the ids of the piece text[at:end].
func (b *bpe) ids(s *scratch, dst []int32, text []byte, at, end int) []int32 {
	if b.byteLevel {
		return s.word(b, dst, text, at, end)
	}
	return b.encode(s, dst, text[at:end])
}

// known returns text without the characters that are not in the vocabulary.
func (b *bpe) known(s *scratch, text []byte) []byte {
	s.kept = s.kept[:0]
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		known := r < utf8.RuneSelf && b.ascii[r] >= 0
		if r >= utf8.RuneSelf {
			_, known = b.wide[r]
		}
		if known {
			s.kept = append(s.kept, text[at:at+n]...)
		}
		at += n
	}
	return s.kept
}

// encode appends the ids of a piece of valid UTF-8 where symbols are characters.
func (b *bpe) encode(s *scratch, dst []int32, text []byte) []int32 {
	if b.whole != nil {
		if id, ok := b.whole[string(text)]; ok {
			return append(dst, id)
		}
	}
	if b.drop {
		text = b.known(s, text)
	}
	start := len(dst)
	for at := 0; at < len(text); {
		end := b.wordEnd(text, at)
		dst = b.joinUnknown(s.word(b, dst, text, at, end), start, len(dst))
		at = end
	}
	return dst
}

// joinUnknown drops dst[at] where it and its neighbour before, if not before start, are both the unknown id and unknown
// ids side by side are one.
func (b *bpe) joinUnknown(dst []int32, start, at int) []int32 {
	if b.fuse && at > start && at < len(dst) && dst[at] == b.unknown && dst[at-1] == b.unknown {
		return append(dst[:at], dst[at+1:]...)
	}
	return dst
}

// wordEnd returns where the word that begins at text[at] ends: at the first two characters that no merge ever brings
// into one symbol. Every merge that reaches over that place would have to join a symbol that ends in the first of them
// with one that starts with the second, and there is none: so both sides merge as they would alone, and a word's ids do
// not depend on its surroundings.
func (b *bpe) wordEnd(text []byte, at int) int {
	x, n := rune(text[at]), 1
	if x >= utf8.RuneSelf {
		x, n = utf8.DecodeRune(text[at:])
	}
	for at += n; at < len(text); at += n {
		y := rune(text[at])
		n = 1
		if x|y < utf8.RuneSelf {
			if !b.joinASCII[x<<7|y] {
				return at
			}
			x = y
			continue
		}
		if y >= utf8.RuneSelf {
			y, n = utf8.DecodeRune(text[at:])
		}
		if rank, _ := b.joinWide.find(x, y); rank == noRank {
			return at
		}
		x = y
	}
	return at
}

// spell appends the ids of a word.
func (b *bpe) spell(s *scratch, dst []int32, word []byte) []int32 {
	symbols := s.symbols[:0]
	if b.byteLevel {
		if b.whole != nil {
			if id, ok := b.whole[string(word)]; ok {
				return append(dst, id)
			}
		}
		for _, c := range word {
			symbols = append(symbols, b.byteSym[c])
		}
	} else {
		for at := 0; at < len(word); {
			if c := word[at]; c < utf8.RuneSelf {
				symbols = append(symbols, b.ascii[c])
				at++
				continue
			}
			r, n := utf8.DecodeRune(word[at:])
			sym, ok := b.wide[r]
			if !ok {
				sym = ^r
			}
			symbols = append(symbols, sym)
			at += n
		}
	}
	s.symbols = symbols
	return b.emit(dst, s.merger.merge(b.pairs, symbols))
}

// emit appends the ids of symbols.
func (b *bpe) emit(dst, symbols []int32) []int32 {
	start := len(dst)
	for _, sym := range symbols {
		if sym >= 0 && sym < b.vocab {
			dst = append(dst, sym)
			continue
		}
		r := ^sym
		if sym >= 0 {
			r = b.hidden[sym-b.vocab]
		}
		switch {
		case b.fallback != nil:
			if b.marked && r == ' ' {
				r = spaceRune
			}
			var buf [utf8.UTFMax]byte
			for _, c := range utf8.AppendRune(buf[:0], r) {
				dst = append(dst, b.fallback[c])
			}
		case b.unknown >= 0:
			dst = b.joinUnknown(append(dst, b.unknown), start, len(dst))
		}
	}
	return dst
}

// setChar sets the symbol of a character.
func (b *bpe) setChar(r rune, sym int32) {
	if r < utf8.RuneSelf {
		b.ascii[r] = sym
		return
	}
	if b.wide == nil {
		b.wide = map[rune]int32{}
	}
	b.wide[r] = sym
}

// clearChars makes every character unknown.
func (b *bpe) clearChars() {
	for r := range b.ascii {
		b.ascii[r] = ^int32(r)
	}
	for c := range b.byteSym {
		b.byteSym[c] = ^int32(c)
	}
}

// setJoin notes that a merge exists between a symbol that ends in x and one that starts with y.
func (b *bpe) setJoin(left, right string) {
	x, _ := utf8.DecodeLastRuneInString(left)
	y, _ := utf8.DecodeRuneInString(right)
	if x|y < utf8.RuneSelf {
		b.joinASCII[x<<7|y] = true
		return
	}
	b.joinWide.put(x, y, 0, 0)
}
