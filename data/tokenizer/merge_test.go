package tokenizer

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainMerge is the definition: as long as any neighbours merge, those of the lowest rank, the leftmost of equals.
func plainMerge(t *pairTable, word []int32) []int32 {
	for {
		best, at, product := uint32(noRank), -1, int32(0)
		for i := 1; i < len(word); i++ {
			if rank, id := t.find(word[i-1], word[i]); rank < best {
				best, at, product = rank, i, id
			}
		}
		if at < 0 {
			return word
		}
		word = slices.Replace(word, at-1, at+1, product)
	}
}

// TestMerge compares scan and heap with the definition, on random merges over few symbols and words round the length at
// which one gives way to the other.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const symbols = 12
		n := rapid.IntRange(0, 40).Draw(rt, "merges")
		table := newPairTable(n)
		symbol := rapid.Int32Range(0, symbols-1)
		for range n {
			table.put(symbol.Draw(rt, "left"), symbol.Draw(rt, "right"), rapid.Uint32Range(0, 20).Draw(rt, "rank"), symbol.Draw(rt, "product"))
		}
		word := rapid.SliceOfN(rapid.Int32Range(-2, 4), 0, 3*shortWord).Draw(rt, "word")
		want := plainMerge(table, slices.Clone(word))
		var m merger
		if got := m.merge(table, slices.Clone(word)); !slices.Equal(got, want) {
			rt.Fatalf("%v merges to %v, want %v", word, got, want)
		}
		if len(word) > 1 {
			if got := m.byHeap(table, slices.Clone(word)); !slices.Equal(got, want) {
				rt.Fatalf("by heap %v merges to %v, want %v", word, got, want)
			}
		}
	})
}

// TestGiantWord: what a word pushes on the heap grows in proportion to its length.
func TestGiantWord(t *testing.T) {
	table := newPairTable(20)
	for i := range int32(20) { // aa, aaaa, …
		table.put(i, i, uint32(i), i+1)
	}
	var m merger
	for _, n := range []int{1 << 12, 1 << 16, 1 << 20} {
		m.moved = 0
		if got := m.merge(table, make([]int32, n)); len(got) != 1 {
			t.Fatalf("%d symbols merge to %d", n, len(got))
		}
		if m.moved > 4*n {
			t.Errorf("a word of %d symbols pushed %d entries", n, m.moved)
		}
	}
}

func FuzzParseModel(f *testing.F) {
	m := defaultModel()
	m.kind = modelBPE
	m.pieces = []spPiece{{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}, {"a", -1, pieceNormal}, {"b", -2, pieceNormal}, {"ab", -3, pieceNormal}}
	f.Add(m.write(), []byte("abba\xff ab"))
	m.kind = modelUnigram
	f.Add(m.write(), []byte("ab"))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte("x"))
	f.Fuzz(func(t *testing.T, file, text []byte) {
		s, err := ParseModel(file, "F")
		if err != nil {
			return
		}
		ids, err := s.EncodeSpecial(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if id < 0 || int(id) >= s.VocabSize() {
				t.Fatalf("id %d of a vocabulary of %d", id, s.VocabSize())
			}
		}
		if _, err := s.Decode(nil, ids); err != nil {
			t.Fatal(err)
		}
	})
}
