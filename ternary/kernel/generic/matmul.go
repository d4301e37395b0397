package generic

import (
	"mmfree/ternary/pack"
)

// Tile is the number of tokens whose codes share two 64-bit words: four 16-bit lanes each.
const Tile = 2 * lanes

const (
	lanes = 4
	// An entry of a table is a sum of three codes, at least −384; with this added to each lane no lane is ever negative,
	// so lanes never borrow from each other.
	bias     = 3 * 128
	biasWord = bias * (1 + 1<<16 + 1<<32 + 1<<48)
	// That many entries of at most 2·384 stay below 2^16; then the lanes must be emptied.
	maxGroups = 85
	// Words are visited in blocks whose tables (14·3·32·16 bytes = 21 KiB) stay in the first-level cache, and each block's
	// tables serve several superblocks: making them costs as much as looking up some forty rows.
	wordsPerBlock      = 14
	superblocksPerPass = 4
	groupsPerWord      = pack.GroupsPerWord
	entriesPerGroup    = 32 // 27 used; 32 so that a code needs no bounds check
)

// pair holds eight tokens' 16-bit lanes.
type pair [2]uint64

type wordTables [groupsPerWord][entriesPerGroup]pair

// MatMul is kernel.Set.MatMul: for every group of three columns all 27 signed sums of eight tokens' codes are tabulated
// by additions, then each row adds the entries that its codes name.
func MatMul(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	for t := 0; t < n; t += Tile {
		matMulTile(dst[t*ldd:], ldd, w, s0, s1, x[t*w.Cols:], scale[t:], min(Tile, n-t))
	}
}

func matMulTile(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, x []int8, scale []float32, n int) {
	var tables [wordsPerBlock]wordTables
	var sums [superblocksPerPass * pack.SuperblockRows][Tile]int32
	var acc [superblocksPerPass * pack.SuperblockRows]pair
	nw := pack.WordsPerRow(w.Cols)
	for ; s0 < s1; s0 += superblocksPerPass {
		end := min(s0+superblocksPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		clear(sums[:rows])
		clear(acc[:])
		groups := int32(0)
		for j := 0; j < nw; j += wordsPerBlock {
			nb := min(wordsPerBlock, nw-j)
			fillTables(&tables, x, w.Cols, n, j, nb)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				addBlock(acc[at-first:][:sr], words[j*sr:], tables[:nb])
			}
			if groups += int32(nb * groupsPerWord); groups > maxGroups-wordsPerBlock*groupsPerWord {
				flush(sums[:rows], acc[:rows], groups*bias)
				groups = 0
			}
		}
		flush(sums[:rows], acc[:rows], groups*bias)
		for t := range n {
			out, f := dst[t*ldd+first:][:rows], scale[t]
			for r := range out {
				out[r] = float32(sums[r][t]) * f
			}
		}
	}
}

// addBlock adds, for each row, the entries that its words of one block name. words starts at the block's first column.
func addBlock(acc []pair, words []uint16, tables []wordTables) {
	rows := len(acc)
	for i := range acc {
		lo, hi := acc[i][0], acc[i][1]
		at := i
		for j := range tables {
			t := &tables[j]
			c := words[at]
			at += rows
			p := &t[0][c&pack.GroupMask]
			q := &t[1][c>>pack.GroupBits&pack.GroupMask]
			r := &t[2][c>>(2*pack.GroupBits)&pack.GroupMask]
			lo += p[0] + q[0] + r[0]
			hi += p[1] + q[1] + r[1]
		}
		acc[i] = pair{lo, hi}
	}
}

// flush empties the 16-bit lanes into 32-bit sums and takes the bias out.
func flush(sums [][Tile]int32, acc []pair, bias int32) {
	sums = sums[:len(acc)]
	for i := range acc {
		s := &sums[i]
		lo, hi := acc[i][0], acc[i][1]
		acc[i] = pair{}
		s[0] += int32(lo&0xffff) - bias
		s[1] += int32(lo>>16&0xffff) - bias
		s[2] += int32(lo>>32&0xffff) - bias
		s[3] += int32(lo>>48) - bias
		s[4] += int32(hi&0xffff) - bias
		s[5] += int32(hi>>16&0xffff) - bias
		s[6] += int32(hi>>32&0xffff) - bias
		s[7] += int32(hi>>48) - bias
	}
}

