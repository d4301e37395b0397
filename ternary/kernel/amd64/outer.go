//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/par"

const (
	outerBlock    = 256 // kernel.OuterBlock; tokens summed before they are added to the gradient
	outerStrip    = 32  // outputs that share one conversion of the activations
	outerRows512  = 8   // of one tile
	outerCols512  = 16
	bytesPerFloat = 4
)

type outerScratch512 struct {
	left  [outerStrip / outerRows512][outerBlock][outerRows512]float32
	right [outerBlock][outerCols512]float32
	inv   [outerBlock]float32
}

var outerShelf512 par.Shelf[outerScratch512]

// OuterCodes512 is kernel.Set.OuterCodes.
func OuterCodes512(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	outer512(dst, a, lda, s, q, packCodes512, K, n, o0, o1)
}

// OuterFloat512 is kernel.Set.OuterFloat.
func OuterFloat512(dst, a []float32, lda int, s, x []float32, K, n, o0, o1 int) {
	outer512(dst, a, lda, s, x, packFloats512, K, n, o0, o1)
}

func outer512[T int8 | float32](dst, a []float32, lda int, s []float32, q []T,
	packRight func(dst *float32, q *T, stride uintptr, n int, mask uint32), K, n, o0, o1 int,
) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	var t T
	size := uintptr(bytesPerFloat)
	if _, codes := any(t).(int8); codes {
		size = 1
	}
	sc := outerShelf512.Take()
	for o := o0; o < o1; o += outerStrip {
		rows := min(outerStrip, o1-o)
		for t0 := 0; t0 < n; t0 += outerBlock {
			nt := min(outerBlock, n-t0)
			inverses(sc.inv[:nt], s, t0)
			packLeft512(&sc.left[0][0][0], &a[t0*lda+o], uintptr(lda)*bytesPerFloat, &sc.inv[0], nt, lowBits(rows))
			for k := 0; k < K; k += outerCols512 {
				mask := lowBits(min(outerCols512, K-k))
				packRight(&sc.right[0][0], &q[t0*K+k], uintptr(K)*size, nt, mask)
				for i := 0; i < rows; i += outerRows512 {
					outerTile512(&dst[(o+i)*K+k], uintptr(K)*bytesPerFloat, &sc.left[i/outerRows512][0][0], &sc.right[0][0],
						nt, min(outerRows512, rows-i), mask)
				}
			}
		}
	}
	outerShelf512.Put(sc)
}

// inverses fills inv with 1/s from token t0, or with ones.
func inverses(inv, s []float32, t0 int) {
	for i := range inv {
		inv[i] = 1
		if s != nil {
			inv[i] = 1 / s[t0+i]
		}
	}
}

// lowBits returns a mask of the lowest n ≤ 32 bits.
func lowBits(n int) uint32 { return uint32(1<<n - 1) }
