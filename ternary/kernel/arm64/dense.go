//go:build arm64 && !noasm

package arm64

import "mmfree/ternary/kernel/gemm"

const denseTile = 8 // rows and columns

// Dense is the tile of the float32 products.
func Dense() *gemm.Tile {
	return &gemm.Tile{
		Rows: denseTile, Cols: denseTile, Sums: denseProducts,
		Codes: func(to []float32, q []int8, stride, n, cols int) {
			if cols == denseTile {
				denseCodes(&to[0], &q[0], uintptr(stride), n)
				return
			}
			for k := range n {
				for j, v := range q[k*stride:][:cols] {
					to[k*denseTile+j] = float32(v)
				}
			}
		},
	}
}

// denseProducts is gemm.Tile.Sums; a tile that is not whole goes through memory. Right panels are always packed.
func denseProducts(dst []float32, ldd int, left, right []float32, _, n, rows, cols int, add bool) {
	if rows == denseTile && cols == denseTile {
		if !add {
			for i := range rows {
				clear(dst[i*ldd:][:cols])
			}
		}
		denseSums(&dst[0], uintptr(ldd)*bytesPerFloat, &left[0], &right[0], n)
		return
	}
	var sums [denseTile][denseTile]float32
	if add {
		for i := range rows {
			copy(sums[i][:cols], dst[i*ldd:])
		}
	}
	denseSums(&sums[0][0], denseTile*bytesPerFloat, &left[0], &right[0], n)
	for i := range rows {
		copy(dst[i*ldd:][:cols], sums[i][:])
	}
}
