package gemm

// Legend: a product adds Σ_k left(i, k)·right(k, j) to dst[i, j], i a row, j a column, k < depth.

// Block is kernel.ProductBlock: the values of k that are summed from 0 before they are added to dst.
const Block = 256

// Bounds of a Tile.
const (
	maxCols  = 32
	leftRows = 280 // that are packed at a time: 280 KiB, which a second-level cache holds
)

// Tile is a set's inner loop, and how it packs. A left panel holds Rows rows, [k][Rows]; a right panel Cols columns,
// [k][Cols]. Lanes of rows or columns that are absent hold anything. Functions that are nil are those of this package.
type Tile struct {
	Rows, Cols int // Rows divides leftRows or nearly so; Cols ≤ maxCols
	// Sums adds Σ_k left[k·Rows+i]·right[k·ldr+j], from 0, each step fused, to dst[i·ldd+j], or to 0 unless add is set.
	// k < n ≤ Block, i < rows ≤ Rows, j < cols ≤ Cols.
	Sums func(dst []float32, ldd int, left, right []float32, ldr, n, rows, cols int, add bool)
	// InPlace lets a right panel of all columns be a part of a matrix where it is read once; Sums must heed ldr.
	InPlace bool

	// Scaled packs a left panel whose rows lie side by side: to[k·Rows+i] = x[k·stride+i]·factor[k], rounded.
	Scaled func(to, x []float32, stride int, factor []float32, n, rows int)
	// Across packs lines of values along k: to[k·width+i] = x[i·stride+k] for lines i < m ≤ width. It may write so many
	// lanes more as leave to[:n·width+slack] its own.
	Across func(to []float32, width int, x []float32, stride, n, m int)
	// Floats and Codes pack a right panel whose columns lie side by side: to[k·Cols+j] = x[k·stride+j].
	Floats func(to, x []float32, stride, n, cols int)
	Codes  func(to []float32, q []int8, stride, n, cols int)
}

// slack is the room behind the last panel for stores of whole vectors.
const slack = 32

func (t *Tile) scaled(to, x []float32, stride int, factor []float32, n, rows int) {
	if t.Scaled != nil {
		t.Scaled(to, x, stride, factor, n, rows)
		return
	}
	for k := range n {
		f, line := factor[k], to[k*t.Rows:][:rows]
		for i, v := range x[k*stride:][:rows] {
			line[i] = float32(v * f)
		}
	}
}

func (t *Tile) across(to []float32, width int, x []float32, stride, n, m int) {
	if t.Across != nil {
		t.Across(to, width, x, stride, n, m)
		return
	}
	for i := range m {
		for k, v := range x[i*stride:][:n] {
			to[k*width+i] = v
		}
	}
}

func (t *Tile) floats(to, x []float32, stride, n, cols int) {
	if t.Floats != nil {
		t.Floats(to, x, stride, n, cols)
		return
	}
	for k := range n {
		copy(to[k*t.Cols:], x[k*stride:][:cols])
	}
}

func (t *Tile) codes(to []float32, q []int8, stride, n, cols int) {
	if t.Codes != nil {
		t.Codes(to, q, stride, n, cols)
		return
	}
	for k := range n {
		line := to[k*t.Cols:][:cols]
		for j, v := range q[k*stride:][:cols] {
			line[j] = float32(v)
		}
	}
}
