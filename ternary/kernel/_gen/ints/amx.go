package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"mmfree/ternary/kernel/_gen/asm"
)

// With AMX a register is a tile of 16 rows of 64 bytes, and one instruction adds to 16×16 sums the products of 16 rows by 16 columns of 64 bytes: 16,384
// of them in 16 cycles. A 16-bit integer takes two, one for each byte. Neither avo nor Go's assembler knows these instructions, so they are written
// byte by byte.
const (
	amxRows   = 16
	amxTile   = 1024 // bytes
	amxTokens = 64   // of a tile of integers or codes
	amxCols   = 64   // of a call
	amxLevel  = 512 / amxTokens * amxTile
)

// tmm names a tile register.
type tmm uint8

// A routine on tiles uses four of eight. Where another thread is busy on the core, registers are so short that each of eight used makes a load wait:
// 15 µs for 128 rows and 64 columns of 512 tokens with eight, which loads least, 9 with four, and 4.8 both ways where the core is not shared
// (a Xeon, family 6, model 207).
const (
	tileHigh tmm = iota // sums of higher bytes
	tileLow             // and of lower ones
	tileLeft            // integers' bytes
	tileCodes
	tileCount
)

// The registers of addresses, whose numbers are part of instructions.
var (
	amxLeft   = reg.RSI
	amxCodes  = reg.RDI
	amxStride = reg.RCX
)

// amx writes an instruction, and tells avo which general registers it reads.
func amx(isa string, inputs []Op, code ...byte) {
	for _, b := range code {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}, Inputs: inputs, ISA: []string{isa}})
	}
}

// The prefixes of three-byte VEX instructions that differ in nothing else.
const (
	vexNone = iota
	vex66
	vexF3
	vexF2
)

// vex is the last byte of such a prefix, for no further register and 128 bits.
func vex(prefix byte) byte { return 0x78 | prefix }

// amxMemory is TILELOADD (F2) or TILESTORED (F3) of the tile at base+disp, its rows amxStride bytes apart.
func amxMemory(prefix byte, t tmm, base reg.GPPhysical, disp uint32) {
	address := byte(amxStride.PhysicalIndex())<<3 | byte(base.PhysicalIndex())
	amx("AMXTILE", []Op{base, amxStride}, 0xc4, 0xe2, vex(prefix), 0x4b, 0x84|byte(t)<<3, address, byte(disp), byte(disp>>8), byte(disp>>16), byte(disp>>24))
}

// ldTileConfig is LDTILECFG.
func ldTileConfig(base reg.GPPhysical) {
	amx("AMXTILE", []Op{base}, 0xc4, 0xe2, vex(vexNone), 0x49, byte(base.PhysicalIndex()))
}

// tileRelease is TILERELEASE.
func tileRelease() { amx("AMXTILE", nil, 0xc4, 0xe2, vex(vexNone), 0x49, 0xc0) }

// tileZero is TILEZERO.
func tileZero(t tmm) { amx("AMXTILE", nil, 0xc4, 0xe2, vex(vexF2), 0x49, 0xc0|byte(t)<<3) }

// tileProducts adds the products of left's bytes with the codes: TDPBSSD (F2), where they have a sign, or TDPBUSD (66).
func tileProducts(prefix byte, sums tmm) {
	amx("AMXINT8", nil, 0xc4, 0xe2, (^byte(tileCodes)&15)<<3|prefix, 0x5e, 0xc0|byte(sums)<<3|byte(tileLeft))
}

// amxConfig is a configuration of whole tiles.
func amxConfig() Mem {
	const palette, rowBytes, rows = 0, 16, 48
	var config [64]byte
	config[palette] = 1
	for t := range tileCount {
		config[rowBytes+2*t] = 64
		config[rows+t] = amxRows
	}
	table := GLOBL("amxConfig", RODATA|NOPTR)
	for i, b := range config {
		DATA(i, U8(b))
	}
	return table
}

