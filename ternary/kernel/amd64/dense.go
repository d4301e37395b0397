//go:build amd64 && !noasm

package amd64

import "mmfree/ternary/kernel/gemm"

const (
	bytesPerFloat = 4
	denseRows512  = 14
	denseCols512  = 32
	denseRows256  = 6
	denseCols256  = 16
)

// Dense512 is the tile of the float32 products on AVX-512.
func Dense512() *gemm.Tile {
	return &gemm.Tile{
		Rows: denseRows512, Cols: denseCols512, Sums: denseTile512, InPlace: true,
		Scaled: func(to, x []float32, stride int, factor []float32, n, rows int) {
			denseScaled512(&to[0], &x[0], uintptr(stride)*bytesPerFloat, &factor[0], n, rows)
		},
		Across: func(to []float32, width int, x []float32, stride, n, m int) {
			for i := 0; i < m; i += denseCols512 / 2 {
				denseAcross512(&to[i], uintptr(width)*bytesPerFloat, &x[i*stride], uintptr(stride)*bytesPerFloat, n, m-i)
			}
		},
		Floats: func(to, x []float32, stride, n, cols int) {
			denseFloats512(&to[0], &x[0], uintptr(stride)*bytesPerFloat, n, lowBits(cols))
		},
		Codes: func(to []float32, q []int8, stride, n, cols int) {
			denseCodes512(&to[0], &q[0], uintptr(stride), n, lowBits(cols))
		},
	}
}

// denseTile512 is gemm.Tile.Sums. A tile of more rows than are wanted computes with what the panel holds besides.
func denseTile512(dst []float32, ldd int, left, right []float32, ldr, n, rows, cols int, add bool) {
	to, l, r := &dst[0], &left[0], &right[0]
	bytes, step := uintptr(ldd)*bytesPerFloat, uintptr(ldr)*bytesPerFloat
	mask, keep := lowBits(cols), uint32(0)
	if add {
		keep = mask
	}
	switch {
	case rows > 8:
		denseSums14x512(to, bytes, l, r, step, n, rows, mask, keep)
	case rows > 4:
		denseSums8x512(to, bytes, l, r, step, n, rows, mask, keep)
	case rows > 2:
		denseSums4x512(to, bytes, l, r, step, n, rows, mask, keep)
	case rows > 1:
		denseSums2x512(to, bytes, l, r, step, n, rows, mask, keep)
	default:
		denseSums1x512(to, bytes, l, r, step, n, rows, mask, keep)
	}
}

// Dense256 is the tile of the float32 products on AVX2 with FMA.
func Dense256() *gemm.Tile {
	return &gemm.Tile{
		Rows: denseRows256, Cols: denseCols256, Sums: denseTile256,
		Scaled: func(to, x []float32, stride int, factor []float32, n, rows int) {
			denseScaled256(&to[0], &x[0], uintptr(stride)*bytesPerFloat, &factor[0], n, rows)
		},
		Across: func(to []float32, width int, x []float32, stride, n, m int) {
			for i := 0; i < m; i += denseCols256 / 2 {
				denseAcross256(&to[i], uintptr(width)*bytesPerFloat, &x[i*stride], uintptr(stride)*bytesPerFloat, n, m-i)
			}
		},
		Codes: func(to []float32, q []int8, stride, n, cols int) {
			if cols == denseCols256 {
				denseCodes256(&to[0], &q[0], uintptr(stride), n)
				return
			}
			for k := range n { // AVX2 cannot leave out bytes
				line := to[k*denseCols256:][:cols]
				for j, v := range q[k*stride:][:cols] {
					line[j] = float32(v)
				}
			}
		},
	}
}

// denseTile256 is gemm.Tile.Sums; sums of fewer columns than a tile's go through memory.
func denseTile256(dst []float32, ldd int, left, right []float32, ldr, n, rows, cols int, add bool) {
	if cols == denseCols256 {
		denseWhole256(&dst[0], ldd, left, right, ldr, n, rows, add)
		return
	}
	var sums [denseRows256][denseCols256]float32
	for i := range rows {
		if add {
			copy(sums[i][:cols], dst[i*ldd:])
		}
	}
	denseWhole256(&sums[0][0], denseCols256, left, right, ldr, n, rows, add)
	for i := range rows {
		copy(dst[i*ldd:][:cols], sums[i][:])
	}
}

func denseWhole256(dst *float32, ldd int, left, right []float32, ldr, n, rows int, add bool) {
	bytes, step := uintptr(ldd)*bytesPerFloat, uintptr(ldr)*bytesPerFloat
	switch {
	case rows > 4:
		denseSums6x256(dst, bytes, &left[0], &right[0], step, n, rows, add)
	case rows > 2:
		denseSums4x256(dst, bytes, &left[0], &right[0], step, n, rows, add)
	case rows > 1:
		denseSums2x256(dst, bytes, &left[0], &right[0], step, n, rows, add)
	default:
		denseSums1x256(dst, bytes, &left[0], &right[0], step, n, rows, add)
	}
}

// lowBits returns a mask of the lowest n ≤ 32 bits.
func lowBits(n int) uint32 { return uint32(1<<n - 1) }
