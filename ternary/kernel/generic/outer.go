package generic

import "mmfree/ternary/f32"

const (
	outerBlock = 256 // kernel.OuterBlock; tokens summed before they are added to the gradient
	outerRows  = 4   // micro-kernel: 4 outputs × 2 columns, eight sums in registers
	outerCols  = 2
)

// Outer is kernel.Set.OuterCodes (T = int8) and OuterFloat (T = float32).
func Outer[T int8 | float32](dst, a []float32, lda int, s []float32, q []T, K, n, o0, o1 int) {
	// 32 rows share one conversion of the activations.
	const strip = 32
	var left [strip / outerRows][outerBlock][outerRows]float32
	var right [outerBlock][outerCols]float32
	for o := o0; o < o1; o += strip {
		rows := min(strip, o1-o)
		for t0 := 0; t0 < n; t0 += outerBlock {
			nt := min(outerBlock, n-t0)
			packLeft(left[:], a[t0*lda:], lda, s, t0, nt, o, rows)
			for k := 0; k < K; k += outerCols {
				cols := min(outerCols, K-k)
				packRight(right[:nt], q[t0*K:], K, k, cols)
				for p := 0; p*outerRows < rows; p++ {
					sums := outerTile(left[p][:nt], right[:nt])
					for i := range min(outerRows, rows-p*outerRows) {
						at := (o+p*outerRows+i)*K + k
						dst[at] += sums[i][0]
						if cols == outerCols {
							dst[at+1] += sums[i][1]
						}
					}
				}
			}
		}
	}
}

// packLeft gathers the gradients of rows outputs from o, divided by the tokens' scales, in panels of four.
func packLeft(left [][outerBlock][outerRows]float32, a []float32, lda int, s []float32, t0, nt, o, rows int) {
	for t := range nt {
		inv := float32(1)
		if s != nil {
			inv = 1 / s[t0+t]
		}
		row := a[t*lda+o:][:rows]
		for i, v := range row {
			left[i/outerRows][t][i%outerRows] = v * inv
		}
	}
}

func packRight[T int8 | float32](right [][outerCols]float32, q []T, K, k, cols int) {
	if cols == outerCols {
		for t := range right {
			p := q[t*K+k:][:outerCols]
			right[t] = [outerCols]float32{float32(p[0]), float32(p[1])}
		}
		return
	}
	for t := range right {
		right[t] = [outerCols]float32{float32(q[t*K+k]), 0}
	}
}

// outerTile sums 4 × 2 products over the tokens, in order.
func outerTile(left [][outerRows]float32, right [][outerCols]float32) (out [outerRows][outerCols]float32) {
	var c00, c01, c10, c11, c20, c21, c30, c31 float32
	right = right[:len(left)]
	for t := range left {
		a, b := &left[t], &right[t]
		b0, b1 := b[0], b[1]
		c00 += float32(a[0] * b0)
		c01 += float32(a[0] * b1)
		c10 += float32(a[1] * b0)
		c11 += float32(a[1] * b1)
		c20 += float32(a[2] * b0)
		c21 += float32(a[2] * b1)
		c30 += float32(a[3] * b0)
		c31 += float32(a[3] * b1)
	}
	return [outerRows][outerCols]float32{{c00, c01}, {c10, c11}, {c20, c21}, {c30, c31}}
}

// Dense is kernel.Set.Dense.
func Dense(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
	for t := range n {
		for r := r0; r < r1; r++ {
			dst[t*ldd+r] = f32.Dot(w[r*K:][:K], x[t*K:][:K])
		}
	}
}

// DenseTransposed is kernel.Set.DenseTransposed.
func DenseTransposed(dst, w, y []float32, R, K, n int) {
	for t := range n {
		out := dst[t*K:][:K]
		clear(out)
		for r := range R {
			v := y[t*R+r]
			for k, u := range w[r*K:][:K] {
				out[k] += float32(u * v)
			}
		}
	}
}
