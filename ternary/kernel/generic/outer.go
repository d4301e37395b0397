package generic

import "mmfree/ternary/f32"

const (
	outerBlock = 256 // kernel.OuterBlock; tokens summed before they are added to the gradient
	// The micro-kernel has seven sums: with one activation and seven products they are the fifteen vector registers that
	// the compiler may use on amd64. With 4 × 2 sums one goes through memory at every token: 2.4 Gmac/s against 5.7
	// (micro-kernels alone, 256 tokens).
	outerRows   = 7
	outerPanels = 5 // that share one conversion of the activations
	outerCols   = 8 // columns that are converted together
	outerStrip  = outerRows * outerPanels
)

type outerPanel [outerBlock][outerRows]float32

// Outer is kernel.Set.OuterCodes (T = int8) and OuterFloat (T = float32).
func Outer[T int8 | float32](dst, a []float32, lda int, s []float32, q []T, K, n, o0, o1 int) {
	var left [outerPanels]outerPanel
	var right [outerCols][outerBlock]float32
	for o := o0; o < o1; o += outerStrip {
		rows := min(outerStrip, o1-o)
		for t0 := 0; t0 < n; t0 += outerBlock {
			nt := min(outerBlock, n-t0)
			packLeft(&left, a[t0*lda:], lda, s, t0, nt, o, rows)
			for k := 0; k < K; k += outerCols {
				cols := min(outerCols, K-k)
				packRight(&right, q[t0*K+k:], K, nt, cols)
				for p := 0; p*outerRows < rows; p++ {
					first := p * outerRows
					outerPanelSums(dst[(o+first)*K+k:], K, left[p][:nt], &right, min(outerRows, rows-first), cols)
				}
			}
		}
	}
}

// packLeft gathers the gradients of rows outputs from o, divided by the tokens' scales, in panels.
func packLeft(left *[outerPanels]outerPanel, a []float32, lda int, s []float32, t0, nt, o, rows int) {
	for t := range nt {
		inv := float32(1)
		if s != nil {
			inv = 1 / s[t0+t]
		}
		row := a[t*lda+o:][:rows]
		for p := 0; len(row) > 0; p++ {
			m := min(outerRows, len(row))
			to := left[p][t][:m]
			for i, v := range row[:m] {
				to[i] = float32(v * inv)
			}
			row = row[m:]
		}
	}
}

// packRight converts the first cols columns of nt tokens, column by column.
func packRight[T int8 | float32](right *[outerCols][outerBlock]float32, q []T, K, nt, cols int) {
	for t := range nt {
		for c, v := range q[t*K:][:cols] {
			right[c][t] = float32(v)
		}
	}
}

// outerPanelSums adds a panel's products to dst[i·K+c] for its rows and cols columns.
func outerPanelSums(dst []float32, K int, left [][outerRows]float32, right *[outerCols][outerBlock]float32, rows, cols int) {
	for c := range cols {
		var sums [outerRows]float32
		if rows > outerRows/2+1 {
			sums = outerTile(left, right[c][:len(left)])
		} else {
			sums = outerHalfTile(left, right[c][:len(left)])
		}
		for i, v := range sums[:rows] {
			dst[i*K+c] += v
		}
	}
}

// outerTile sums seven rows' products with one column over the tokens, in order.
func outerTile(left [][outerRows]float32, right []float32) [outerRows]float32 {
	var c0, c1, c2, c3, c4, c5, c6 float32
	right = right[:len(left)]
	for t := range left {
		a, b := &left[t], right[t]
		c0 += float32(a[0] * b)
		c1 += float32(a[1] * b)
		c2 += float32(a[2] * b)
		c3 += float32(a[3] * b)
		c4 += float32(a[4] * b)
		c5 += float32(a[5] * b)
		c6 += float32(a[6] * b)
	}
	return [outerRows]float32{c0, c1, c2, c3, c4, c5, c6}
}

// outerHalfTile is outerTile for the first four rows, of panels with no more.
func outerHalfTile(left [][outerRows]float32, right []float32) [outerRows]float32 {
	var c0, c1, c2, c3 float32
	right = right[:len(left)]
	for t := range left {
		a, b := &left[t], right[t]
		c0 += float32(a[0] * b)
		c1 += float32(a[1] * b)
		c2 += float32(a[2] * b)
		c3 += float32(a[3] * b)
	}
	return [outerRows]float32{c0, c1, c2, c3}
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