// intTilesAMX is a strip's products with 64 columns.
func intTilesAMX() {
	config := amxConfig()
	const name = "intTilesAMX"
	asm.Routine(name, "func(dst *float32, stride uintptr, left *uint8, codes *int8, down *float32, sums *int32, steps, rows int, mask uint64, next *int8, step uintptr)")
	Doc(name+" adds float32(Σ_t G[t][i]·codes[t][c])·down[i] to dst[i·stride+c], the sum exact in 32 bits, for i < rows and the c < 64 whose bit",
		"of mask is set, none behind one that is not. Of each 16 rows left has so many steps of 64 tokens as intLeftAMX writes them, of each 16 columns codes",
		"as intCodesAMX does; sums is 2 KiB of scratch memory; steps, rows ≥ 1. In every step of 16 rows and columns two lines are asked for, at next, then",
		"step bytes on. stride in bytes. AMX-TILE, AMX-INT8, AVX512F. Twin: generic.intTile.")
	dst, stride := Load(Param("dst"), GP64()), Load(Param("stride"), GP64())
	down, rows, next := Load(Param("down"), GP64()), Load(Param("rows"), GP64()), Load(Param("next"), GP64())
	LEAQ(config, amxCodes)
	ldTileConfig(amxCodes)
	MOVQ(U32(64), amxStride)
	Load(Param("left"), amxLeft)
	Label("panel")
	mask, column := Load(Param("mask"), GP64()), GP64()
	XORQ(column, column)
	Label("columns")
	to := GP64()
	LEAQ(Mem{Base: dst, Index: column, Scale: 4}, to)
	ahead := GP64()
	MOVQ(to, ahead)
	for range amxRows { // what the sums are added to comes meanwhile; a row that is not there does no harm
		PREFETCHT0(Mem{Base: ahead})
		ADDQ(stride, ahead)
	}
	tileZero(tileHigh)
	tileZero(tileLow)
	Load(Param("codes"), amxCodes)
	at := GP64()
	MOVQ(column, at)
	SHLQ(Imm(9), at) // amxLevel/amxRows bytes a column
	ADDQ(at, amxCodes)
	steps := Load(Param("steps"), GP64())
	Label("step")
	amxMemory(vexF2, tileCodes, amxCodes, 0)
	amxMemory(vexF2, tileLeft, amxLeft, 0)
	tileProducts(vexF2, tileHigh)
	amxMemory(vexF2, tileLeft, amxLeft, amxLevel)
	tileProducts(vex66, tileLow)
	step := Load(Param("step"), GP64())
	for range 2 {
		PREFETCHT1(Mem{Base: next})
		ADDQ(step, next)
	}
	ADDQ(U32(amxTile), amxLeft)
	ADDQ(U32(amxTile), amxCodes)
	DECQ(steps)
	JNZ(LabelRef("step"))
	back := Load(Param("steps"), GP64())
	SHLQ(Imm(10), back)
	SUBQ(back, amxLeft)
	Load(Param("sums"), amxCodes)
	amxMemory(vexF3, tileHigh, amxCodes, 0)
	amxMemory(vexF3, tileLow, amxCodes, amxTile)
	addTile(to, stride, down, rows, mask)
	ADDQ(Imm(amxRows), column)
	SHRQ(Imm(amxRows), mask)
	JNZ(LabelRef("columns"))
	SUBQ(Imm(amxRows), rows)
	JLE(LabelRef("done"))
	panel := GP64()
	MOVQ(stride, panel)
	SHLQ(Imm(4), panel)
	ADDQ(panel, dst)
	ADDQ(Imm(4*amxRows), down)
	ADDQ(U32(2*amxLevel), amxLeft)
	JMP(LabelRef("panel"))
	Label("done")
	tileRelease()
	VZEROUPPER()
	RET()
}

// addTile adds the sums at amxCodes to rows at to.
func addTile(to, stride, down, rows, mask reg.Register) {
	k := K()
	KMOVW(mask.(reg.GP).As32(), k)
	factor := GP64()
	MOVQ(down, factor)
	count := asm.AtMost(rows, amxRows)
	Label("row")
	s, old := ZMM(), ZMM()
	VPSLLD(Imm(8), Mem{Base: amxCodes}, s)
	VPADDD(Mem{Base: amxCodes, Disp: amxTile}, s, s)
	VCVTDQ2PS(s, s)
	VMULPS_BCST(Mem{Base: factor}, s, s)
	VMOVUPS_Z(Mem{Base: to}, k, old)
	VADDPS(s, old, old)
	VMOVUPS(old, k, Mem{Base: to})
	ADDQ(Imm(64), amxCodes)
	ADDQ(Imm(4), factor)
	ADDQ(stride, to)
	DECQ(count)
	JNZ(LabelRef("row"))
}

// tokens4 are rows of four tokens, and of the next four.
type tokens4 struct{ stride, triple reg.Register }

func newTokens4(stride reg.Register) tokens4 {
	triple := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	return tokens4{stride, triple}
}

// at is the same place of each, that of the first at base.
func (t tokens4) at(base reg.Register, disp int) [4]Mem {
	return [4]Mem{
		{Base: base, Disp: disp},
		{Base: base, Disp: disp, Index: t.stride, Scale: 1},
		{Base: base, Disp: disp, Index: t.stride, Scale: 2},
		{Base: base, Disp: disp, Index: t.triple, Scale: 1},
	}
}

