package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// turner replaces pairs of registers by two results of both, with one register more than there are values: avo's choice of
// registers alone needs more than the 16 of AVX2.
type turner struct{ free VecVirtual }

func (t *turner) pair(a, b VecVirtual, low, high func(...Op)) (l, h VecVirtual) {
	l, h = t.free, b
	low(b, a, l)
	high(b, a, h)
	t.free = a
	return l, h
}

// interleaveBytes takes eight tokens' 16 codes, in each lane of 128 bits, and returns columns 2i and 2i+1 of the eight
// tokens in each lane. Three steps, of bytes, pairs and quads: each doubles the tokens that stand together.
func interleaveBytes(reg func() VecVirtual, v []VecVirtual) []VecVirtual {
	steps := []struct{ low, high func(...Op) }{
		{VPUNPCKLBW, VPUNPCKHBW}, {VPUNPCKLWD, VPUNPCKHWD}, {VPUNPCKLDQ, VPUNPCKHDQ},
	}
	t := turner{reg()}
	for s, step := range steps {
		n, to := 1<<s, make([]VecVirtual, len(v))
		for first := 0; first < len(v); first += 2 * n {
			for i := range n {
				to[first+2*i], to[first+2*i+1] = t.pair(v[first+i], v[first+n+i], step.low, step.high)
			}
		}
		v = to
	}
	return v
}

// interleaveQuad takes four rows of dwords; lane L of result j holds their column 4L+j.
func (t *turner) interleaveQuad(v []VecVirtual) (quads [4]VecVirtual) {
	var pairs [4]VecVirtual
	for i := range 2 {
		pairs[2*i], pairs[2*i+1] = t.pair(v[2*i], v[2*i+1], VUNPCKLPS, VUNPCKHPS)
	}
	for i := range 2 {
		quads[2*i], quads[2*i+1] = t.pair(pairs[i], pairs[2+i], VUNPCKLPD, VUNPCKHPD)
	}
	return quads
}

// transpose8 turns eight rows of eight dwords into columns.
func transpose8(v [8]VecVirtual) (columns [8]VecVirtual) {
	t := turner{YMM()}
	low, high := t.interleaveQuad(v[:4]), t.interleaveQuad(v[4:])
	lanes := func(which uint64) func(...Op) {
		return func(ops ...Op) { VPERM2F128(Imm(which), ops[0], ops[1], ops[2]) }
	}
	for j := range 4 {
		columns[j], columns[4+j] = t.pair(low[j], high[j], lanes(0x20), lanes(0x31))
	}
	return columns
}

// transpose16 turns 16 rows of 16 dwords into columns.
func transpose16(v [16]VecVirtual) (columns [16]VecVirtual) {
	t := turner{ZMM()}
	var quads [4][4]VecVirtual
	for q := range quads {
		quads[q] = t.interleaveQuad(v[4*q:][:4])
	}
	lanes := func(which uint64) func(...Op) {
		return func(ops ...Op) { VSHUFF32X4(Imm(which), ops[0], ops[1], ops[2]) }
	}
	for j := range 4 {
		// Lanes 0 and 1, and 2 and 3, of quads 0 and 1, and of 2 and 3.
		first01, first23 := t.pair(quads[0][j], quads[1][j], lanes(0x44), lanes(0xee))
		last01, last23 := t.pair(quads[2][j], quads[3][j], lanes(0x44), lanes(0xee))
		columns[j], columns[4+j] = t.pair(first01, last01, lanes(0x88), lanes(0xdd))
		columns[8+j], columns[12+j] = t.pair(first23, last23, lanes(0x88), lanes(0xdd))
	}
	return columns
}
