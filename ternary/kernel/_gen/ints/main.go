// Command ints writes the assembly of weight gradients from 16-bit integers. Run it with go generate in
// ternary/kernel/amd64.
//
// These routines multiply gradients by activations, never a weight. A double word holds two tokens, so that one
// instruction multiplies and sums a pair: VPDPWSSD, or VPMADDWD and an addition.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
	"mmfree/ternary/kernel/_gen/tile"
)

// The panels: rows of gradients by 32 columns of codes.
const (
	panelRows = tile.Rows
	panelCols = 32
	stripRows = 12 * panelRows // of gradients that are read at once
	rowsAhead = 8              // of them, tokens, that are asked for
	leftBytes = panelRows * 4  // of a pair of tokens
	codeBytes = panelCols * 4
	maskLanes = 32 // of the table of masks
)

func main() {
	ConstraintExpr("amd64,!noasm")
	table := asm.LaneMasks("intMasks256", maskLanes)
	for _, wide := range []bool{true, false} {
		intScale(wide, table)
		intLeft(wide, table)
	}
	intCodes512()
	intCodes256()
	intTile512("intTile512", true)
	intTile512("intTile512Madd", false)
	intTile256(5, table)
	intTile256(4, table)
	intTilesAMX()
	intCodesAMX()
	intTopAMX()
	intLeftAMX()
	Generate()
}

// lanes are the first so many of 16 lanes, in one register of 512 bits or two of 256.
type lanes struct {
	n        int // registers
	bytes    int // of one
	mask     []Register
	register func() VecVirtual
}

// newLanes loads the mask from a count in 0…16.
func newLanes(wide bool, table Mem, param string) lanes {
	count := Load(Param(param), GP64())
	l := lanes{n: 1, bytes: 64, register: func() VecVirtual { return ZMM() }}
	if !wide {
		l = lanes{n: 2, bytes: 32, register: func() VecVirtual { return YMM() }}
	}
	for i := range l.n {
		l.mask = append(l.mask, firstLanes(wide, table, count, 8*i))
	}
	return l
}

// needs names what a routine of 16 lanes is made for.
func needs(wide bool) (suffix, needs string) {
	if wide {
		return "512", "AVX512F, AVX512BW, BMI2"
	}
	return "256", "AVX2"
}

// load reads register i of the lanes at p; masked lanes are not read, and 0.
func (l lanes) load(p Register, i int) VecVirtual {
	v := l.register()
	masked(l.n == 1, Mem{Base: p, Disp: l.bytes * i}, l.mask[i], v)
	return v
}

// intScale reads a strip of gradients, for all its panels at once. A token's part of it is a few lines of a page of its own; to ask for them ahead, into the second-level
// cache, takes 1 to 5% off the whole gradient (a Xeon, family 6, model 207, 8, 16 and 32 tokens alike).
func intScale(wide bool, table Mem) {
	suffix, need := needs(wide)
	register, bytes := func() VecVirtual { return YMM() }, 32
	if wide {
		register, bytes = func() VecVirtual { return ZMM() }, 64
	}
	asm.Routine("intScale"+suffix, "func(strip *float32, top *uint32, a *float32, stride uintptr, inv *float32, n, rows int)")
	Doc("intScale"+suffix+fmt.Sprintf(" writes a[t·stride+i]·inv[t] to strip[t·%d+i], i < rows, and raises top[i] to the largest bit pattern of", stripRows),
		fmt.Sprintf("their absolute values; up to the next multiple of %d both are overwritten. stride in bytes; n, rows ≥ 1. %s. Twin:", bytes/4, need),
		"generic.gradientInts.")
	strip, top, a := Load(Param("strip"), GP64()), Load(Param("top"), GP64()), Load(Param("a"), GP64())
	stride, inv := Load(Param("stride"), GP64()), Load(Param("inv"), GP64())
	n, whole := Load(Param("n"), GP64()), Load(Param("rows"), GP64())
	part := GP64()
	MOVQ(whole, part)
	ANDQ(Imm(uint64(bytes/4-1)), part)
	SUBQ(part, whole)
	SHLQ(Imm(2), whole) // bytes of whole registers
	mask := firstLanes(wide, table, part, 0)
	abs := register()
	ones(wide, abs)
	VPSRLD(Imm(1), abs, abs)
	at, ahead, f := GP64(), GP64(), register()
	IMUL3Q(Imm(rowsAhead), stride, ahead)
	ADDQ(a, ahead)
	use := func(load func(from Mem, v VecVirtual)) {
		v, to := register(), Mem{Base: top, Index: at, Scale: 1}
		PREFETCHT1(Mem{Base: ahead, Index: at, Scale: 1})
		load(Mem{Base: a, Index: at, Scale: 1}, v)
		VMULPS(f, v, v)
		VMOVUPS(v, Mem{Base: strip, Index: at, Scale: 1})
		and(wide, abs, v)
		VPMAXUD(to, v, v)
		VMOVUPS(v, to)
	}
	Label("token")
	VBROADCASTSS(Mem{Base: inv}, f)
	XORQ(at, at)
	CMPQ(at, whole)
	JEQ(LabelRef("part"))
	Label("whole")
	use(func(from Mem, v VecVirtual) { VMOVUPS(from, v) })
	ADDQ(Imm(uint64(bytes)), at)
	CMPQ(at, whole)
	JNE(LabelRef("whole"))
	Label("part")
	TESTQ(part, part)
	JZ(LabelRef("next"))
	use(func(from Mem, v VecVirtual) { masked(wide, from, mask, v) })
	Label("next")
	ADDQ(stride, ahead)
	ADDQ(stride, a)
	ADDQ(U32(4*stripRows), strip)
	ADDQ(Imm(4), inv)
	DECQ(n)
	JNZ(LabelRef("token"))
	VZEROUPPER()
	RET()
}