func (t tokens4) next(base reg.Register) { LEAQ(Mem{Base: base, Index: t.stride, Scale: 4}, base) }

// factors loads a float of each.
func (t tokens4) factors(from reg.Register) (f [4]reg.VecVirtual) {
	for m := range f {
		f[m] = ZMM()
		VBROADCASTSS(Mem{Base: from, Disp: 4 * m}, f[m])
	}
	return f
}

// intCodesAMX puts the codes of four tokens beside each other.
func intCodesAMX() {
	order := GLOBL("intCodesOrder", RODATA|NOPTR)
	for c := range amxRows { // dwords of columns; bytes of tokens 0, 2, 1, 3: those of two pairs of words
		for m, token := range []int{0, 2, 1, 3} {
			DATA(4*c+m, U8(16*token+c))
		}
	}
	const name = "intCodesAMX"
	asm.Routine(name, "func(dst, q *int8, stride uintptr, groups int)")
	Doc(name+fmt.Sprintf(" writes q[(4g+m)·stride+16j+c], m and c < 4 and 16, j < 4, to dst[%d·j + 64·g + 4·c + o], o = 0, 2, 1, 3 for m = 0, 1, 2, 3, for g < groups,", amxLevel),
		"at least one. stride in bytes. AVX512F, AVX512VBMI. Twin: generic.codePairs.")
	dst, q, stride := Load(Param("dst"), GP64()), Load(Param("q"), GP64()), Load(Param("stride"), GP64())
	groups := Load(Param("groups"), GP64())
	o := ZMM()
	VMOVDQU64(order, o)
	tokens := newTokens4(stride)
	Label("group")
	for j := range amxCols / amxRows {
		v := quarters(tokens.at(q, amxRows*j))
		VPERMB(v, o, v)
		VMOVDQU64(v, Mem{Base: dst, Disp: amxLevel * j})
	}
	tokens.next(q)
	ADDQ(Imm(64), dst)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// intTopAMX finds the largest gradients of a strip. A token's part of it is a few lines of a page of its own, asked for ahead as intScale does.
func intTopAMX() {
	const name = "intTopAMX"
	asm.Routine(name, "func(top *uint32, a *float32, stride uintptr, inv *float32, n, panels int)")
	Doc(name+" sets top[i] to the largest bit pattern of |a[t·stride+i]·inv[t]|, t < n, i < 16·panels; n, a multiple of 4, and panels ≥ 1.",
		"stride in bytes. AVX512F. Twin: generic.gradientInts.")
	a, stride := Load(Param("a"), GP64()), Load(Param("stride"), GP64())
	inv, n := Load(Param("inv"), GP64()), Load(Param("n"), GP64())
	tokens, ahead := newTokens4(stride), GP64()
	IMUL3Q(Imm(rowsAhead), stride, ahead)
	abs, none := ZMM(), ZMM()
	VPTERNLOGD(U8(0xff), abs, abs, abs)
	VPSRLD(Imm(1), abs, abs)
	VPXORD(none, none, none)
	top, panels := Load(Param("top"), GP64()), Load(Param("panels"), GP64())
	Label("clear")
	VMOVDQU32(none, Mem{Base: top})
	ADDQ(Imm(64), top)
	DECQ(panels)
	JNZ(LabelRef("clear"))
	Label("group")
	f := tokens.factors(inv)
	row, next := GP64(), GP64()
	MOVQ(a, row)
	LEAQ(Mem{Base: a, Index: ahead, Scale: 1}, next)
	Load(Param("top"), top)
	Load(Param("panels"), panels)
	Label("panel")
	most := ZMM()
	VMOVDQU32(Mem{Base: top}, most)
	for m, from := range tokens.at(row, 0) {
		PREFETCHT1(tokens.at(next, 0)[m])
		v := ZMM()
		VMULPS(from, f[m], v)
		VPANDD(abs, v, v)
		VPMAXUD(v, most, most)
	}
	VMOVDQU32(most, Mem{Base: top})
	ADDQ(Imm(64), row)
	ADDQ(Imm(64), next)
	ADDQ(Imm(64), top)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	tokens.next(a)
	ADDQ(Imm(16), inv)
	SUBQ(Imm(4), n)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// intLeftAMX quantises 64 tokens' gradients, token by token, because each row of them has a page of its own.
func intLeftAMX() {
	const name = "intLeftAMX"
	asm.Routine(name, "func(dst *uint8, a *float32, stride uintptr, inv, up *float32, scratch *int32, panels int)")
	Doc(name+" takes G = round(a[t·stride+i]·inv[t]·up[i]), every product rounded, then halves to even, t < 64, i < 16·panels, apart: of t = 4g+m and",
		fmt.Sprintf("i = 16p+r the higher byte goes to dst[%d·p + 64·r + 4·g + o], o = 0, 2, 1, 3 for m = 0, 1, 2, 3, the lower %d bytes on. scratch", 2*amxLevel, amxLevel),
		"is 2 KiB a panel; panels ≥ 1. stride in bytes. AVX512F, AVX512BW. Twin: generic.gradientInts.")
	dst, a, stride := Load(Param("dst"), GP64()), Load(Param("a"), GP64()), Load(Param("stride"), GP64())
	inv, scratch := Load(Param("inv"), GP64()), Load(Param("scratch"), GP64())
	bits, odd := GP32(), K()
	MOVL(U32(0xaaaaaaaa), bits)
	KMOVD(bits, odd)
	lows := ZMM()
	VPTERNLOGD(U8(0xff), lows, lows, lows)
	VPSRLW(Imm(8), lows, lows)
	tokens := newTokens4(stride)
	groups, group := GP64(), GP64()
	MOVQ(U32(amxTokens/4), groups)
	MOVQ(scratch, group)
	Label("group")
	f := tokens.factors(inv)
	row, to := GP64(), GP64()
	MOVQ(a, row)
	MOVQ(group, to)
	up, panels := Load(Param("up"), GP64()), Load(Param("panels"), GP64())
	Label("panel")
	var v [4]reg.VecVirtual
	for m, from := range tokens.at(row, 0) {
		v[m] = ZMM()
		VMULPS(from, f[m], v[m])
		VMULPS(Mem{Base: up}, v[m], v[m])
		VCVTPS2DQ(v[m], v[m])
	}
	for i := 0; i < len(v); i += 2 { // words of tokens 0 and 1, 2 and 3
		VPSLLD(Imm(16), v[i+1], v[i+1])
		VMOVDQU16(v[i+1], odd, v[i])
	}
	high, low := ZMM(), ZMM()
	VPSRLW(Imm(8), v[0], high)
	VPTERNLOGD(U8(0xe2), v[2], lows, high) // of each bit v[2] where lows is 0, else high
	VPSLLW(Imm(8), v[2], low)
	VPTERNLOGD(U8(0xb8), v[0], lows, low) // v[0] where lows is 1, else low
	VMOVDQU64(high, Mem{Base: to})
	VMOVDQU64(low, Mem{Base: to, Disp: amxTile})
	ADDQ(Imm(64), row)
	ADDQ(Imm(64), up)
	ADDQ(U32(2*amxTile), to)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	tokens.next(a)
	ADDQ(Imm(16), inv)
	ADDQ(Imm(64), group)
	DECQ(groups)
	JNZ(LabelRef("group"))
	Load(Param("panels"), panels)
	Label("turn")
	for level := range 2 {
		for j := range 4 { // rows 4j to 4j+3
			turn4(scratch, amxTile*level+16*j, Mem{Base: dst, Disp: amxLevel*level + 256*j})
		}
	}
	ADDQ(U32(2*amxTile), scratch)
	ADDQ(U32(2*amxLevel), dst)
	DECQ(panels)
	JNZ(LabelRef("turn"))
	VZEROUPPER()
	RET()
}

// quarters brings 16 bytes of each place side by side.
func quarters(from [4]Mem) reg.VecVirtual {
	v := ZMM()
	VBROADCASTI32X4(from[0], v)
	for i := 1; i < len(from); i++ {
		VINSERTI32X4(Imm(uint64(i)), from[i], v, v)
	}
	return v
}

// turn4 writes four rows of 16 double words, whose columns are 64 bytes apart.
func turn4(from reg.Register, disp int, to Mem) {
	var v [4]reg.VecVirtual
	for m := range v {
		var at [4]Mem
		for i := range at {
			at[i] = Mem{Base: from, Disp: disp + 64*(4*i+m)}
		}
		v[m] = quarters(at)
	}
	a, b, c, d, e := ZMM(), ZMM(), ZMM(), ZMM(), ZMM()
	VPUNPCKLDQ(v[1], v[0], a)
	VPUNPCKLDQ(v[3], v[2], b)
	VPUNPCKHDQ(v[1], v[0], c)
	VPUNPCKHDQ(v[3], v[2], d)
	VPUNPCKLQDQ(b, a, e)
	VMOVDQU64(e, to)
	VPUNPCKHQDQ(b, a, e)
	VMOVDQU64(e, to.Offset(64))
	VPUNPCKLQDQ(d, c, e)
	VMOVDQU64(e, to.Offset(128))
	VPUNPCKHQDQ(d, c, e)
	VMOVDQU64(e, to.Offset(192))
}
