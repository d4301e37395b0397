//go:build arm64 && !noasm

package arm64

const (
	// Weights of one call, so that none runs long without preemption; a chunk of rows serves all tokens.
	denseCall  = 1 << 15
	backTokens = 4       // of one tile
	backRows   = 1 << 12 // of one call
	backCols   = 16
)

// Dense is kernel.Set.Dense.
func Dense(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
	if n < 1 || K < 1 || r0 >= r1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+r1-1], w[r1*K-1], x[n*K-1]
	step := max(1, denseCall/K)
	for ; r0 < r1; r0 += step {
		for t := range n {
			dots(&dst[t*ldd+r0], &w[r0*K], &x[t*K], K, min(step, r1-r0))
		}
	}
}

// DenseTransposed is kernel.Set.DenseTransposed. The last columns, fewer than a tile's, go one by one.
func DenseTransposed(dst, w, y []float32, R, K, n int) {
	if n < 1 || K < 1 {
		return
	}
	clear(dst[:n*K])
	if R < 1 {
		return
	}
	_, _, _ = dst[n*K-1], w[R*K-1], y[n*R-1]
	whole := K / backCols * backCols
	for k := 0; k < whole; k += backCols {
		for t := 0; t < n; t += backTokens {
			for r := 0; r < R; r += backRows {
				denseBack(&dst[t*K+k], uintptr(K)*bytesPerFloat, &w[r*K+k], &y[t*R+r], uintptr(R)*bytesPerFloat,
					min(backRows, R-r), min(backTokens, n-t))
			}
		}
	}
	for t := range n {
		for k := whole; k < K; k++ {
			var sum float32
			for r, v := range y[t*R:][:R] {
				sum += float32(w[r*K+k] * v)
			}
			dst[t*K+k] = sum
		}
	}
}
