// Command probe writes the routines that measure a machine's limits: the fastest way to read memory, and the fastest
// way to multiply and add floats. Run it with go generate in ternary/kernel/amd64.
//
// They are no kernels: nothing that they compute is used, and the second fuses products and sums, which no kernel does. Beside
// them stands what asks for the processor's maker.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	loopBytes = 512 // of one pass of the reading loop
	lineBytes = 64
	chains    = 12 // two fused operations a cycle, each five cycles at most, and some to spare
	unrolled  = 4  // operations of each chain in a pass of the loop
	// How far ahead two lines of a pass are asked for, see readSum.
	aheadBytes = 12288
	aheadLines = 2
)

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, wide := range []bool{true, false} {
		readSum(wide, false)
		readSum(wide, true)
		fusedPeak(wide)
	}
	vendor()
	Generate()
}

// vendor tells processors apart where what they can do does not.
func vendor() {
	TEXT("vendor", NOSPLIT, "func() uint32")
	Doc("vendor returns the first four letters of the processor's maker.")
	XORL(EAX, EAX)
	XORL(ECX, ECX)
	CPUID()
	Store(EBX, ReturnIndex(0))
	RET()
}

// vector returns the routines' suffix, a register, its bytes and the instructions needed.
func vector(wide bool) (suffix, needs string, bytes int, register func() VecVirtual) {
	if wide {
		return "512", "AVX512F", 64, ZMM
	}
	return "256", "AVX2, FMA", 32, YMM
}

// readSum sums 64-bit words, in as few instructions a line as there can be. Ahead of time, into the second-level cache, it asks for two
// lines of each eight: two threads of a Xeon (family 6, model 207) then read 8 to 17% more from memory, since what the processor
// fetches itself brings the others sooner, and 3 to 4% more from a third-level cache, but a sixth less from the second. Asking for
// all lines brought as much from memory. On a Zen 4, where one thread takes what memory has, that changed nothing.
func readSum(wide, ahead bool) {
	suffix, needs, bytes, register := vector(wide)
	name, note := "readSum"+suffix, "."
	if ahead {
		name, note = "readAhead"+suffix, ", faster from memory than from a cache."
	}
	TEXT(name, NOSPLIT, "func(p *byte, n int) uint64")
	Doc(fmt.Sprintf("%s returns the sum of the 64-bit words of n bytes, a multiple of %d, at least one%s %s.", name, loopBytes, note, needs))
	Pragma("noescape")
	p, n := Load(Param("p"), GP64()), Load(Param("n"), GP64())
	sums := make([]VecVirtual, loopBytes/bytes/2)
	for i := range sums {
		sums[i] = register()
		if wide {
			VPXORQ(sums[i], sums[i], sums[i])
		} else {
			VPXOR(sums[i], sums[i], sums[i])
		}
	}
	Label("block")
	for at := 0; at < loopBytes; at += bytes {
		if ahead && at%lineBytes == 0 && at/lineBytes < aheadLines {
			PREFETCHT1(Mem{Base: p, Disp: aheadBytes + at})
		}
		s := sums[at/bytes%len(sums)]
		VPADDQ(Mem{Base: p, Disp: at}, s, s)
	}
	ADDQ(U32(loopBytes), p)
	SUBQ(U32(loopBytes), n)
	JNZ(LabelRef("block"))
	for i := len(sums) / 2; i > 0; i /= 2 {
		for j := range i {
			VPADDQ(sums[i+j], sums[j], sums[j])
		}
	}
	half := YMM()
	if wide {
		VEXTRACTI64X4(Imm(1), sums[0], half)
		VPADDQ(sums[0].AsY(), half, half)
	} else {
		VMOVDQA(sums[0], half)
	}
	quarter := XMM()
	VEXTRACTI128(Imm(1), half, quarter)
	VPADDQ(half.AsX(), quarter, quarter)
	low, high := GP64(), GP64()
	VMOVQ(quarter, low)
	VPEXTRQ(Imm(1), quarter, high)
	ADDQ(high, low)
	Store(low, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// fusedPeak runs independent chains of x = x·½ + ½, which stay at 1.
func fusedPeak(wide bool) {
	suffix, needs, bytes, register := vector(wide)
	flops := 2 * bytes / 4 * chains * unrolled // package amd64's Probe counts by it
	TEXT("fusedPeak"+suffix, NOSPLIT, "func(loops int, half float32) float32")
	Doc(fmt.Sprintf("fusedPeak%s executes loops times %d floating point operations, loops ≥ 1, and returns 1 for half = 0.5. %s.", suffix, flops, needs))
	loops := Load(Param("loops"), GP64())
	x := Load(Param("half"), XMM())
	half := register()
	VBROADCASTSS(x, half)
	values := make([]VecVirtual, chains)
	for i := range values {
		values[i] = register()
		VADDPS(half, half, values[i])
	}
	Label("pass")
	for range unrolled {
		for _, v := range values {
			VFMADD213PS(half, half, v)
		}
	}
	DECQ(loops)
	JNZ(LabelRef("pass"))
	for _, v := range values[1:] {
		VMAXPS(v, values[0], values[0])
	}
	Store(values[0].AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
