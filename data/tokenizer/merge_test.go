package tokenizer

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// plainMerge looks for the lowest rank, the leftmost of equals, in the whole word before each merge.
func plainMerge(t *pairTable, word []int32) []int32 {
	for {
		best, at, product := uint32(noRank), 0, int32(0)
		for i := 1; i < len(word); i++ {
			if rank, id := t.find(word[i-1], word[i]); rank < best {
				best, at, product = rank, i, id
			}
		}
		if best == noRank {
			return word
		}
		word = slices.Replace(slices.Clone(word), at-1, at+1, product)
	}
}

// Every way to merge gives what the plain one gives, for any table in which an id stands for one text.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := []string{"a", "b", "c"}
		ids := map[string]int32{"a": 0, "b": 1, "c": 2}
		table := newPairTable(64)
		for range rapid.IntRange(0, 30).Draw(t, "merges") {
			l := rapid.IntRange(0, len(texts)-1).Draw(t, "left")
			r := rapid.IntRange(0, len(texts)-1).Draw(t, "right")
			joined := texts[l] + texts[r]
			id, ok := ids[joined]
			if !ok {
				id = int32(len(texts))
				ids[joined], texts = id, append(texts, joined)
			}
			if rank, _ := table.find(int32(l), int32(r)); rank == noRank {
				table.put(int32(l), int32(r), uint32(rapid.IntRange(0, 12).Draw(t, "rank")), id)
			}
		}
		word := rapid.SliceOfN(rapid.Int32Range(-1, 2), 0, 150).Draw(t, "word")
		want := plainMerge(table, word)
		var m merger
		if got := m.merge(table, slices.Clone(word)); !slices.Equal(got, want) {
			t.Fatalf("%v: got %v, want %v", word, got, want)
		}
		if len(word) > 1 {
			if got := m.byHeap(table, slices.Clone(word)); !slices.Equal(got, want) {
				t.Fatalf("%v: the heap gives %v, want %v", word, got, want)
			}
			window, overlap := rapid.IntRange(1, 30).Draw(t, "window"), rapid.IntRange(1, 8).Draw(t, "overlap")
			if got := m.byWindows(table, slices.Clone(word), window, overlap); !slices.Equal(got, want) {
				t.Fatalf("%v: windows of %d+%d give %v, want %v", word, overlap, window, got, want)
			}
		}
	})
}

// A giant word costs in proportion to its length, also where tokens are longer than any window, by doubling or symbol by
// symbol: each symbol enters the heap a bounded number of times.
func TestGiantWord(t *testing.T) {
	double, grow := newPairTable(20), newPairTable(50_000)
	for i := range int32(20) {
		double.put(i, i, uint32(i), i+1)
	}
	for i := range int32(50_000) {
		grow.put(i, 0, uint32(50_000-i), i+1)
	}
	for name, table := range map[string]*pairTable{"double": double, "grow": grow} {
		for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
			var m merger
			m.merge(table, make([]int32, n))
			if m.moved > 8*n {
				t.Errorf("%s, %d symbols: %d entries of the heap", name, n, m.moved)
			}
		}
	}
}

// With GPT-2's vocabulary, too, windows give the heap's tokens, and join without falling back on it.
func TestWindows(t *testing.T) {
	tok, err := Parse(shared(t, "tokenizers/gpt2/tokenizer.json"), "gpt2")
	if err != nil {
		t.Fatal(err)
	}
	b := tok.(*Pipeline).model.(*bpe)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, letters := range []string{"a", "ab", " ", "-=", "ACGT", "abcdefghijklmnopqrstuvwxyz", "中国"} {
		word := make([]int32, 100_000)
		for i := range word {
			word[i] = b.byteSym[letters[rng.IntN(len(letters))]]
		}
		var heap, windows merger
		want := heap.byHeap(b.pairs, slices.Clone(word))
		if got := windows.merge(b.pairs, word); !slices.Equal(got, want) {
			t.Errorf("letters %q: windows differ from the heap", letters)
		}
		if 4*windows.moved > 5*heap.moved {
			t.Errorf("letters %q: %d entries of the heap, where the whole word takes %d", letters, windows.moved, heap.moved)
		}
	}
}

// plainSentencePiece is the algorithm of SentencePiece's bpe_model.cc on texts, over the whole text at once.
func plainSentencePiece(s *SentencePiece, text string) (ids []int32) {
	if text == "" {
		return nil
	}
	pieces := map[string]int32{}
	for i, p := range s.model.pieces {
		if p.kind == pieceNormal {
			pieces[p.text] = int32(i)
		}
	}
	var symbols []string
	for _, r := range spaceMark + strings.ReplaceAll(text, " ", spaceMark) {
		symbols = append(symbols, string(r))
	}
	for {
		best, at := float32(math.Inf(-1)), -1
		for i := 1; i < len(symbols); i++ {
			if id, ok := pieces[symbols[i-1]+symbols[i]]; ok && s.model.pieces[id].score > best {
				best, at = s.model.pieces[id].score, i
			}
		}
		if at < 0 {
			break
		}
		symbols = slices.Replace(symbols, at-1, at+1, symbols[at-1]+symbols[at])
	}
	for _, sym := range symbols {
		id, ok := pieces[sym]
		if !ok {
			id = s.specials.Unknown
		}
		if ok || len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
	}
	return ids
}

