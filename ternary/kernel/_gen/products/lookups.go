package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	entryBytes   = 64 // an entry's tokens: one register, or two, for which an index is brought once
	blockRows    = 32 // whose codes are taken apart together
	wordsPerPass = 6  // of a row, at most
	wordsPerPart = 2
	partsPerPass = wordsPerPass / wordsPerPart
	pairBytes    = 2 * blockRows
	partBytes    = groups * pairBytes // two words have as many pairs of codes as one has codes
)

// pairConstants is what takeApart needs: the bits of a pair's low codes, those of its high ones, and words that stand for none.
func pairConstants() Mem {
	table := GLOBL("codePairConstants", RODATA|NOPTR)
	for i, word := range []uint16{0x00f8, 0xf800, 13 | 13<<5 | 13<<10} {
		for j := range blockRows {
			DATA(pairBytes*i+2*j, U16(word))
		}
	}
	return table
}

// code is the g-th of a part's word.
type code struct{ word, g int }

// codePairs are the codes of a part, two by two, so that those of a place in the word come in the words' order.
var codePairs = [groups][2]code{{{0, 0}, {0, 1}}, {{1, 0}, {1, 1}}, {{0, 2}, {1, 2}}}

// addRows is the inner loop of both products: the entries that a row's codes name are added. Sums of words begin anew where keep is 0, and
// where they go on as 32-bit sums these do where keepWide is. Of an entry it adds so many registers across, the first ones.
//
// To bring a code into a register of its own takes longer than to load and add its entry. So vectors take the codes of 32 rows apart
// first: each becomes a byte, eight times the code, as an index may be taken eight times. A load brings eight, of four rows,
// and the lowest two bytes of a register need no shift: three and a half operations a lookup. A rotation and a mask for each code
// are four, and took 10% (words) to 25% (floats) longer on a Xeon (family 6, model 207), a quarter where others used its cores' other halves. An
// entry is loaded apart from its addition: as an operand with an index it is two operations all the same, and takes 5% longer. An entry
// of two registers, with AVX2, needs one index for both: 13% less time for each than alone.
func addRows(name string, v vector, e element, widens bool, across int, constants Mem) {
	integer := e.chains == 1
	rowsAtOnce := 4
	if across > 1 && !integer {
		rowsAtOnce = 2 // for want of registers
	}
	addRowsHead(name, v, e, widens, across, rowsAtOnce)
	sums, words := Load(Param("sums"), GP64()), Load(Param("words"), GP64())
	tables, pairs := Load(Param("tables"), GP64()), Load(Param("pairs"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	var wide, keep, keepWide Register
	if integer {
		keep = keeping(v, "keep")
	}
	if widens {
		wide, keepWide = Load(Param("wide"), GP64()), keeping(v, "keepWide")
	}
	// Of fewer words the last parts of a row's code are run: they find the first pairs and tables as if others stood before.
	const partTables = wordsPerPart * groups * entries * entryBytes
	for part := partsPerPass - 1; part > 0; part-- {
		enough := fmt.Sprintf("enough%d", part)
		CMPQ(n, Imm(uint64(part*wordsPerPart)))
		JHI(LabelRef(enough))
		SUBQ(U32(partTables), tables)
		SUBQ(U32(partBytes), pairs)
		Label(enough)
	}
	Label("block")
	takeApart(v, words, n, constants)
	ADDQ(Imm(pairBytes), words)
	at := GP64()
	MOVQ(pairs, at)
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
	turn := 0
	for part := range partsPerPass {
		Label(fmt.Sprintf("part%d", part))
		for p, pair := range codePairs {
			indices(rowsAtOnce, Mem{Base: at, Disp: part*partBytes + p*pairBytes}, turn, func(row, second int, index Register) {
				c := pair[second]
				from := Mem{Base: tables, Index: index, Scale: entryBytes / 8, Disp: part*partTables + (groups*c.word+c.g)*entries*entryBytes}
				for h, to := range acc[row][c.g%e.chains] {
					entry := v.reg()
					VMOVUPS(from.Offset(h*v.bytes), entry)
					e.add(entry, to, to)
				}
			})
			turn++
		}
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
				VADDPS(to, a, a)
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
	integer := e.chains == 1
	params := fmt.Sprintf("sums *%s, words *uint16, stride uintptr, tables *%s, rows, n int, pairs *uint16", e.name, e.name)
	switch {
	case widens:
		params = "wide *int32, " + params + ", keep, keepWide uint32"
	case integer:
		params += ", keep uint32"
	}
	routine(name, "func("+params+")")
	doc := []string{fmt.Sprintf("%s adds to each row's sums, %d of %d bytes of tokens, the entries of tables that its n words name. The words", name, across*v.bytes, entryBytes)}
	if e.chains > 1 {
		doc = []string{
			fmt.Sprintf("%s adds to each row's sums, %d of %d bytes of tokens, (a+b)+c: the entries of tables that its n words name,", name, across*v.bytes, entryBytes),
			"those of each code's place in the word in a chain of its own, in order from 0. The words",
		}
	}
	doc = append(doc,
		fmt.Sprintf("of a row are stride bytes apart. rows is a multiple of %d, 1 ≤ n ≤ %d. Behind the tables of an odd n lie those of one more", blockRows, wordsPerPass),
		fmt.Sprintf("word, whose entries of code 13 are 0. pairs is scratch memory, [%d][%d]. %s.", partsPerPass*groups, blockRows, v.isa),
		fmt.Sprintf("Registers: %d sums; a load takes %d rows' codes of a pair, as indices of entries.", rowsAtOnce*e.chains*across, rowsAtOnce))
	switch {
	case widens:
		doc = append(doc, "The sums, from 0 where keep is 0, else from what sums holds, are added to wide, a row a row, or to 0 where keepWide is 0; both have",
			"all bits elsewhere. sums is left as it was.")
	case integer:
		doc = append(doc, "keep has all bits, or is 0 for sums from 0.")
	}
	Doc(doc...)
}

// takeApart writes the codes of n words of 32 rows to the parameter pairs.
func takeApart(v vector, words, n Register, constants Mem) {
	at, to, stride := GP64(), Load(Param("pairs"), GP64()), Load(Param("stride"), GP64())
	left := GP64()
	MOVQ(words, at)
	MOVQ(n, left)
	Label("part")
	next, absent := GP64(), GP64()
	LEAQ(Mem{Base: at, Index: stride, Scale: 1}, next)
	LEAQ(constants.Offset(2*pairBytes), absent)
	CMPQ(left, Imm(1))
	CMOVQEQ(absent, next)
	for half := 0; half < pairBytes; half += v.bytes {
		var w [wordsPerPart]VecVirtual
		for i, from := range []Register{at, next} {
			w[i] = v.reg()
			VMOVUPS(Mem{Base: from, Disp: half}, w[i])
		}
		for p, pair := range codePairs {
			low, high := v.reg(), v.reg()
			shifted(w[pair[0].word], trits-5*pair[0].g, low)
			shifted(w[pair[1].word], 8+trits-5*pair[1].g, high)
			if v.bytes == 64 {
				VPANDD(constants, low, low)
				VPTERNLOGD(Imm(0xf8), constants.Offset(pairBytes), high, low) // low ∨ high∧bits
			} else {
				VPAND(constants, low, low)
				VPAND(constants.Offset(pairBytes), high, high)
				VPOR(high, low, low)
			}
			VMOVUPS(low, Mem{Base: to, Disp: p*pairBytes + half})
		}
	}
	LEAQ(Mem{Base: at, Index: stride, Scale: 2}, at)
	ADDQ(U32(partBytes), to)
	SUBQ(Imm(wordsPerPart), left)
	JGT(LabelRef("part"))
}

// shifted shifts words to the left, or to the right by fewer than 0 bits.
func shifted(w VecVirtual, left int, to VecVirtual) {
	if left < 0 {
		VPSRLW(Imm(uint64(-left)), w, to)
	} else {
		VPSLLW(Imm(uint64(left)), w, to)
	}
}

// indices loads a pair of codes of each of two or four rows and hands them on one by one. Only four registers give their second byte; they take turns.
func indices(rows int, from Mem, turn int, use func(row, second int, index Register)) {
	q := []GPPhysical{RAX, RBX, RCX, RDX}[turn%4]
	if rows == 4 {
		MOVQ(from, q)
	} else {
		MOVL(from, q.As32())
	}
	for row := range rows {
		low, high := GP64(), GP64()
		MOVBLZX(q.As8L(), low.As32())
		use(row, 0, low)
		if row == rows-1 {
			SHRL(Imm(8), q.As32())
			use(row, 1, q)
			break
		}
		MOVBLZX(q.As8H(), high.As32())
		use(row, 1, high)
		SHRQ(Imm(16), q)
	}
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
