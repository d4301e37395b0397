package generic

import "mmfree/ternary/pack"

const (
	floatLanes         = 4
	floatWordsPerBlock = 6 // 54 columns; part of the order of sums
)

// quad holds one value of four tokens.
type quad [floatLanes]float32

type floatTables [groupsPerWord][entriesPerGroup]quad

// MatMulFloat is kernel.Set.MatMulFloat: the tables of MatMul, in float32, four tokens at a time.
func MatMulFloat(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
	for t := 0; t < n; t += floatLanes {
		matMulFloatTile(dst[t*ldd:], ldd, w, s0, s1, y[t*w.Cols:], min(floatLanes, n-t), scale)
	}
}

func matMulFloatTile(dst []float32, ldd int, w *pack.Matrix, s0, s1 int, y []float32, n int, scale float32) {
	var tables [floatWordsPerBlock]floatTables
	var total [superblocksPerPass * pack.SuperblockRows]quad
	nw := pack.WordsPerRow(w.Cols)
	for ; s0 < s1; s0 += superblocksPerPass {
		end := min(s0+superblocksPerPass, s1)
		first := s0 * pack.SuperblockRows
		rows := min(end*pack.SuperblockRows, w.Rows) - first
		clear(total[:])
		for j := 0; j < nw; j += floatWordsPerBlock {
			nb := min(floatWordsPerBlock, nw-j)
			fillFloatTables(&tables, y, w.Cols, n, j, nb)
			for s := s0; s < end; s++ {
				at, sr, words := w.Superblock(s)
				addFloatBlock(total[at-first:][:sr], words[j*sr:], tables[:nb])
			}
		}
		for t := range n {
			out := dst[t*ldd+first:][:rows]
			for r := range out {
				out[r] = total[r][t] * scale
			}
		}
	}
}

func addFloatBlock(total []quad, words []uint16, tables []floatTables) {
	rows := len(total)
	for i := range total {
		var a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3 float32
		at := i
		for j := range tables {
			t := &tables[j]
			c := words[at]
			at += rows
			p := &t[0][c&pack.GroupMask]
			a0 += p[0]
			a1 += p[1]
			a2 += p[2]
			a3 += p[3]
			p = &t[1][c>>pack.GroupBits&pack.GroupMask]
			b0 += p[0]
			b1 += p[1]
			b2 += p[2]
			b3 += p[3]
			p = &t[2][c>>(2*pack.GroupBits)&pack.GroupMask]
			c0 += p[0]
			c1 += p[1]
			c2 += p[2]
			c3 += p[3]
		}
		sum := &total[i]
		sum[0] += (a0 + b0) + c0
		sum[1] += (a1 + b1) + c1
		sum[2] += (a2 + b2) + c2
		sum[3] += (a3 + b3) + c3
	}
}

// fillFloatTables tabulates words [j0, j0+nb) for n tokens; absent tokens and columns count as zero.
func fillFloatTables(tables *[floatWordsPerBlock]floatTables, y []float32, K, n, j0, nb int) {
	var columns [floatLanes][floatWordsPerBlock * pack.TritsPerWord]float32
	k0 := j0 * pack.TritsPerWord
	for t := range n {
		copy(columns[t][:], y[t*K+k0:t*K+min(k0+nb*pack.TritsPerWord, K)])
	}
	for j := range nb {
		for g := range groupsPerWord {
			k := j*pack.TritsPerWord + g*pack.TritsPerGroup
			for t := range n {
				v := columns[t][k:][:pack.TritsPerGroup]
				fillFloatGroup(&tables[j][g], t, v[0], v[1], v[2])
			}
		}
	}
}

func fillFloatGroup(table *[entriesPerGroup]quad, t int, v0, v1, v2 float32) {
	for d, a := range [3]float32{0 - v0, 0, v0} {
		low, high := a-v1, a+v1
		table[d][t], table[d+9][t], table[d+18][t] = low-v2, low, low+v2
		table[d+3][t], table[d+12][t], table[d+21][t] = a-v2, a, a+v2
		table[d+6][t], table[d+15][t], table[d+24][t] = high-v2, high, high+v2
	}
}
