package gemm

import "mmfree/ternary/par"

// left is the factor whose rows are dst's: left(i, k) = x[k·stride+i]·(1/s[k]), s nil for ones, or x[i·stride+k] if across.
type left struct {
	x      []float32
	s      []float32
	stride int
	across bool
}

// right is the other: right(k, j) = x[k·stride+j], or x[j·stride+k] if across, or q[k·stride+j] where x is nil.
type right struct {
	x      []float32
	q      []int8
	stride int
	across bool
}

// scratch begins with the panel that is read most. It is larger than 32 KiB, see par.Shelf.
type scratch struct {
	right   [Block * maxCols]float32
	left    [leftRows*Block + slack]float32
	inverse [Block]float32
}

var shelf par.Shelf[scratch]

// OuterCodes is kernel.Set.OuterCodes.
func (t *Tile) OuterCodes(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	t.product(dst[o0*K:], K, left{x: a[o0:], s: s, stride: lda}, right{q: q, stride: K}, o1-o0, K, n, true)
}

// OuterFloat is kernel.Set.OuterFloat.
func (t *Tile) OuterFloat(dst, a []float32, lda int, s, x []float32, K, n, o0, o1 int) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], x[n*K-1]
	t.product(dst[o0*K:], K, left{x: a[o0:], s: s, stride: lda}, right{x: x, stride: K}, o1-o0, K, n, true)
}

// Dense is kernel.Set.Dense.
func (t *Tile) Dense(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
	if n < 1 || r0 >= r1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+r1-1], w[r1*K-1], x[n*K-1]
	t.product(dst[r0:], ldd, left{x: x, stride: K, across: true}, right{x: w[r0*K:], stride: K, across: true}, n, r1-r0, K, false)
}

// DenseTransposed is kernel.Set.DenseTransposed.
func (t *Tile) DenseTransposed(dst, w, y []float32, R, K, n int) {
	if n < 1 || K < 1 {
		return
	}
	if R < 1 {
		clear(dst[:n*K])
		return
	}
	_, _, _ = dst[n*K-1], w[R*K-1], y[n*R-1]
	t.product(dst, K, left{x: y, stride: R, across: true}, right{x: w, stride: K}, n, K, R, false)
}

// product adds the product of l and r to dst, or to 0. A right panel is packed once for leftRows rows, of which it sees
// one panel after the other: it stays in the first-level cache while they pass from the second.
func (t *Tile) product(dst []float32, ldd int, l left, r right, rows, cols, depth int, add bool) {
	sc := shelf.Take()
	step := leftRows / t.Rows * t.Rows
	for i0 := 0; i0 < rows; i0 += step {
		m := min(step, rows-i0)
		for k0 := 0; k0 < depth; k0 += Block {
			n := min(Block, depth-k0)
			t.packLeft(sc, l, i0, k0, m, n)
			for j0 := 0; j0 < cols; j0 += t.Cols {
				c := min(t.Cols, cols-j0)
				panel, ldr := sc.right[:], t.Cols
				if t.InPlace && m <= t.Rows && c == t.Cols && r.x != nil && !r.across {
					panel, ldr = r.x[k0*r.stride+j0:], r.stride // read once: packing would only be another pass
				} else {
					t.packRight(sc, r, k0, j0, n, c)
				}
				for i := 0; i < m; i += t.Rows {
					t.Sums(dst[(i0+i)*ldd+j0:], ldd, sc.left[i*Block:], panel, ldr, n, min(t.Rows, m-i), c, add || k0 > 0)
				}
			}
		}
	}
	shelf.Put(sc)
}

// packLeft packs rows [i0, i0+m) of values [k0, k0+n), panels in order, because a store may run over into the next.
func (t *Tile) packLeft(sc *scratch, l left, i0, k0, m, n int) {
	if !l.across {
		for k := range sc.inverse[:n] {
			sc.inverse[k] = 1
			if l.s != nil {
				sc.inverse[k] = 1 / l.s[k0+k]
			}
		}
	}
	for i := 0; i < m; i += t.Rows {
		to, p := sc.left[i*Block:], min(t.Rows, m-i)
		if l.across {
			t.across(to, t.Rows, l.x[(i0+i)*l.stride+k0:], l.stride, n, p)
		} else {
			t.scaled(to, l.x[k0*l.stride+i0+i:], l.stride, sc.inverse[:n], n, p)
		}
	}
}

func (t *Tile) packRight(sc *scratch, r right, k0, j0, n, cols int) {
	switch {
	case r.x == nil:
		t.codes(sc.right[:], r.q[k0*r.stride+j0:], r.stride, n, cols)
	case r.across:
		t.across(sc.right[:], t.Cols, r.x[j0*r.stride+k0:], r.stride, n, cols)
	default:
		t.floats(sc.right[:], r.x[k0*r.stride+j0:], r.stride, n, cols)
	}
}
