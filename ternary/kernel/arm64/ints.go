//go:build arm64 && !noasm

package arm64

import (
	"mmfree/ternary/par"
	"mmfree/ternary/quant"
)

const (
	intBlock = 512 // kernel.IntBlock; tokens whose integers are summed exactly
	intRows  = 8   // of one tile
	intCols  = 8
	intStrip = 32 // outputs that share one widening of the codes

	// IntStrip and IntPanel are kernel.Set's.
	IntStrip = intStrip
	IntPanel = intRows
)

type intScratch struct {
	left  [intStrip / intRows][intBlock][intRows]int16
	codes [intBlock][intCols]int16
	down  [intStrip / intRows][intRows]float32
	inv   [intBlock]float32
	a     [intBlock][intRows]float32 // the last outputs, where they are fewer than a tile's
	last  [intBlock][intCols]int8    // the last columns, likewise
	dst   [intRows][intCols]float32
}

var intShelf par.Shelf[intScratch]

// OuterInts is kernel.Set.OuterInts.
func OuterInts(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	sc := intShelf.Take()
	for o := o0; o < o1; o += intStrip {
		rows := min(intStrip, o1-o)
		for t0 := 0; t0 < n; t0 += intBlock {
			nt := min(intBlock, n-t0)
			for t, v := range s[t0 : t0+nt] {
				sc.inv[t] = 1 / v
			}
			for i := 0; i < rows; i += intRows {
				sc.quantise(i/intRows, a[t0*lda+o+i:], lda, nt, min(intRows, rows-i))
			}
			for k := 0; k < K; k += intCols {
				cols := min(intCols, K-k)
				sc.widen(q[t0*K+k:], K, nt, cols)
				for i := 0; i < rows; i += intRows {
					sc.tile(dst[(o+i)*K+k:], K, i/intRows, nt, min(intRows, rows-i), cols)
				}
			}
		}
	}
	intShelf.Put(sc)
}

// quantise makes a panel's integers and factors. Outputs that are lacking keep old values: their sums go nowhere.
func (sc *intScratch) quantise(panel int, a []float32, lda, n, rows int) {
	from, stride := &a[0], uintptr(lda)*bytesPerFloat
	if rows < intRows {
		for t := range n {
			copy(sc.a[t][:], a[t*lda:][:rows])
		}
		from, stride = &sc.a[0][0], intRows*bytesPerFloat
	}
	var top [intRows]uint32
	var up [intRows]float32
	intTop(&top[0], from, stride, &sc.inv[0], n)
	for i, v := range top {
		up[i], sc.down[panel][i] = quant.GradientScale(v)
	}
	intLeft(&sc.left[panel][0][0], from, stride, &sc.inv[0], &up[0], n)
}

func (sc *intScratch) widen(q []int8, K, n, cols int) {
	if cols == intCols {
		intCodes(&sc.codes[0][0], &q[0], uintptr(K), n)
		return
	}
	for t := range n {
		copy(sc.last[t][:], q[t*K:][:cols])
	}
	intCodes(&sc.codes[0][0], &sc.last[0][0], intCols, n)
}

// tile adds one panel's products to rows × cols values of dst, K apart; through scratch where that is not a whole tile.
func (sc *intScratch) tile(dst []float32, K, panel, n, rows, cols int) {
	left, codes, down := &sc.left[panel][0][0], &sc.codes[0][0], &sc.down[panel][0]
	if rows == intRows && cols == intCols {
		intTile(&dst[0], uintptr(K)*bytesPerFloat, left, codes, down, n)
		return
	}
	for i := range rows {
		copy(sc.dst[i][:], dst[i*K:][:cols])
	}
	intTile(&sc.dst[0][0], intCols*bytesPerFloat, left, codes, down, n)
	for i := range rows {
		copy(dst[i*K:][:cols], sc.dst[i][:])
	}
}
