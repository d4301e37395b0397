package main

import (
	"fmt"
	"log"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// kern writes one routine for one width. Its methods emit instructions on virtual registers; a method that returns a
// register wrote it anew.
type kern struct {
	wide   bool
	held   map[string]reg.VecVirtual // constants in registers
	table  []reg.VecVirtual          // of sigmoid, in registers
	labels int
	asides []func()

	// The last, partial vector: loads give 0 outside, stores and accumulate leave everything outside alone.
	masked bool
	mask   Op // an opmask register, or a vector whose lanes are all ones inside
	left   reg.GPVirtual
}

// lanes is the number of partial sums of a reduction (f32.Lanes).
const lanes = 64

// at is a place in every row alike: a register with a byte offset, and a displacement.
type at struct {
	offset reg.GPVirtual
	disp   int
}

// constants are float32 values, or bit patterns where the name says so; the same as in packages f32 and quant.
var constants = []struct {
	name string
	bits uint32
}{
	{"log2e", bits(1.44269504)},
	{"magic", bits(12582912)},
	{"ln2Hi", bits(0.693147182)},
	{"ln2Lo", bits(-1.90465430e-9)},
	{"p5", bits(1.9875691500e-4)},
	{"p4", bits(1.3981999507e-3)},
	{"p3", bits(8.3334519073e-3)},
	{"p2", bits(4.1665795894e-2)},
	{"p1", bits(1.6666665459e-1)},
	{"p0", bits(5.0000001201e-1)},
	{"one", bits(1)},
	{"half", bits(0.5)},
	{"minusHalf", bits(-0.5)},
	{"lowest", bits(-87.33654)},
	{"highest", bits(88.72283)},
	{"inf", 0x7f800000},
	{"minusInf", 0xff800000},
	{"lastPart", bits(12582912 + 15)}, // of sigmoid's table; the words of positive floats are in the order of the floats
	{"beyond", 0x34bffff0},            // the bits that no word up to lastPart has, and any greater one
	{"signBit", 0x80000000},
	{"allButSign", 0x7fffffff},
	{"bias", 127},
	{"intOne", 1},
	{"lowBytes", 0x0c080400}, // shuffles the low byte of each word to the front
}

func bits(v float32) uint32 { return math.Float32bits(v) }

// table holds each constant eight times over, a whole AVX2 operand, and then the masks of partial AVX2 vectors: eight
// words of ones followed by eight of zeros.
var table Mem

const tableEntry = 32

func writeConstants() {
	table = GLOBL("rowConstants", RODATA|NOPTR)
	n := 0
	entry := func(v uint32) {
		for range tableEntry / 8 {
			DATA(n, U64(uint64(v)<<32|uint64(v)))
			n += 8
		}
	}
	for _, c := range constants {
		entry(c.bits)
	}
	entry(0xffffffff)
	entry(0)
}

func newKern(wide bool) *kern { return &kern{wide: wide, held: map[string]reg.VecVirtual{}} }

// floats is the number of floats of a vector.
func (k *kern) floats() int {
	if k.wide {
		return 16
	}
	return 8
}

func (k *kern) bytes() int { return 4 * k.floats() }

func (k *kern) vec() reg.VecVirtual {
	if k.wide {
		return ZMM()
	}
	return YMM()
}

func (k *kern) label(what string) string {
	k.labels++
	return fmt.Sprintf("%s%d", what, k.labels)
}

func place(name string) Mem {
	for i, c := range constants {
		if c.name == name {
			return table.Offset(i * tableEntry)
		}
	}
	log.Fatalf("no constant %s", name)
	return Mem{}
}

// hold puts constants into registers. It comes before the loops.
func (k *kern) hold(names ...string) {
	for _, name := range names {
		if _, done := k.held[name]; done {
			continue
		}
		v := k.vec()
		VBROADCASTSS(place(name), v)
		k.held[name] = v
	}
}

// c returns a constant: a register where it is held, else the table's copy, which AVX2 takes as a second operand.
func (k *kern) c(name string) Op {
	if v, ok := k.held[name]; ok {
		return v
	}
	if k.wide {
		log.Fatalf("constant %s is not held", name)
	}
	return place(name)
}

// cr is c for places that take a register only.
func (k *kern) cr(name string) reg.VecVirtual {
	v, ok := k.held[name]
	if !ok {
		log.Fatalf("constant %s is not held", name)
	}
	return v
}

// ptr loads a pointer or integer parameter.
func ptr(name string) reg.GPVirtual {
	r := GP64()
	Load(Param(name), r)
	return r
}

func ptrs(names ...string) []reg.GPVirtual {
	var list []reg.GPVirtual
	for _, name := range names {
		list = append(list, ptr(name))
	}
	return list
}

// spread loads a float32 parameter into all lanes.
func (k *kern) spread(name string) reg.VecVirtual {
	b, err := Param(name).Resolve()
	if err != nil {
		log.Fatal(err)
	}
	v := k.vec()
	VBROADCASTSS(b.Addr, v)
	return v
}

func address(base reg.GPVirtual, where at) Mem {
	return Mem{Base: base, Index: where.offset, Scale: 1, Disp: where.disp}
}

func (k *kern) load(base reg.GPVirtual, where at) reg.VecVirtual {
	v, m := k.vec(), address(base, where)
	switch {
	case !k.masked:
		VMOVUPS(m, v)
	case k.wide:
		VMOVUPS_Z(m, k.mask, v)
	default:
		VMASKMOVPS(m, k.mask, v)
	}
	return v
}

// fetch asks for what lies so many steps of bytes behind a place in each row.
func (k *kern) fetch(where at, step reg.GPVirtual, steps uint8, rows ...reg.GPVirtual) {
	if k.masked {
		return // its line is the one of the vector before, or little
	}
	there := GP64()
	LEAQ(Mem{Base: where.offset, Index: step, Scale: steps}, there)
	for _, row := range rows {
		PREFETCHT0(address(row, at{there, where.disp}))
	}
}

// loads is load at each place.
func (k *kern) loads(base reg.GPVirtual, places []at) []reg.VecVirtual {
	var list []reg.VecVirtual
	for _, where := range places {
		list = append(list, k.load(base, where))
	}
	return list
}

func (k *kern) store(v reg.VecVirtual, base reg.GPVirtual, where at) {
	m := address(base, where)
	switch {
	case !k.masked:
		VMOVUPS(v, m)
	case k.wide:
		VMOVUPS(v, k.mask, m)
	default:
		VMASKMOVPS(v, k.mask, m)
	}
}

// two emits an instruction of two operands: a op b, where b may be memory.
func (k *kern) two(op func(...Op), a, b Op) reg.VecVirtual {
	v := k.vec()
	op(b, a, v)
	return v
}

func (k *kern) add(a, b Op) reg.VecVirtual { return k.two(VADDPS, a, b) }
func (k *kern) sub(a, b Op) reg.VecVirtual { return k.two(VSUBPS, a, b) }
func (k *kern) mul(a, b Op) reg.VecVirtual { return k.two(VMULPS, a, b) }

// fma is a·b + c, rounded once; b and c may be memory.
func (k *kern) fma(a, b, c Op) reg.VecVirtual {
	v := k.vec()
	VMOVUPS(c, v)
	VFMADD231PS(b, a, v)
	return v
}

func (k *kern) div(a, b Op) reg.VecVirtual { return k.two(VDIVPS, a, b) }
func (k *kern) and(a, b Op) reg.VecVirtual { return k.two(VANDPS, a, b) }
func (k *kern) or(a, b Op) reg.VecVirtual  { return k.two(VORPS, a, b) }

// accumulate adds v to acc. In a partial AVX2 vector lanes outside get +0 added, which changes no bit: a sum that starts
// at +0 is never −0.
func (k *kern) accumulate(acc, v reg.VecVirtual) {
	switch {
	case !k.masked:
		VADDPS(v, acc, acc)
	case k.wide:
		VADDPS(v, acc, k.mask, acc)
	default:
		VADDPS(k.and(v, k.mask), acc, acc)
	}
}

// setMask makes the next vectors partial: the first rest floats of them, 1 or more; too many count as a whole vector.
func (k *kern) setMask(rest reg.GPVirtual) {
	k.masked, k.left = true, rest
	if k.wide {
		ones, m := GP32(), K()
		MOVL(U32(0xffff), ones)
		BZHIL(rest.As32(), ones, ones)
		KMOVW(ones, m)
		k.mask = m
		return
	}
	most, from, m := GP64(), GP64(), YMM()
	MOVQ(U32(8), most)
	CMPQ(rest, most)
	CMOVQLT(rest, most)
	LEAQ(table.Offset((len(constants)+1)*tableEntry), from)
	SHLQ(U8(2), most)
	SUBQ(most, from)
	VMOVUPS(Mem{Base: from}, m)
	k.mask = m
}

func (k *kern) endMask() { k.masked, k.mask, k.left = false, nil, nil }

// each runs body for all n floats of a row, a vector at a time and the rest as a partial one.
func (k *kern) each(n reg.GPVirtual, body func(where at)) {
	offset, end := GP64(), GP64()
	XORQ(offset, offset)
	k.rest(n, offset, end, body)
}

// rest runs body for what each has left from offset on.
func (k *kern) rest(n, offset, end reg.GPVirtual, body func(where at)) {
	MOVQ(n, end)
	ANDQ(I32(-k.floats()), end)
	SHLQ(U8(2), end)
	k.loop(offset, end, k.bytes(), func() { body(at{offset, 0}) })
	rest, done := GP64(), k.label("done")
	MOVQ(n, rest)
	ANDQ(U32(k.floats()-1), rest)
	JZ(LabelRef(done))
	k.setMask(rest)
	body(at{offset, 0})
	k.endMask()
	Label(done)
}

// loop runs body while offset is below end.
func (k *kern) loop(offset, end reg.GPVirtual, step int, body func()) {
	loop, test := k.label("loop"), k.label("test")
	JMP(LabelRef(test))
	Label(loop)
	body()
	ADDQ(U32(step), offset)
	Label(test)
	CMPQ(offset, end)
	JB(LabelRef(loop))
}

// eachPair is each for bodies that take two vectors side by side where there are as many. On AVX2 all come alone: it has too
// few registers.
func (k *kern) eachPair(n reg.GPVirtual, body func(places ...at)) {
	one := func(where at) { body(where) }
	if !k.wide {
		k.each(n, one)
		return
	}
	offset, end := GP64(), GP64()
	XORQ(offset, offset)
	MOVQ(n, end)
	ANDQ(I32(-2*k.floats()), end)
	SHLQ(U8(2), end)
	k.loop(offset, end, 2*k.bytes(), func() { body(at{offset, 0}, at{offset, k.bytes()}) })
	k.rest(n, offset, end, one)
}

// sums returns the 64 lanes of a reduction, each set to the constant's value, or to 0 for "".
func (k *kern) sums(start string) []reg.VecVirtual {
	var list []reg.VecVirtual
	for range lanes / k.floats() {
		v := k.vec()
		if start == "" {
			VXORPS(v, v, v)
		} else {
			VMOVUPS(k.cr(start), v)
		}
		list = append(list, v)
	}
	return list
}

// reduce runs body for all n floats: element i meets lane i mod 64.
func (k *kern) reduce(n reg.GPVirtual, acc []reg.VecVirtual, body func(where at, acc reg.VecVirtual)) {
	offset, rest := GP64(), GP64()
	XORQ(offset, offset)
	MOVQ(n, rest)
	loop, test, done := k.label("loop"), k.label("test"), k.label("done")
	SUBQ(U32(lanes), rest)
	JLT(LabelRef(test))
	Label(loop)
	for j, v := range acc {
		body(at{offset, j * k.bytes()}, v)
	}
	ADDQ(U32(4*lanes), offset)
	SUBQ(U32(lanes), rest)
	JGE(LabelRef(loop))
	Label(test)
	ADDQ(U32(lanes), rest)
	for j, v := range acc {
		CMPQ(rest, U8(0))
		JLE(LabelRef(done))
		k.setMask(rest)
		body(at{offset, j * k.bytes()}, v)
		k.endMask()
		SUBQ(U32(k.floats()), rest)
	}
	Label(done)
}

// fold combines the lanes by halves until one is left, the lowest of the register returned.
func (k *kern) fold(acc []reg.VecVirtual, op func(...Op)) reg.VecVirtual {
	for n := len(acc) / 2; n > 0; n /= 2 {
		for j := range n {
			op(acc[j+n], acc[j], acc[j])
		}
	}
	y := acc[0]
	if k.wide {
		high := YMM()
		VEXTRACTF64X4(U8(1), y, high)
		op(high, y.AsY(), y.AsY())
	}
	high, x := XMM(), y.AsX()
	VEXTRACTF128(U8(1), y.AsY(), high)
	op(high, x, x)
	VPSHUFD(U8(0x0e), x, high)
	op(high, x, x)
	VPSHUFD(U8(0x01), x, high)
	op(high, x, x)
	return acc[0]
}

// give returns the lowest float of v.
func give(v reg.VecVirtual) {
	b, err := ReturnIndex(0).Resolve()
	if err != nil {
		log.Fatal(err)
	}
	VMOVSS(v.AsX(), b.Addr)
}