// firstLanes is a mask of the first so many lanes of one register, from lane skip on.
func firstLanes(wide bool, table Mem, count Register, skip int) Register {
	if wide {
		bits, k := GP64(), K()
		XORQ(bits, bits)
		DECQ(bits)
		BZHIQ(count, bits, bits)
		KMOVW(bits.As32(), k)
		return k
	}
	at, from, m := GP64(), GP64(), YMM()
	LEAQ(table, at)
	MOVQ(U32(maskLanes), from)
	SUBQ(count, from)
	VMOVDQU(Mem{Base: at, Index: from, Scale: 4, Disp: 4 * skip}, m)
	return m
}

// masked loads lanes; those that are not in the mask are not read, and 0.
func masked(wide bool, from Mem, mask Register, v VecVirtual) {
	if wide {
		VMOVUPS_Z(from, mask, v)
	} else {
		VMASKMOVPS(from, mask, v)
	}
}

func ones(wide bool, v VecVirtual) {
	if wide {
		VPTERNLOGD(U8(0xff), v, v, v)
		return
	}
	VPCMPEQD(v, v, v)
}

func and(wide bool, mask, v VecVirtual) {
	if wide {
		VPANDD(mask, v, v)
		return
	}
	VPAND(mask, v, v)
}

// intLeft quantises a panel of gradients.
func intLeft(wide bool, table Mem) {
	suffix, need := needs(wide)
	asm.Routine("intLeft"+suffix, "func(dst *int16, strip, up *float32, n, rows int)")
	Doc("intLeft"+suffix+fmt.Sprintf(" writes round(strip[t·%d+i]·up[i]), halves to even, to dst[t/2][i][t%%2], i < %d; 8 more bytes behind", stripRows, panelRows),
		"the last pair are overwritten. Rows from rows on are not read, and 0; so is the token that the last pair may lack.",
		fmt.Sprintf("up has 16 values; n ≥ 1. %s. Twin: generic.gradientInts.", need))
	dst, strip := Load(Param("dst"), GP64()), Load(Param("strip"), GP64())
	up, n := Load(Param("up"), GP64()), Load(Param("n"), GP64())
	l := newLanes(wide, table, "rows")
	factor := make([]VecVirtual, l.n)
	for i := range factor {
		factor[i] = l.register()
		VMOVUPS(Mem{Base: up, Disp: l.bytes * i}, factor[i])
	}
	odd := K()
	if wide {
		bits := GP32()
		MOVL(U32(0xaaaaaaaa), bits)
		KMOVD(bits, odd)
	}
	// quantised returns the integers of the token at strip.
	quantised := func(i int) VecVirtual {
		v := l.load(strip, i)
		VMULPS(factor[i], v, v)
		VCVTPS2DQ(v, v)
		return v
	}
	SUBQ(Imm(2), n)
	JLT(LabelRef("last"))
	Label("pair")
	pair := make([]VecVirtual, l.n)
	for i := range pair {
		pair[i] = quantised(i)
	}
	ADDQ(U32(4*stripRows), strip)
	for i, low := range pair {
		high := quantised(i)
		VPSLLD(Imm(16), high, high)
		if wide {
			VMOVDQU16(high, odd, low)
		} else {
			VPBLENDW(U8(0xaa), high, low, low)
		}
		VMOVUPS(low, Mem{Base: dst, Disp: l.bytes * i})
	}
	ADDQ(U32(4*stripRows), strip)
	ADDQ(Imm(leftBytes), dst)
	SUBQ(Imm(2), n)
	JGE(LabelRef("pair"))
	Label("last")
	ADDQ(Imm(2), n)
	JZ(LabelRef("done"))
	for i := range l.n {
		v := quantised(i)
		VPSLLD(Imm(16), v, v)
		VPSRLD(Imm(16), v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: l.bytes * i})
	}
	Label("done")
	VZEROUPPER()
	RET()
}
