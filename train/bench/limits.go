package bench

import (
	"runtime"
	"time"
	"unsafe"

	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
)

const (
	readPiece  = 256 << 10 // bytes of one block of reading
	readRound  = 32 << 20  // bytes of one round from memory: a millisecond
	cacheBytes = 256 << 10 // a worker's memory in its second-level cache
	cacheReads = 32        // of it in one round
	fusedLoops = 4000      // of the peak's chains in one block, some 50 µs
	fusedParts = 8         // blocks of one round for each thread
	giga       = 1e9
)

// limits measures what the machine can do at most, a round at a time.
type limits struct {
	probe  kernel.Probe
	pool   *par.Pool
	memory *reader // of what is far larger than any cache
	// weights reads a model's packed weights, which may lie in a third-level cache; it is memory where nothing smaller is read.
	weights *reader
	caches  [][]byte // of each worker

	sums            []uint64 // a line apart, so that reading is not for nothing
	cacheBlock      func(worker, b int)
	fusedBlock      func(worker, b int)
	flops           []int64
	cached, fusings []float64 // GB/s, GFLOP/s of the rounds so far
}

const apart = 16

// newLimits prepares measuring; memory is what is read from memory.
func newLimits(s *Setting, memory [][]byte) *limits {
	l := &limits{probe: kernel.NewProbe(), pool: s.Pool}
	n := s.Pool.Threads()
	l.sums, l.flops = make([]uint64, n*apart), make([]int64, n*apart)
	l.memory = l.reader(memory)
	l.weights = l.memory
	for range n {
		c := make([]byte, cacheBytes)
		for i := range c {
			c[i] = byte(i)
		}
		l.caches = append(l.caches, c)
	}
	l.cacheBlock = func(worker, _ int) { l.sums[worker*apart] += l.probe.Read(l.caches[worker]) }
	l.fusedBlock = func(worker, _ int) {
		flops, _ := l.probe.Fused(fusedLoops)
		l.flops[worker*apart] += flops
	}
	return l
}

// reader reads through the same memory again and again, a part of it a round.
type reader struct {
	l      *limits
	size   int64
	pieces [][]byte
	at     int // next piece
	block  func(worker, b int)
	rates  []float64 // GB/s of the rounds so far
}

// reader makes a reader of memory.
func (l *limits) reader(memory [][]byte) *reader {
	r := &reader{l: l}
	for _, m := range memory {
		r.size += int64(len(m))
		for len(m) > 0 {
			k := min(readPiece, len(m))
			r.pieces, m = append(r.pieces, m[:k]), m[k:]
		}
	}
	r.block = func(worker, b int) { l.sums[worker*apart] += l.probe.ReadMemory(r.pieces[(r.at+b)%len(r.pieces)]) }
	return r
}

// read reads about so many bytes, going on where the last round ended, and returns GB/s.
func (r *reader) read(bytes int64) float64 {
	blocks := int(min(max(1, bytes/readPiece), int64(len(r.pieces))))
	var n int64
	for b := range blocks {
		n += int64(len(r.pieces[(r.at+b)%len(r.pieces)]))
	}
	start := time.Now()
	r.l.pool.Run(blocks, r.block)
	rate := float64(n) / time.Since(start).Seconds() / giga
	r.at = (r.at + blocks) % len(r.pieces)
	r.rates = append(r.rates, rate)
	return rate
}

// cache reads from second-level caches and returns GB/s.
func (l *limits) cache() float64 {
	blocks := cacheReads * l.pool.Threads()
	start := time.Now()
	l.pool.Run(blocks, l.cacheBlock)
	rate := float64(blocks*cacheBytes) / time.Since(start).Seconds() / giga
	l.cached = append(l.cached, rate)
	return rate
}

// fused multiplies and adds, and returns GFLOP/s.
func (l *limits) fused() float64 {
	clear(l.flops)
	start := time.Now()
	l.pool.Run(fusedParts*l.pool.Threads(), l.fusedBlock)
	seconds := time.Since(start).Seconds()
	var flops int64
	for _, f := range l.flops {
		flops += f
	}
	rate := float64(flops) / seconds / giga
	l.fusings = append(l.fusings, rate)
	return rate
}

// all takes a round of every limit, so that none is missing from the report.
func (l *limits) all() {
	l.memory.read(readRound)
	l.cache()
	l.fused()
}

// value returns a limit as it is so far.
func (l *limits) value(limit string) float64 {
	switch limit {
	case limitMemory:
		return typical(l.memory.rates)
	case limitWeights:
		return typical(l.weights.rates)
	case limitCache:
		return typical(l.cached)
	default:
		return typical(l.fusings)
	}
}

// macs returns the multiply-accumulates a second, in 10⁹, of the FMA peak.
func (l *limits) macs() float64 { return l.value(limitFused) / 2 }

func (l *limits) machine(s *Setting) Machine {
	return Machine{
		CPU: CPUName(), ISA: s.Set.Name, Cores: runtime.NumCPU(), Threads: s.Pool.Threads(), Probe: l.probe.Name,
		MemoryReadGBs: l.value(limitMemory), MemoryReadBytes: l.memory.size,
		CacheReadGBs: l.value(limitCache), F32GFLOPS: l.value(limitFused),
	}
}

// wordBytes returns the memory of packed words.
func wordBytes(words []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
}
