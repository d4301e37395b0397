//go:build amd64 && !noasm

package amd64

import (
	"unsafe"

	"mmfree/ternary/par"
	"mmfree/ternary/quant"
)

const (
	amxRows   = 16 // of a panel and of a tile register
	amxPanels = 12 // that share one widening of the codes
	amxStrip  = amxRows * amxPanels
	amxCols   = 64 // of a call: whole lines of codes
	amxTokens = 64 // of a tile register of integers or codes
	amxTile   = 1024
	amxSteps  = intBlock / amxTokens

	// AMXStrip and AMXPanel are kernel.Set's IntStrip and IntPanel for OuterIntsAMX.
	AMXStrip = amxStrip
	AMXPanel = amxRows
)

type amxScratch struct {
	codes    [amxCols / amxRows][amxSteps * amxTile]int8
	left     [amxPanels][2][amxSteps * amxTile]uint8 // higher bytes, lower bytes
	words    [amxPanels][2 * amxTile / 4]int32       // of both, before they are turned; then a tile's sums
	up, down [amxStrip]float32
	inv      [intBlock]float32
	top      [amxStrip]uint32
	lastQ    [intBlock][amxCols]int8     // the last columns or tokens, filled up
	lastA    [intBlock][amxStrip]float32 // the last gradients or tokens, filled up
}

var amxShelf par.Shelf[amxScratch]

// OuterIntsAMX is kernel.Set.OuterInts with AMX: S = 256·Σ higher bytes of G times codes + Σ lower bytes times codes, all of them modulo 2^32, which
// S fits. The thread needs the kernel's permission to use tile registers.
func OuterIntsAMX(dst, a []float32, lda int, s []float32, q []int8, K, n, o0, o1 int) {
	if n < 1 || K < 1 || o0 >= o1 {
		return
	}
	_, _, _ = dst[o1*K-1], a[(n-1)*lda+o1-1], q[n*K-1]
	sc := amxShelf.Take()
	for o := o0; o < o1; o += amxStrip {
		rows := min(amxStrip, o1-o)
		for t0 := 0; t0 < n; t0 += intBlock {
			nt := min(intBlock, n-t0)
			steps := (nt + amxTokens - 1) / amxTokens
			inverses(sc.inv[:nt], s, t0)
			clear(sc.inv[nt:])
			sc.quantise(a[t0*lda+o:], lda, nt, steps, rows)
			for k := 0; k < K; k += amxCols {
				cols := min(amxCols, K-k)
				sc.interleave(q[t0*K+k:], K, nt, cols)
				next := lines{&q[t0*K+k], 0}
				if k+amxCols < K {
					next = lines{&q[t0*K+k+amxCols], uintptr(K)}
				}
				intTilesAMX(&dst[o*K+k], uintptr(K)*bytesPerFloat, &sc.left[0][0][0], &sc.codes[0][0], &sc.down[0], &sc.words[0][0],
					steps, rows, ^uint64(0)>>(amxCols-cols), next.first, next.step)
			}
		}
	}
	amxShelf.Put(sc)
}

// quantise takes a strip's gradients twice from where they are: the second time they come from the second-level cache. Against copying them first, as Ints
// does, that takes half the time, because less is written.
func (sc *amxScratch) quantise(a []float32, lda, n, steps, rows int) {
	panels := (rows + amxRows - 1) / amxRows
	from, stride := unsafe.Pointer(&a[0]), uintptr(lda)*bytesPerFloat
	if rows%amxRows > 0 || n%amxTokens > 0 {
		for t := range steps * amxTokens {
			row := sc.lastA[t][:panels*amxRows]
			if t < n {
				row = row[copy(row, a[t*lda:][:rows]):]
			}
			clear(row)
		}
		from, stride = unsafe.Pointer(&sc.lastA), amxStrip*bytesPerFloat
	}
	intTopAMX(&sc.top[0], (*float32)(from), stride, &sc.inv[0], steps*amxTokens, panels)
	for i, top := range sc.top[:rows] {
		sc.up[i], sc.down[i] = quant.GradientScale(top)
	}
	for s := range steps {
		at := (*float32)(unsafe.Add(from, uintptr(s)*amxTokens*stride))
		intLeftAMX(&sc.left[0][0][s*amxTile], at, stride, &sc.inv[s*amxTokens], &sc.up[0], &sc.words[0][0], panels)
	}
}

// interleave brings the codes of four tokens together. Columns that are lacking keep old codes, whose sums go nowhere; tokens likewise, whose integers are 0.
func (sc *amxScratch) interleave(q []int8, K, n, cols int) {
	const together = 4
	whole := n / together
	if cols < amxCols {
		whole = 0
	}
	if whole > 0 {
		intCodesAMX(&sc.codes[0][0], &q[0], uintptr(K), whole)
	}
	if t0 := whole * together; t0 < n {
		for t := t0; t < n; t++ {
			copy(sc.lastQ[t][:], q[t*K:][:cols])
		}
		intCodesAMX(&sc.codes[0][whole*amxTokens], &sc.lastQ[t0][0], amxCols, (n-t0+together-1)/together)
	}
}
