package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// code is the g-th of a part's word.
type code struct{ word, g int }

// disp is where the table of a code begins, in bytes.
func (c code) disp(part int) int {
	return ((part*wordsPerPart+c.word)*groups + c.g) * entries * entryBytes
}

// shifted shifts words to the left, or to the right by fewer than 0 bits.
func shifted(w VecVirtual, left int, to VecVirtual) {
	if left < 0 {
		VPSRLW(Imm(uint64(-left)), w, to)
	} else {
		VPSLLW(Imm(uint64(left)), w, to)
	}
}

// indexing makes addresses of table entries from codes. To bring a code into a register of its own takes longer than to load and add its entry, so
// vectors take the codes of 32 rows apart first: each becomes the lowest 16 bits of its entry's address. A load brings those of some rows. What
// replaces the lowest bits of a register that has the tables' address makes an operand without an index, which is loaded and added in one
// operation; with an index it is two. With AVX-512 three of four rows have an index all the same: PEXT and a shift bring it in one operation each. Some
// processors with AVX2 alone take long for PEXT.
//
// Before, a code was a byte, eight times the code, of which the lowest two of a register need no shift: three and a half operations for an entry of one
// register, three now. In turn within a process, one thread of a Xeon (family 6, model 207): AVX-512 5 to 9% less time where another uses the
// core's other half, up to 2% more where none does; AVX2, whose entries are two registers, floats 6 to 15% less, words 10% less to 4% more.
type indexing struct {
	v          vector
	base, bits VecVirtual   // 16 bits of the tables' address, and those of an index
	whole      []GPVirtual  // the tables' address, and in turn a code's
	turn       int          // of these
	masks      [2]GPVirtual // of the second and the third row, for PEXT
}

const (
	indexes     = 32            // that a code's five bits have
	offsetBytes = 2 * blockRows // of a place of a part's codes
	partBytes   = wordsPerPart * groups * offsetBytes
)

// extracts tells whether PEXT is used.
func (x *indexing) extracts() bool { return x.v.bytes == 64 }

// start loads what stays in registers. tables is what an index is added to from here on.
func (x *indexing) start(tables Register) {
	x.base, x.bits = x.v.reg(), x.v.reg()
	bits := GP32()
	MOVL(U32((indexes-1)*entryBytes), bits)
	x.broadcast(bits, x.bits)
	x.broadcast(tables.(GP).As32(), x.base)
	wholes := 4
	if x.extracts() {
		wholes = 1
	}
	for range wholes {
		whole := GP64()
		MOVQ(tables, whole)
		x.whole = append(x.whole, whole)
	}
	if !x.extracts() {
		return
	}
	ANDQ(I32(-1<<16), tables)
	for i := range x.masks {
		x.masks[i] = GP64()
		MOVQ(U64(0xffff<<(16*(i+1))), x.masks[i])
	}
}

// broadcast brings the lowest word to all.
func (x *indexing) broadcast(word Register, to VecVirtual) {
	if x.v.bytes == 64 {
		VPBROADCASTW(word, to)
		return
	}
	VMOVD(word, to.AsX())
	VPBROADCASTW(to.AsX(), to)
}

// takeApart writes the codes of n words of 32 rows to the parameter codes, word by word, 32 rows of a code together.
func (x *indexing) takeApart(words, n Register) {
	at, to, stride, left := GP64(), Load(Param("codes"), GP64()), Load(Param("stride"), GP64()), GP64()
	MOVQ(words, at)
	MOVQ(n, left)
	Label("word")
	for part := 0; part < offsetBytes; part += x.v.bytes {
		w := x.v.reg()
		VMOVUPS(Mem{Base: at, Disp: part}, w)
		for g := range groups {
			v := x.v.reg()
			shifted(w, 6-5*g, v) // 2^6 bytes an entry
			if x.v.bytes == 64 {
				VPANDD(x.bits, v, v)
			} else {
				VPAND(x.bits, v, v)
			}
			VPADDW(x.base, v, v)
			VMOVUPS(v, Mem{Base: to, Disp: g*offsetBytes + part})
		}
	}
	ADDQ(stride, at)
	ADDQ(U32(groups*offsetBytes), to)
	DECQ(left)
	JNZ(LabelRef("word"))
	TESTQ(U32(1), n)
	JZ(LabelRef("apart"))
	bits, absent := GP32(), x.v.reg()
	MOVL(U32(13*entryBytes), bits)
	x.broadcast(bits, absent)
	VPADDW(x.base, absent, absent)
	for place := 0; place < groups*offsetBytes; place += x.v.bytes {
		VMOVUPS(absent, Mem{Base: to, Disp: place})
	}
	Label("apart")
}

// bring hands on the entries of two or four rows that a part's codes at at name.
func (x *indexing) bring(rows int, at, tables Register, part int, use func(row int, c code, entry Mem)) {
	for place := range wordsPerPart * groups {
		c := code{place / groups, place % groups}
		q, from := GP64(), Mem{Base: at, Disp: part*partBytes + place*offsetBytes}
		if rows == 4 {
			MOVQ(from, q)
		} else {
			MOVL(from, q.As32())
		}
		for row := range rows {
			switch {
			case row == 0 || !x.extracts():
				if row > 0 {
					SHRQ(Imm(16), q)
				}
				whole := x.whole[x.turn%len(x.whole)]
				x.turn++
				MOVW(q.As16(), whole.As16())
				use(row, c, Mem{Base: whole, Disp: c.disp(part)})
			case row == rows-1:
				SHRQ(Imm(48), q)
				use(row, c, Mem{Base: tables, Index: q, Scale: 1, Disp: c.disp(part)})
			default:
				index := GP64()
				PEXTQ(x.masks[row-1], q, index)
				use(row, c, Mem{Base: tables, Index: index, Scale: 1, Disp: c.disp(part)})
			}
		}
	}
}
