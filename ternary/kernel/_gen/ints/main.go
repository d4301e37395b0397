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

	"mmfree/ternary/kernel/_gen/tile"
)

// The panels: rows of gradients by 32 columns of codes.
const (
	panelRows = tile.Rows
	panelCols = 32
	leftBytes = panelRows * 4 // of a pair of tokens
	codeBytes = panelCols * 4
	maskLanes = 32 // of the table of masks
)

func main() {
	ConstraintExpr("amd64,!noasm")
	table := laneMasks()
	for _, wide := range []bool{true, false} {
		intTop(wide, table)
		intLeft(wide, table)
	}
	intCodes512()
	intCodes256()
	intTile512("intTile512", true)
	intTile512("intTile512Madd", false)
	intTile256(5, table)
	intTile256(4, table)
	Generate()
}

// routine starts a function without a frame whose arguments do not escape.
func routine(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
}

// laneMasks is a table of so many lanes of ones, then as many of zeros.
func laneMasks() Mem {
	table := GLOBL("intMasks256", RODATA|NOPTR)
	for i := range 2 * maskLanes {
		DATA(4*i, I32(int32(i/maskLanes-1)))
	}
	return table
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
	if wide {
		bits, k := GP64(), K()
		XORQ(bits, bits)
		DECQ(bits)
		BZHIQ(count, bits, bits)
		KMOVW(bits.As32(), k)
		return lanes{n: 1, bytes: 64, mask: []Register{k}, register: func() VecVirtual { return ZMM() }}
	}
	l := lanes{n: 2, bytes: 32, register: func() VecVirtual { return YMM() }}
	at, skip := GP64(), GP64()
	LEAQ(table, at)
	MOVQ(U32(maskLanes), skip)
	SUBQ(count, skip)
	for i := range l.n {
		m := YMM()
		VMOVDQU(Mem{Base: at, Index: skip, Scale: 4, Disp: 32 * i}, m)
		l.mask = append(l.mask, m)
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

// load reads register i of the lanes at p + disp; masked lanes are not read, and 0.
func (l lanes) load(p Register, disp, i int) VecVirtual {
	v, from := l.register(), Mem{Base: p, Disp: disp + l.bytes*i}
	if l.n == 1 {
		VMOVUPS_Z(from, l.mask[0], v)
	} else {
		VMASKMOVPS(from, l.mask[i], v)
	}
	return v
}

// intTop writes the statistics of a panel.
func intTop(wide bool, table Mem) {
	suffix, need := needs(wide)
	routine("intTop"+suffix, "func(top *uint32, a *float32, stride uintptr, inv *float32, n, rows int)")
	Doc("intTop"+suffix+" writes the largest bit pattern of |a[t·stride+i]·inv[t]| over n tokens to top[i], i < 16; that of",
		fmt.Sprintf("rows from rows on, which are not read, is 0. stride in bytes; n ≥ 1. %s. Twin: generic.gradientInts.", need))
	top, a, stride := Load(Param("top"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64())
	inv, n := Load(Param("inv"), GP64()), Load(Param("n"), GP64())
	l := newLanes(wide, table, "rows")
	abs := l.register()
	ones(wide, abs)
	VPSRLD(Imm(1), abs, abs)
	largest := make([]VecVirtual, l.n)
	for i := range largest {
		largest[i] = l.register()
		zero(wide, largest[i])
	}
	Label("token")
	f := l.register()
	VBROADCASTSS(Mem{Base: inv}, f)
	for i, m := range largest {
		v := l.load(a, 0, i)
		VMULPS(f, v, v)
		and(wide, abs, v)
		VPMAXUD(v, m, m)
	}
	ADDQ(stride, a)
	ADDQ(Imm(4), inv)
	DECQ(n)
	JNZ(LabelRef("token"))
	for i, m := range largest {
		VMOVUPS(m, Mem{Base: top, Disp: l.bytes * i})
	}
	VZEROUPPER()
	RET()
}

func zero(wide bool, v VecVirtual) {
	if wide {
		VPXORD(v, v, v)
		return
	}
	VPXOR(v, v, v)
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
	routine("intLeft"+suffix, "func(dst *int16, a *float32, stride uintptr, inv, up *float32, n, rows int)")
	Doc("intLeft"+suffix+" writes round(a[t·stride+i]·inv[t]·up[i]), halves to even, to dst[t/2][i][t%2], i < 14; 8 more bytes",
		"behind the last pair are overwritten. Rows from rows on are not read, and 0; so is the token that the last pair may",
		fmt.Sprintf("lack. up has 16 values. stride in bytes; n ≥ 1. %s. Twin: generic.gradientInts.", need))
	dst, a, stride := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64())
	inv, up, n := Load(Param("inv"), GP64()), Load(Param("up"), GP64()), Load(Param("n"), GP64())
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
	// quantised returns the integers of the token at a.
	quantised := func(f VecVirtual, i int) VecVirtual {
		v := l.load(a, 0, i)
		VMULPS(f, v, v)
		VMULPS(factor[i], v, v)
		VCVTPS2DQ(v, v)
		return v
	}
	SUBQ(Imm(2), n)
	JLT(LabelRef("last"))
	Label("pair")
	pair := make([]VecVirtual, l.n)
	f := l.register()
	VBROADCASTSS(Mem{Base: inv}, f)
	for i := range pair {
		pair[i] = quantised(f, i)
	}
	ADDQ(stride, a)
	f = l.register()
	VBROADCASTSS(Mem{Base: inv, Disp: 4}, f)
	for i, low := range pair {
		high := quantised(f, i)
		VPSLLD(Imm(16), high, high)
		if wide {
			VMOVDQU16(high, odd, low)
		} else {
			VPBLENDW(U8(0xaa), high, low, low)
		}
		VMOVUPS(low, Mem{Base: dst, Disp: l.bytes * i})
	}
	ADDQ(stride, a)
	ADDQ(Imm(8), inv)
	ADDQ(Imm(leftBytes), dst)
	SUBQ(Imm(2), n)
	JGE(LabelRef("pair"))
	Label("last")
	ADDQ(Imm(2), n)
	JZ(LabelRef("done"))
	f = l.register()
	VBROADCASTSS(Mem{Base: inv}, f)
	for i := range l.n {
		v := quantised(f, i)
		VPSLLD(Imm(16), v, v)
		VPSRLD(Imm(16), v, v)
		VMOVUPS(v, Mem{Base: dst, Disp: l.bytes * i})
	}
	Label("done")
	VZEROUPPER()
	RET()
}
