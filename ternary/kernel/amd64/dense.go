//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/f32"

const (
	// Weights of one call of an assembly routine: some 50 µs when they come from memory.
	denseCall  = 1 << 17
	denseTile  = 2 // rows and tokens of a tile of AVX-512
	backTokens = 8
	backCols   = 16 // of a register of AVX-512; AVX2 has half
)

// Dense512 is kernel.Set.Dense.
func Dense512(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
	denseProduct(dst, ldd, w, x, K, n, r0, r1, true)
}

// Dense256 is kernel.Set.Dense.
func Dense256(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int) {
	denseProduct(dst, ldd, w, x, K, n, r0, r1, false)
}

func denseProduct(dst []float32, ldd int, w, x []float32, K, n, r0, r1 int, wide bool) {
	if n < 1 || r0 >= r1 {
		return
	}
	_, _, _ = dst[(n-1)*ldd+r1-1], w[r1*K-1], x[n*K-1]
	whole, rest := K/f32.Lanes, uint64(K%f32.Lanes)
	bytes, stride := uintptr(ldd)*bytesPerFloat, uintptr(K)*bytesPerFloat
	step := max(denseTile, denseCall/K/denseTile*denseTile)
	for ; r0 < r1; r0 += step { // rows outside: they stay in the cache for all tokens
		rows := min(step, r1-r0)
		for t := 0; t < n; {
			to, from, v := &dst[t*ldd+r0], &w[r0*K], &x[t*K]
			switch {
			case !wide:
				dense256(to, bytes, from, v, stride, whole, rest, rows)
				t++
			case t+denseTile > n || rows < denseTile:
				dense512(to, bytes, from, v, stride, whole, lowBits64(int(rest)), rows)
				t++
			default:
				even := rows / denseTile * denseTile
				dense2x512(to, bytes, from, v, stride, whole, lowBits64(int(rest)), even)
				if even < rows {
					for i := range denseTile {
						dense512(&dst[(t+i)*ldd+r0+even], bytes, &w[(r0+even)*K], &x[(t+i)*K], stride, whole, lowBits64(int(rest)), 1)
					}
				}
				t += denseTile
			}
		}
	}
}

// DenseTransposed512 is kernel.Set.DenseTransposed.
func DenseTransposed512(dst, w, y []float32, R, K, n int) { denseBack(dst, w, y, R, K, n, true) }

// DenseTransposed256 is kernel.Set.DenseTransposed.
func DenseTransposed256(dst, w, y []float32, R, K, n int) { denseBack(dst, w, y, R, K, n, false) }

func denseBack(dst, w, y []float32, R, K, n int, wide bool) {
	if n < 1 || K < 1 {
		return
	}
	if R < 1 {
		clear(dst[:n*K])
		return
	}
	_, _, _ = dst[n*K-1], w[R*K-1], y[n*R-1]
	cols := backCols
	if !wide {
		cols /= 2
	}
	stride, ldy := uintptr(K)*bytesPerFloat, uintptr(R)*bytesPerFloat
	for k := 0; k < K; k += cols {
		m := min(cols, K-k)
		for t := 0; t < n; {
			to, v := &dst[t*K+k], &y[t*R]
			whole := t+backTokens <= n
			switch {
			case wide && whole:
				denseBack8x512(to, &w[k], stride, v, ldy, R, m)
			case wide:
				denseBack512(to, &w[k], stride, v, ldy, R, m)
			case whole:
				denseBack8x256(to, &w[k], stride, v, ldy, R, m)
			default:
				denseBack256(to, &w[k], stride, v, ldy, R, m)
			}
			if t++; whole {
				t += backTokens - 1
			}
		}
	}
}
