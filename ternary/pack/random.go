package pack

// Randomize writes random trits into superblocks [from, to), −1, 0 and +1 equally likely; padding is zero trits. A
// superblock's words follow from seed and its number, so that any cut into calls gives the same matrix. For measurements:
// it is as fast as memory is written, and says nothing of a trained model but its shape.
func (m *Matrix) Randomize(seed uint64, from, to int) {
	nw := WordsPerRow(m.Cols)
	for s := from; s < to; s++ {
		first, rows, words := m.Superblock(s)
		real := min(rows, m.Rows-first)
		x := seed ^ uint64(s+1)*0x9E3779B97F4A7C15
		for j := range nw {
			column := words[j*rows:][:rows]
			for i := range column[:real] {
				x += 0x9E3779B97F4A7C15 // splitmix64
				z := (x ^ x>>30) * 0xBF58476D1CE4E5B9
				z = (z ^ z>>27) * 0x94D049BB133111EB
				// Three codes below 27 from 16 bits each.
				column[i] = uint16(z&0xffff*codesPerGroup>>16 | z>>16&0xffff*codesPerGroup>>16<<GroupBits |
					z>>32&0xffff*codesPerGroup>>16<<(2*GroupBits))
			}
			for i := real; i < rows; i++ {
				column[i] = zeroWord
			}
		}
		if tail := m.Cols - (nw-1)*TritsPerWord; tail < TritsPerWord {
			column := words[(nw-1)*rows:][:real]
			for i, w := range column {
				column[i] = cutWord(w, tail)
			}
		}
	}
}

// cutWord returns the word with its trits from … 8 made zero.
func cutWord(w uint16, from int) uint16 {
	var trits [TritsPerWord]int8
	unpackWord(&trits, w)
	for p := from; p < TritsPerWord; p++ {
		w -= uint16(int16(trits[p])) * place[p]
	}
	return w
}