// Cutting a text into words that no merge crosses changes nothing, whatever the vocabulary.
func TestSentencePieceWords(t *testing.T) {
	char := rapid.SampledFrom([]string{"a", "b", spaceMark, "é", "."})
	rapid.Check(t, func(t *rapid.T) {
		m := defaultModel()
		m.kind, m.removeExtra = modelBPE, false
		m.pieces = []spPiece{{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}}
		seen := map[string]bool{}
		for range rapid.IntRange(1, 25).Draw(t, "pieces") {
			text := strings.Join(rapid.SliceOfN(char, 1, 4).Draw(t, "piece"), "")
			if !seen[text] {
				seen[text] = true
				m.pieces = append(m.pieces, spPiece{text, -float32(rapid.IntRange(0, 9).Draw(t, "score")), pieceNormal})
			}
		}
		read, err := readModel(m.write())
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSentencePiece(read)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", " ", "  ", "é", ".", "x", "日", "aab", "é. a"}), 0, 40).Draw(t, "text"), "")
		want := plainSentencePiece(s, text)
		for range 2 { // the second time from remembered words
			got, err := s.Encode(nil, []byte(text))
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q with %v: got %v, want %v", text, m.pieces, got, want)
			}
		}
	})
}

// plainUnigram tries every segmentation.
func plainUnigram(s *SentencePiece, text string) float64 {
	if text == "" {
		return 0
	}
	best := math.Inf(-1)
	_, n := utf8.DecodeRuneInString(text)
	hasChar := false
	for id, p := range s.model.pieces {
		if p.kind == pieceNormal && strings.HasPrefix(text, p.text) {
			best = max(best, s.unigram.scores[id]+plainUnigram(s, text[len(p.text):]))
			hasChar = hasChar || len(p.text) == n
		}
	}
	if !hasChar {
		best = max(best, s.unigram.penalty+plainUnigram(s, text[n:]))
	}
	return best
}

func TestUnigram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := defaultModel()
		m.removeExtra, m.addDummyPrefix, m.escape = false, false, false
		m.pieces = []spPiece{{"<unk>", 0, pieceUnknown}}
		seen := map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "pieces") {
			text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é"}), 1, 3).Draw(t, "piece"), "")
			if !seen[text] {
				seen[text] = true
				m.pieces = append(m.pieces, spPiece{text, -float32(rapid.IntRange(1, 64).Draw(t, "score")) / 4, pieceNormal})
			}
		}
		s, err := newSentencePiece(&m)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "x"}), 0, 10).Draw(t, "text"), "")
		ids, err := s.Encode(nil, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		sum, unknowns := 0.0, 0
		for _, id := range ids {
			if id == 0 {
				unknowns++
			} else {
				sum += s.unigram.scores[id]
			}
		}
		if unknowns == 0 && sum != plainUnigram(s, text) {
			t.Fatalf("%q: %v with the sum %v, the best is %v", text, ids, sum, plainUnigram(s, text))
		}
	})
}

func FuzzModel(f *testing.F) {
	m := defaultModel()
	m.pieces = []spPiece{{"<unk>", 0, pieceUnknown}, {"a", -1, pieceNormal}, {"aa", -2, pieceNormal}, {"<x>", 0, pieceUser}}
	f.Add(m.write())
	m.kind = modelBPE
	f.Add(m.write())
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, name := range []string{"a.model", "a.bin"} {
			tok, err := ParseAny(file, name)
			if err != nil {
				if !errors.Is(err, ErrTokenizer) {
					t.Fatalf("class of %v", err)
				}
				continue
			}
			ids, err := tok.Encode(nil, []byte("a <x>\xffaab"))
			if err != nil {
				continue
			}
			if _, err := tok.Decode(nil, ids); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A stream gives the text that decoding at once gives.
func TestStream(t *testing.T) {
	m := defaultModel()
	m.kind, m.removeExtra = modelBPE, false
	m.pieces = []spPiece{{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}, {spaceMark, -1, pieceNormal}, {"a", -2, pieceNormal}, {spaceMark + "a", -1, pieceNormal}}
	s, err := newSentencePiece(&m)
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := s.EncodeSpecial(nil, []byte("a a aa  a a a a a a a a a"))
	want, _ := s.Decode(nil, ids)
	stream, got := NewStream(s, ids[:1]), []byte(nil)
	for _, id := range ids[1:] {
		if got, err = stream.Next(got, id); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != string(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
