//go:build amd64 && !noasm

package amd64

import (
	"strings"
	"testing"
	"unsafe"

	"mmfree/ternary/par"
)

// TestScratchAligned: scratch memory of a register's width a row begins on a cache line, or each of its rows is two. par.Shelf puts pieces
// of more than 32 KiB on whole pages.
func TestScratchAligned(t *testing.T) {
	var (
		codes512  par.Shelf[matMulScratch512]
		floats512 par.Shelf[floatScratch512]
		codes256  par.Shelf[matMulScratch256]
		floats256 par.Shelf[floatScratch256]
		ints      par.Shelf[intScratch]
		tiles     par.Shelf[amxScratch]
		few512    par.Shelf[matVecFewScratch512]
	)
	m, f, m256, f256, n, x, v := codes512.Take(), floats512.Take(), codes256.Take(), floats256.Take(), ints.Take(), tiles.Take(), few512.Take()
	for name, at := range map[string]unsafe.Pointer{
		"matMulScratch512.codes": unsafe.Pointer(&m.codes), "matMulScratch512.tables": unsafe.Pointer(&m.tables), "matMulScratch512.columns": unsafe.Pointer(&m.columns),
		"matMulScratch512.sums": unsafe.Pointer(&m.sums), "matMulScratch512.wide": unsafe.Pointer(&m.wide),
		"floatScratch512.codes": unsafe.Pointer(&f.codes), "floatScratch512.tables": unsafe.Pointer(&f.tables), "floatScratch512.columns": unsafe.Pointer(&f.columns),
		"floatScratch512.total":  unsafe.Pointer(&f.total),
		"matMulScratch256.codes": unsafe.Pointer(&m256.codes), "matMulScratch256.tables": unsafe.Pointer(&m256.tables), "matMulScratch256.columns": unsafe.Pointer(&m256.columns),
		"matMulScratch256.sums": unsafe.Pointer(&m256.sums), "matMulScratch256.wide": unsafe.Pointer(&m256.wide),
		"floatScratch256.codes": unsafe.Pointer(&f256.codes), "floatScratch256.tables": unsafe.Pointer(&f256.tables), "floatScratch256.columns": unsafe.Pointer(&f256.columns),
		"floatScratch256.total": unsafe.Pointer(&f256.total),
		"intScratch.strip":      unsafe.Pointer(&n.strip), "intScratch.codes": unsafe.Pointer(&n.codes),
		"amxScratch.codes": unsafe.Pointer(&x.codes), "amxScratch.left": unsafe.Pointer(&x.left), "amxScratch.words": unsafe.Pointer(&x.words),
		"amxScratch.up": unsafe.Pointer(&x.up), "amxScratch.top": unsafe.Pointer(&x.top),
		"amxScratch.lastQ": unsafe.Pointer(&x.lastQ), "amxScratch.lastA": unsafe.Pointer(&x.lastA),
		"matVecFewScratch512.sums": unsafe.Pointer(&v.sums),
	} {
		if past := uintptr(at) % bytesPerLine; past != 0 {
			t.Errorf("%s begins %d bytes behind a cache line", name, past)
		}
		// Indices replace the lowest 16 bits of the tables' address: see addWords512.
		if low := uintptr(at) % (1 << 16); strings.HasSuffix(name, ".tables") && low > 1<<16-1<<11 {
			t.Errorf("%s begins %d bytes behind a multiple of 64 KiB: there is no room for a table", name, low)
		}
	}
}
