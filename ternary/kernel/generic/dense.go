package generic

import (
	"mmfree/ternary/f32"
	"mmfree/ternary/kernel/gemm"
)

const (
	denseRows = 4
	denseCols = 8
)

// Dense is the portable inner loop of the float32 products.
func Dense() *gemm.Tile { return &gemm.Tile{Rows: denseRows, Cols: denseCols, Sums: denseSums} }

// denseSums is gemm.Tile.Sums.
func denseSums(dst []float32, ldd int, left, right []float32, ldr, n, rows, cols int, add bool) {
	for j := range cols {
		var c [denseRows]float32
		if rows > denseRows/2 {
			c = denseFour(left, right[j:], ldr, n)
		} else {
			c = denseTwo(left, right[j:], ldr, n)
		}
		for i, v := range c[:rows] {
			if add {
				dst[i*ldd+j] += v
			} else {
				dst[i*ldd+j] = 0 + v
			}
		}
	}
}

// denseFour sums four rows' products with one column in order, as f32.FMA does, which is called where it is needed: the
// compiler does not inline it.
func denseFour(left, right []float32, ldr, n int) [denseRows]float32 {
	var c0, c1, c2, c3 float32
	for k := range n {
		a, b := left[k*denseRows:][:denseRows], float64(right[k*ldr])
		s0 := float64(a[0])*b + float64(c0)
		s1 := float64(a[1])*b + float64(c1)
		s2 := float64(a[2])*b + float64(c2)
		s3 := float64(a[3])*b + float64(c3)
		if f32.RoundsTwice(s0) || f32.RoundsTwice(s1) || f32.RoundsTwice(s2) || f32.RoundsTwice(s3) {
			v := right[k*ldr]
			c0, c1, c2, c3 = f32.FMA(a[0], v, c0), f32.FMA(a[1], v, c1), f32.FMA(a[2], v, c2), f32.FMA(a[3], v, c3)
			continue
		}
		c0, c1, c2, c3 = float32(s0), float32(s1), float32(s2), float32(s3)
	}
	return [denseRows]float32{c0, c1, c2, c3}
}

// denseTwo is denseFour for the first two rows, of panels with no more.
func denseTwo(left, right []float32, ldr, n int) [denseRows]float32 {
	var c0, c1 float32
	for k := range n {
		a, b := left[k*denseRows:][:denseRows], float64(right[k*ldr])
		s0 := float64(a[0])*b + float64(c0)
		s1 := float64(a[1])*b + float64(c1)
		if f32.RoundsTwice(s0) || f32.RoundsTwice(s1) {
			v := right[k*ldr]
			c0, c1 = f32.FMA(a[0], v, c0), f32.FMA(a[1], v, c1)
			continue
		}
		c0, c1 = float32(s0), float32(s1)
	}
	return [denseRows]float32{c0, c1}
}
