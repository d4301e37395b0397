package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

const (
	trits   = 3  // of a group
	groups  = 3  // of a word
	entries = 27 // of a group's table
)

// element is what lanes hold: 16-bit sums of codes, or float32.
type element struct {
	name     string // of Go's type
	add, sub func(...Op)
	chains   int // sums that a row keeps apart until its block ends
}

var (
	words  = element{"int16", VPADDW, VPSUBW, 1}
	floats = element{"float32", VADDPS, VSUBPS, groups}
)

// vector is a register width.
type vector struct {
	bytes int
	isa   string // in comments
	reg   func() VecVirtual
}

var (
	zmm = vector{64, "AVX512BW", ZMM}
	ymm = vector{32, "AVX2", YMM}
)

func zero(v vector, r VecVirtual) {
	if v.bytes == 64 {
		VPXORD(r, r, r)
	} else {
		VPXOR(r, r, r)
	}
}

// fillTables writes the tables of signed sums: 27 for each group of three columns.
func fillTables(name string, v vector, e element) {
	from, stride := "*"+e.name, v.bytes
	if e.chains == 1 {
		from, stride = "*int8", v.bytes/2 // as many bytes as lanes of words
	}
	asm.Routine(name, fmt.Sprintf("func(tables *%s, columns %s, groups int)", e.name, from))
	Doc(fmt.Sprintf("%s writes, for each group of three columns v0 v1 v2 (%d bytes apart, tokens side by side), the sums", name, stride),
		fmt.Sprintf("0±v0±v1±v2 of all codes 0…26, %d of each entry's %d bytes, a group's tables end to end. groups ≥ 1. %s.", v.bytes, entryBytes, v.isa))
	tables, columns := Load(Param("tables"), GP64()), Load(Param("columns"), GP64())
	n := Load(Param("groups"), GP64())
	none := v.reg()
	zero(v, none)
	Label("group")
	var x [trits]VecVirtual
	for d := range x {
		x[d] = v.reg()
		at := Mem{Base: columns, Disp: d * stride}
		switch {
		case e.chains == 1:
			VPMOVSXBW(at, x[d])
		default:
			VMOVUPS(at, x[d])
		}
	}
	minus := v.reg()
	e.sub(x[0], none, minus)
	for d0, a := range []VecVirtual{minus, none, x[0]} {
		low, high := v.reg(), v.reg()
		e.sub(x[1], a, low)
		e.add(x[1], a, high)
		for d1, b := range []VecVirtual{low, a, high} {
			under, over := v.reg(), v.reg()
			e.sub(x[2], b, under)
			e.add(x[2], b, over)
			for d2, c := range []VecVirtual{under, b, over} {
				VMOVUPS(c, Mem{Base: tables, Disp: (d0 + 3*d1 + 9*d2) * entryBytes})
			}
		}
	}
	ADDQ(U32(uint64(trits*stride)), columns)
	ADDQ(U32(entries*entryBytes), tables)
	DECQ(n)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// prefetchWords fetches what addRows reads next.
func prefetchWords() {
	asm.Routine("prefetchWords", "func(words *uint16, lines int)")
	Doc("prefetchWords asks for so many cache lines of words, into the second-level cache. lines ≥ 1.")
	words, lines := Load(Param("words"), GP64()), Load(Param("lines"), GP64())
	Label("line")
	PREFETCHT1(Mem{Base: words})
	ADDQ(Imm(64), words)
	DECQ(lines)
	JNZ(LabelRef("line"))
	RET()
}