// fillTables tabulates words [j0, j0+nb) for n tokens; absent tokens and columns count as zero.
func fillTables(tables *[wordsPerBlock]wordTables, x []int8, K, n, j0, nb int) {
	// columns holds one column of four tokens a word: lanes in two's complement, borrows and all.
	var columns [2][wordsPerBlock * pack.TritsPerWord]uint64
	k0 := j0 * pack.TritsPerWord
	cols := min(nb*pack.TritsPerWord, K-k0)
	for t := range n {
		lane := columns[t/lanes][:cols]
		for k, v := range x[t*K+k0:][:cols] {
			lane[k] += uint64(int64(v)) << (t % lanes * 16)
		}
	}
	for half := range (n + lanes - 1) / lanes {
		for j := range nb {
			for g := range groupsPerWord {
				v := columns[half][j*pack.TritsPerWord+g*pack.TritsPerGroup:][:pack.TritsPerGroup]
				fillGroup(&tables[j][g], half, v[0], v[1], v[2])
			}
		}
	}
}

func fillGroup(table *[entriesPerGroup]pair, half int, v0, v1, v2 uint64) {
	e := uint64(biasWord) - v0 - v1 - v2 // code 0: three trits −1
	for c := 0; c < 27; c += 9 {
		f := e + v1
		g := f + v1
		table[c][half], table[c+1][half], table[c+2][half] = e, e+v0, e+v0+v0
		table[c+3][half], table[c+4][half], table[c+5][half] = f, f+v0, f+v0+v0
		table[c+6][half], table[c+7][half], table[c+8][half] = g, g+v0, g+v0+v0
		e += v2
	}
}

// Prepare is kernel.Set.Prepare: 32 signed sums for each group of three columns.
func Prepare(prepared []int16, x []int8) {
	groups := pack.WordsPerRow(len(x)) * groupsPerWord
	for g := range groups {
		var v [pack.TritsPerGroup]int16
		for d := range v {
			if k := g*pack.TritsPerGroup + d; k < len(x) {
				v[d] = int16(x[k])
			}
		}
		table := (*[entriesPerGroup]int16)(prepared[g*entriesPerGroup:])
		e := -v[0] - v[1] - v[2]
		c := 0
		for range 3 {
			row := e
			for range 3 {
				table[c], table[c+1], table[c+2] = row, row+v[0], row+v[0]+v[0]
				row += v[1]
				c += 3
			}
			e += v[2]
		}
		clear(table[c:])
	}
}

// MatVec is kernel.Set.MatVec: column by column, so that the packed words stream.
func MatVec(dst []float32, w *pack.Matrix, s0, s1 int, prepared []int16, scale float32) {
	const perWord = groupsPerWord * entriesPerGroup
	var acc [pack.SuperblockRows]int32
	nw := pack.WordsPerRow(w.Cols)
	for s := s0; s < s1; s++ {
		first, rows, words := w.Superblock(s)
		acc := acc[:rows]
		clear(acc)
		for j := range nw {
			t := (*[perWord]int16)(prepared[j*perWord:])
			t0 := (*[entriesPerGroup]int16)(t[:])
			t1 := (*[entriesPerGroup]int16)(t[entriesPerGroup:])
			t2 := (*[entriesPerGroup]int16)(t[2*entriesPerGroup:])
			for i, c := range words[j*rows:][:len(acc)] {
				acc[i] += int32(t0[c&pack.GroupMask]) + int32(t1[c>>pack.GroupBits&pack.GroupMask]) +
					int32(t2[c>>(2*pack.GroupBits)&pack.GroupMask])
			}
		}
		for r := range min(rows, w.Rows-first) {
			dst[first+r] = float32(acc[r]) * scale
		}
	}
}
