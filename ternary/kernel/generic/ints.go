package generic

import (
	"math"

	"mmfree/ternary/quant"
)

const (
	intBlock  = 512 // kernel.IntBlock; tokens whose integers are summed exactly
	intRows   = 4   // sums of one tile
	intPanels = 7   // that share one conversion of the codes
	intPairs  = 4   // pairs of columns that are converted together
	intStrip  = intRows * intPanels

	// IntStrip and IntPanel are kernel.Set's.
	IntStrip = intStrip
	IntPanel = intRows

	roundMagic = 0x1.8p23 // v + roundMagic − roundMagic rounds |v| < 2^22 to an integer, halves to even
)

// intPanel holds the integers of intRows outputs, token by token.
type intPanel [intBlock][intRows]int64

// OuterInts is kernel.Set.OuterInts. A 64-bit multiplication makes two products: the codes of two columns stand in one
// word, q0 + q1·2^32, so a sum of its multiples is S0 + S1·2^32, and both S fit 32 bits.
func OuterInts(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	var left [intPanels]intPanel
	var codes [intPairs][intBlock]int64
	var down [intStrip]float32
	for o := o0; o < o1; o += intStrip {
		rows := min(intStrip, o1-o)
		for t0 := 0; t0 < n; t0 += intBlock {
			nt := min(intBlock, n-t0)
			gradientInts(&left, &down, a[t0*lda+o:], lda, s[t0:t0+nt], rows)
			for k := 0; k < K; k += 2 * intPairs {
				cols := min(2*intPairs, K-k)
				codePairs(&codes, q[t0*K+k:], K, nt, cols)
				for i := 0; i < rows; i += intRows {
					intTile(dst[(o+i)*K+k:], K, left[i/intRows][:nt], &codes, down[i:min(i+intRows, rows)], cols)
				}
			}
		}
	}
}

// gradientInts quantises the gradients of rows outputs, column by column, and gives the factors back to floats.
func gradientInts(left *[intPanels]intPanel, down *[intStrip]float32, a []float32, lda int, s []float32, rows int) {
	var top [intStrip]uint32
	for t, scale := range s {
		inv := 1 / scale
		for i, v := range a[t*lda:][:rows] {
			top[i] = max(top[i], math.Float32bits(float32(v*inv))&0x7fffffff)
		}
	}
	var up [intStrip]float32
	for i := range rows {
		up[i], down[i] = quant.GradientScale(top[i])
	}
	for t, scale := range s {
		inv := 1 / scale
		for i, v := range a[t*lda:][:rows] {
			var g int64
			if up[i] > 0 { // else a product may be NaN, which converts to another integer on every machine
				g = int64(float32(float32(float32(v*inv)*up[i])+roundMagic) - roundMagic)
			}
			left[i/intRows][t][i%intRows] = g
		}
	}
}

// codePairs puts the codes of two columns into one word; a column that is lacking is 0.
func codePairs(codes *[intPairs][intBlock]int64, q []int8, K, nt, cols int) {
	for t := range nt {
		row := q[t*K:][:cols]
		for c := 0; c+1 < cols; c += 2 {
			codes[c/2][t] = int64(row[c]) + int64(row[c+1])<<32
		}
		if cols%2 == 1 {
			codes[cols/2][t] = int64(row[cols-1])
		}
	}
}

// intTile adds a panel's products to dst[i·K+c] for each factor's row and cols columns.
func intTile(dst []float32, K int, left [][intRows]int64, codes *[intPairs][intBlock]int64, down []float32, cols int) {
	for c := 0; c < cols; c += 2 {
		sums := intSums(left, codes[c/2][:len(left)])
		for i, f := range down {
			first := int32(sums[i])
			second := int32((sums[i] - int64(first)) >> 32)
			dst[i*K+c] += float32(float32(first) * f)
			if c+1 < cols {
				dst[i*K+c+1] += float32(float32(second) * f)
			}
		}
	}
}

func intSums(left [][intRows]int64, codes []int64) [intRows]int64 {
	var c0, c1, c2, c3 int64
	codes = codes[:len(left)]
	for t := range left {
		g, q := &left[t], codes[t]
		c0 += g[0] * q
		c1 += g[1] * q
		c2 += g[2] * q
		c3 += g[3] * q
	}
	return [intRows]int64{c0, c1, c2, c3}
}
