package kernel

import "encoding/binary"

// Probe measures what this machine can do at most, for figures to be held against. It is no part of a Set: MMFREE_ISA
// does not choose it, and what it computes is of no use.
type Probe struct {
	Name string // of the instructions used: avx512, avx2, neon, or portable, which reaches no machine's limits
	// Read and ReadMemory read p, up to a rest below 512 bytes, as fast as one thread can, and return a sum of its words: Read from
	// the second-level cache, ReadMemory from what lies behind it.
	Read, ReadMemory func(p []byte) (sum uint64)
	// Fused executes about loops·1536 float32 operations in independent chains of fused multiply-adds, as fast as one
	// thread can. It returns how many, a fused one counted as two, and the chains' value, 1.
	Fused func(loops int) (flops int64, value float32)
}

// portableProbe is for machines without assembly: sums of eight bytes at a time, and scalar chains that only some
// compilers fuse.
func portableProbe() Probe {
	return Probe{Name: "portable", Read: readPortable, ReadMemory: readPortable, Fused: fusedPortable}
}

func readPortable(p []byte) uint64 {
	var a, b, c, d uint64
	for len(p) >= 32 {
		a += binary.LittleEndian.Uint64(p)
		b += binary.LittleEndian.Uint64(p[8:])
		c += binary.LittleEndian.Uint64(p[16:])
		d += binary.LittleEndian.Uint64(p[24:])
		p = p[32:]
	}
	return a + b + c + d
}

func fusedPortable(loops int) (flops int64, value float32) {
	const passes, chains = 96, 8
	half := float32(0.5)
	var x [chains]float32
	for i := range x {
		x[i] = 1
	}
	a, b, c, d, e, f, g, h := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	loops = max(1, loops)
	for range loops * passes {
		a, b, c, d = a*half+half, b*half+half, c*half+half, d*half+half
		e, f, g, h = e*half+half, f*half+half, g*half+half, h*half+half
	}
	return int64(loops) * passes * chains * 2, (a + b + c + d + e + f + g + h) / chains
}
