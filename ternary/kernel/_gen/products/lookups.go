package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

const (
	entryBytes   = 64 // an entry's tokens: one register, or two, for which an index is brought once
	blockRows    = 32 // whose codes are taken apart together
	wordsPerPass = 6  // of a row, at most
	wordsPerPart = 2
	partsPerPass = wordsPerPass / wordsPerPart
)

// addRows is the inner loop of both products: the entries that a row's codes name are added. Sums begin anew where keep is 0, and
// where words go on as 32-bit sums these do where keepWide is. Of an entry it adds so many registers across, the first ones.
//
// How codes become addresses is the indexing's. An entry of two registers, with AVX2, needs one address for both: 13% less time for each than alone.
func addRows(name string, v vector, e element, widens bool, across int) {
	integer := e.chains == 1
	rowsAtOnce := 4
	if across > 1 && !integer {
		rowsAtOnce = 2 // for want of registers
	}
	addRowsHead(name, v, e, widens, across, rowsAtOnce)
	sums, words := Load(Param("sums"), GP64()), Load(Param("words"), GP64())
	tables, codes := Load(Param("tables"), GP64()), Load(Param("codes"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	var wide, keepWide Register
	keep := keeping(v, "keep")
	if widens {
		wide, keepWide = Load(Param("wide"), GP64()), keeping(v, "keepWide")
	}
	// Of fewer words the last parts of a row's code are run: they find the first codes as if others stood before.
	for part := partsPerPass - 1; part > 0; part-- {
		enough := fmt.Sprintf("enough%d", part)
		CMPQ(n, Imm(uint64(part*wordsPerPart)))
		JHI(LabelRef(enough))
		SUBQ(U32(partBytes), codes)
		Label(enough)
	}
	x := indexing{v: v}
	x.start(tables)
	Label("block")
	x.takeApart(words, n)
	ADDQ(Imm(2*blockRows), words)
	at := GP64()
	MOVQ(codes, at)
	Label("row")
	acc := make([][groups][]VecVirtual, rowsAtOnce)
	for i := range acc {
		for g := range e.chains {
			for h := range across {
				r := v.reg()
				acc[i][g] = append(acc[i][g], r)
				if integer {
					loadKept(v, Mem{Base: sums, Disp: i*entryBytes + h*v.bytes}, keep, r)
				} else {
					zero(v, r)
				}
			}
		}
	}
	for part := partsPerPass - 1; part > 0; part-- {
		CMPQ(n, Imm(uint64((partsPerPass-part)*wordsPerPart)))
		JLS(LabelRef(fmt.Sprintf("part%d", part)))
	}
	for part := range partsPerPass {
		Label(fmt.Sprintf("part%d", part))
		x.bring(rowsAtOnce, at, tables, part, func(row int, c code, entry Mem) {
			for h, to := range acc[row][c.g%e.chains] {
				e.add(entry.Offset(h*v.bytes), to, to)
			}
		})
	}
	for i := range acc {
		for h, a := range acc[i][0] {
			at := i*entryBytes + h*v.bytes
			if widens {
				widenRow(v, a, wide, 2*at, keepWide)
				continue
			}
			to := Mem{Base: sums, Disp: at}
			if e.chains > 1 {
				VADDPS(acc[i][1][h], a, a)
				VADDPS(acc[i][2][h], a, a)
				addKept(v, to, keep, a)
			}
			VMOVUPS(a, to)
		}
	}
	ADDQ(Imm(uint64(2*rowsAtOnce)), at)
	ADDQ(U32(uint64(rowsAtOnce*entryBytes)), sums)
	if widens {
		ADDQ(U32(uint64(2*rowsAtOnce*entryBytes)), wide)
	}
	SUBQ(Imm(uint64(rowsAtOnce)), rows)
	TESTQ(U32(blockRows-1), rows)
	JNZ(LabelRef("row"))
	TESTQ(rows, rows)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// addRowsHead starts the routine and documents it.
func addRowsHead(name string, v vector, e element, widens bool, across, rowsAtOnce int) {
	params := fmt.Sprintf("sums *%s, words *uint16, stride uintptr, tables *%s, rows, n int, codes *uint16, keep", e.name, e.name)
	if widens {
		params = "wide *int32, " + params + ", keepWide"
	}
	params += " uint32"
	needs := v.isa
	if v.bytes == 64 {
		needs += ", BMI2"
	}
	asm.Routine(name, "func("+params+")")
	doc := []string{fmt.Sprintf("%s adds to each row's sums, %d of %d bytes of tokens, the entries of tables that its n words name. The words", name, across*v.bytes, entryBytes)}
	if e.chains > 1 {
		doc = []string{
			fmt.Sprintf("%s adds to each row's sums, %d of %d bytes of tokens, (a+b)+c: the entries of tables that its n words name,", name, across*v.bytes, entryBytes),
			"those of each code's place in the word in a chain of its own, in order from 0. The words",
		}
	}
	doc = append(doc,
		fmt.Sprintf("of a row are stride bytes apart. rows is a multiple of %d, 1 ≤ n ≤ %d. tables has those of %d words, of which the first are left", blockRows, wordsPerPass, wordsPerPass),
		fmt.Sprintf("out, %d and %d of them, where n is small enough. Behind the last of an odd n lie those of one more word, whose entries of code 13 are 0.", wordsPerPart, 2*wordsPerPart),
		fmt.Sprintf("The first %d bytes of tables lie in 64 KiB that begin at a multiple of so many. codes is scratch memory, [%d]. %s. Registers: %d sums.",
			indexes*entryBytes, partsPerPass*partBytes/2, needs, rowsAtOnce*e.chains*across))
	switch {
	case widens:
		doc = append(doc, "The sums, from 0 where keep is 0, else from what sums holds, are added to wide, a row a row, or to 0 where keepWide is 0; both have",
			"all bits elsewhere. sums is left as it was.")
	default:
		doc = append(doc, "keep has all bits, or is 0 for sums from 0.")
	}
	Doc(doc...)
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

// addKept adds floats, or where keep has no bits nothing: what that adds to is never −0, which alone 0 would change.
func addKept(v vector, from Mem, keep Register, to VecVirtual) {
	if v.bytes == 64 {
		VADDPS(from, to, keep, to)
		return
	}
	old := v.reg()
	loadKept(v, from, keep, old)
	VADDPS(old, to, to)
}

// loadKept loads a register, or 0 where keep has no bits.
func loadKept(v vector, from Mem, keep Register, to VecVirtual) {
	if v.bytes == 64 {
		VMOVUPS_Z(from, keep, to)
	} else {
		VPAND(from, keep, to)
	}
}
