//go:build arm64 && !noasm

package arm64

import "mmfree/ternary/par"

const (
	outerBlock = 256 // kernel.OuterBlock; tokens summed before they are added to the gradient
	outerStrip = 32  // outputs that share one conversion of the activations
	outerRows  = 8   // of one tile
	outerCols  = 8
)

type outerScratch struct {
	left  [outerStrip / outerRows][outerBlock][outerRows]float32
	right [outerBlock][outerCols]float32
	codes [outerBlock][outerCols]int8 // the last columns, where they are fewer than a tile's
	dst   [outerRows][outerCols]float32
}

var outerShelf par.Shelf[outerScratch]

// OuterCodes is kernel.Set.OuterCodes.
func OuterCodes(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	outer(dst, a, lda, s, q, K, n, o0, o1, (*outerScratch).packCodes)
}

// OuterFloat is kernel.Set.OuterFloat.
func OuterFloat(dst, a []float32, lda int, s, x []float32, K, n, o0, o1 int) {
	outer(dst, a, lda, s, x, K, n, o0, o1, (*outerScratch).packFloats)
}

func outer[T int8 | float32](dst, a []float32, lda int, s []float32, q []T, K, n, o0, o1 int,
	packRight func(sc *outerScratch, q []T, K, n, cols int),
) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	sc := outerShelf.Take()
	for o := o0; o < o1; o += outerStrip {
		rows := min(outerStrip, o1-o)
		for t0 := 0; t0 < n; t0 += outerBlock {
			nt := min(outerBlock, n-t0)
			sc.packLeft(a[t0*lda:], lda, s, t0, nt, o, rows)
			for k := 0; k < K; k += outerCols {
				cols := min(outerCols, K-k)
				packRight(sc, q[t0*K+k:], K, nt, cols)
				for i := 0; i < rows; i += outerRows {
					sc.tile(dst[(o+i)*K+k:], K, i/outerRows, nt, min(outerRows, rows-i), cols)
				}
			}
		}
	}
	outerShelf.Put(sc)
}

// packLeft gathers the gradients of rows outputs from o, divided by the tokens' scales, in panels. The last panel's
// missing outputs keep what they held: their sums go nowhere.
func (sc *outerScratch) packLeft(a []float32, lda int, s []float32, t0, nt, o, rows int) {
	for t := range nt {
		inv := float32(1)
		if s != nil {
			inv = 1 / s[t0+t]
		}
		row := a[t*lda+o:][:rows]
		for p := 0; len(row) > 0; p++ {
			m := min(outerRows, len(row))
			to := sc.left[p][t][:m]
			for i, v := range row[:m] {
				to[i] = float32(v * inv)
			}
			row = row[m:]
		}
	}
}

func (sc *outerScratch) packCodes(q []int8, K, n, cols int) {
	if cols == outerCols {
		packCodes(&sc.right[0][0], &q[0], uintptr(K), n)
		return
	}
	for t := range n {
		copy(sc.codes[t][:], q[t*K:][:cols])
	}
	packCodes(&sc.right[0][0], &sc.codes[0][0], outerCols, n)
}

func (sc *outerScratch) packFloats(x []float32, K, n, cols int) {
	if cols == outerCols {
		packFloats(&sc.right[0][0], &x[0], uintptr(K)*bytesPerFloat, n)
		return
	}
	for t := range n {
		copy(sc.right[t][:], x[t*K:][:cols])
	}
}

// tile adds one panel's products to rows × cols values of dst, K apart; through scratch where that is not a whole tile.
func (sc *outerScratch) tile(dst []float32, K, panel, nt, rows, cols int) {
	left, right := &sc.left[panel][0][0], &sc.right[0][0]
	if rows == outerRows && cols == outerCols {
		outerTile(&dst[0], uintptr(K)*bytesPerFloat, left, right, nt)
		return
	}
	for i := range rows {
		copy(sc.dst[i][:], dst[i*K:][:cols])
	}
	outerTile(&sc.dst[0][0], outerCols*bytesPerFloat, left, right, nt)
	for i := range rows {
		copy(dst[i*K:][:cols], sc.dst[i][:])
	}
}
