package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
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

// vector is a register width: its bytes are also those of a table's entry.
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
	routine(name, fmt.Sprintf("func(tables *%s, columns %s, groups int)", e.name, from))
	Doc(fmt.Sprintf("%s writes, for each group of three columns v0 v1 v2 (%d bytes apart, tokens side by side), the sums", name, stride),
		fmt.Sprintf("0±v0±v1±v2 of all codes 0…26, %d bytes each, a group's tables end to end. groups ≥ 1. %s.", v.bytes, v.isa))
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
				VMOVUPS(c, Mem{Base: tables, Disp: (d0 + 3*d1 + 9*d2) * v.bytes})
			}
		}
	}
	ADDQ(U32(uint64(trits*stride)), columns)
	ADDQ(U32(uint64(entries*v.bytes)), tables)
	DECQ(n)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// prefetchWords fetches what addRows reads next.
func prefetchWords() {
	routine("prefetchWords", "func(words *uint16, lines int)")
	Doc("prefetchWords asks for so many cache lines of words, into the second-level cache. lines ≥ 1.")
	words, lines := Load(Param("words"), GP64()), Load(Param("lines"), GP64())
	Label("line")
	PREFETCHT1(Mem{Base: words})
	ADDQ(Imm(64), words)
	DECQ(lines)
	JNZ(LabelRef("line"))
	RET()
}

const rowsAtOnce = 4 // whose words of a column are one load

// addRows is the inner loop of both products: the entries that a row's codes name are added. Sums of words begin anew where keep is 0, and
// where they go on as 32-bit sums these do where keepWide is.
func addRows(name string, v vector, e element, widens bool) {
	integer := e.chains == 1
	params := fmt.Sprintf("sums *%s, words *uint16, stride uintptr, tables *%s, rows, n int", e.name, e.name)
	switch {
	case widens:
		params = "wide *int32, " + params + ", keep, keepWide uint32"
	case integer:
		params += ", keep uint32"
	}
	routine(name, "func("+params+")")
	doc := []string{fmt.Sprintf("%s adds to each row's sums, %d bytes of tokens, the entries of tables that its n words name. The words", name, v.bytes)}
	if e.chains > 1 {
		doc = []string{
			fmt.Sprintf("%s adds to each row's sums, %d bytes of tokens, (a+b)+c: the entries of tables that its n words name,", name, v.bytes),
			"those of each code's place in the word in a chain of its own, in order from 0. The words",
		}
	}
	doc = append(doc, "of a row are stride bytes apart. rows is a multiple of 4, n ≥ 1. "+v.isa+", BMI2.",
		fmt.Sprintf("Registers: %d sums; a load takes four rows' words, rotations cut each code out as a table offset.", rowsAtOnce*e.chains))
	switch {
	case widens:
		doc = append(doc, "The sums, from 0 where keep is 0, else from what sums holds, are added to wide, a row a row, or to 0 where keepWide is 0; both have",
			"all bits elsewhere. sums is left as it was.")
	case integer:
		doc = append(doc, "keep has all bits, or is 0 for sums from 0.")
	}
	Doc(doc...)
	sums, at := Load(Param("sums"), GP64()), Load(Param("words"), GP64())
	stride, tables := Load(Param("stride"), GP64()), Load(Param("tables"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	var wide, keep, keepWide Register
	if integer {
		keep = keeping(v, "keep")
	}
	if widens {
		wide, keepWide = Load(Param("wide"), GP64()), keeping(v, "keepWide")
	}
	shift := 5
	if v.bytes == 64 {
		shift = 6
	}
	Label("row")
	var acc [rowsAtOnce][groups]VecVirtual
	for i := range acc {
		for g := range e.chains {
			acc[i][g] = v.reg()
			if integer {
				loadKept(v, Mem{Base: sums, Disp: i * v.bytes}, keep, acc[i][g])
			} else {
				zero(v, acc[i][g])
			}
		}
	}
	p, t, left := GP64(), GP64(), GP64()
	MOVQ(at, p)
	MOVQ(tables, t)
	MOVQ(n, left)
	Label("word")
	q := GP64()
	MOVQ(Mem{Base: p}, q)
	for i := range acc {
		for g := range groups {
			r := GP64()
			RORXQ(Imm(uint64((16*i+5*g-shift+64)%64)), q, r)
			ANDL(U32(31<<shift), r.As32())
			to := acc[i][g%e.chains]
			var entry Op = Mem{Base: t, Index: r, Scale: 1, Disp: g * entries * v.bytes}
			if v.bytes == 64 && (i*groups+g)%2 == 1 { // of two entries one is loaded apart: 6% (words) to 14% (floats) less time on a Xeon
				loaded := v.reg()
				VMOVUPS(entry, loaded)
				entry = loaded
			}
			e.add(entry, to, to)
		}
	}
	ADDQ(stride, p)
	ADDQ(U32(uint64(groups*entries*v.bytes)), t)
	DECQ(left)
	JNZ(LabelRef("word"))
	for i := range acc {
		if widens {
			widenRow(v, acc[i][0], wide, 2*v.bytes*i, keepWide)
			continue
		}
		a, to := acc[i][0], Mem{Base: sums, Disp: i * v.bytes}
		if e.chains > 1 {
			VADDPS(acc[i][1], a, a)
			VADDPS(acc[i][2], a, a)
			VADDPS(to, a, a)
		}
		VMOVUPS(a, to)
	}
	ADDQ(Imm(2*rowsAtOnce), at)
	ADDQ(U32(uint64(rowsAtOnce*v.bytes)), sums)
	if widens {
		ADDQ(U32(uint64(2*rowsAtOnce*v.bytes)), wide)
	}
	SUBQ(Imm(rowsAtOnce), rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// widenRow adds a row's sums of words to those of dwords disp bytes behind wide.
func widenRow(v vector, sums VecVirtual, wide Register, disp int, keep Register) {
	for half := range 2 {
		w, old, at := v.reg(), v.reg(), Mem{Base: wide, Disp: disp + v.bytes*half}
		if v.bytes == 64 {
			part := sums.AsY()
			if half == 1 {
				part = YMM()
				VEXTRACTI64X4(Imm(1), sums, part)
			}
			VPMOVSXWD(part, w)
		} else {
			part := sums.AsX()
			if half == 1 {
				part = XMM()
				VEXTRACTI128(Imm(1), sums, part)
			}
			VPMOVSXWD(part, w)
		}
		loadKept(v, at, keep, old)
		VPADDD(old, w, w)
		VMOVUPS(w, at)
	}
}

// keeping is the parameter of that name, which has all bits or none, in the form that loadKept takes.
func keeping(v vector, name string) Register {
	bits := Load(Param(name), GP32())
	if v.bytes == 64 {
		k := K()
		KMOVW(bits, k)
		return k
	}
	keep := YMM()
	VMOVD(bits, keep.AsX())
	VPBROADCASTD(keep.AsX(), keep)
	return keep
}

// loadKept loads a register, or 0 where keep has no bits.
func loadKept(v vector, from Mem, keep Register, to VecVirtual) {
	if v.bytes == 64 {
		VMOVUPS_Z(from, keep, to)
	} else {
		VPAND(from, keep, to)
	}
}
