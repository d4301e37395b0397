//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/par"

const (
	outerRows256 = 4
	outerCols256 = 16
)

type outerScratch256 struct {
	left  [outerStrip / outerRows256][outerBlock][outerRows256]float32
	right [outerBlock][outerCols256]float32
	inv   [outerBlock]float32
	codes [outerBlock][outerCols256]int8 // the last columns, filled up
}

var outerShelf256 par.Shelf[outerScratch256]

// OuterCodes256 is kernel.Set.OuterCodes.
func OuterCodes256(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	outer256(dst, a, lda, s, q, K, n, o0, o1, (*outerScratch256).packCodes)
}

// OuterFloat256 is kernel.Set.OuterFloat.
func OuterFloat256(dst, a []float32, lda int, s, x []float32, K, n, o0, o1 int) {
	outer256(dst, a, lda, s, x, K, n, o0, o1, (*outerScratch256).packFloats)
}

func outer256[T int8 | float32](dst, a []float32, lda int, s []float32, q []T, K, n, o0, o1 int,
	packRight func(sc *outerScratch256, q []T, K, n, cols int),
) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	sc := outerShelf256.Take()
	for o := o0; o < o1; o += outerStrip {
		rows := min(outerStrip, o1-o)
		for t0 := 0; t0 < n; t0 += outerBlock {
			nt := min(outerBlock, n-t0)
			inverses(sc.inv[:nt], s, t0)
			packLeft256(&sc.left[0][0][0], &a[t0*lda+o], uintptr(lda)*bytesPerFloat, &sc.inv[0], nt, rows)
			for k := 0; k < K; k += outerCols256 {
				cols := min(outerCols256, K-k)
				packRight(sc, q[t0*K+k:], K, nt, cols)
				for i := 0; i < rows; i += outerRows256 {
					outerTile256(&dst[(o+i)*K+k], uintptr(K)*bytesPerFloat, &sc.left[i/outerRows256][0][0], &sc.right[0][0],
						nt, min(outerRows256, rows-i), cols)
				}
			}
		}
	}
	outerShelf256.Put(sc)
}

func (sc *outerScratch256) packFloats(x []float32, K, n, cols int) {
	packFloats256(&sc.right[0][0], &x[0], uintptr(K)*bytesPerFloat, n, cols)
}

// packCodes fills up columns that are fewer than a tile's, because AVX2 cannot leave out bytes.
func (sc *outerScratch256) packCodes(q []int8, K, n, cols int) {
	if cols == outerCols256 {
		packCodes256(&sc.right[0][0], &q[0], uintptr(K), n)
		return
	}
	for t := range n {
		copy(sc.codes[t][:], q[t*K:][:cols])
	}
	packCodes256(&sc.right[0][0], &sc.codes[0][0], outerCols256, n)
}
