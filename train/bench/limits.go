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
	memory [][]byte // what is read, far larger than caches
	size   int64
	at     int // next piece, counted through all of memory
	pieces [][]byte
	caches [][]byte // of each worker

	sums                   []uint64 // a line apart, so that reading is not for nothing
	readBlock, cacheBlock  func(worker, b int)
	fusedBlock             func(worker, b int)
	flops                  []int64
	reads, cached, fusings []float64 // GB/s, GB/s, GFLOP/s of the rounds so far
}

const apart = 16

// newLimits prepares measuring; memory is what is read from memory.
func newLimits(s *Setting, memory [][]byte) *limits {
	l := &limits{probe: kernel.NewProbe(), pool: s.Pool, memory: memory}
	n := s.Pool.Threads()
	l.sums, l.flops = make([]uint64, n*apart), make([]int64, n*apart)
	for range n {
		c := make([]byte, cacheBytes)
		for i := range c {
			c[i] = byte(i)
		}
		l.caches = append(l.caches, c)
	}
	for _, m := range memory {
		l.size += int64(len(m))
		for len(m) > 0 {
			k := min(readPiece, len(m))
			l.pieces, m = append(l.pieces, m[:k]), m[k:]
		}
	}
	l.readBlock = func(worker, b int) { l.sums[worker*apart] += l.probe.Read(l.pieces[(l.at+b)%len(l.pieces)]) }
	l.cacheBlock = func(worker, _ int) { l.sums[worker*apart] += l.probe.Read(l.caches[worker]) }
	l.fusedBlock = func(worker, _ int) {
		flops, _ := l.probe.Fused(fusedLoops)
		l.flops[worker*apart] += flops
	}
	return l
}

// read reads about so many bytes from memory, going on where the last round ended, and returns GB/s.
func (l *limits) read(bytes int64) float64 {
	blocks := int(min(max(1, bytes/readPiece), int64(len(l.pieces))))
	var n int64
	for b := range blocks {
		n += int64(len(l.pieces[(l.at+b)%len(l.pieces)]))
	}
	start := time.Now()
	l.pool.Run(blocks, l.readBlock)
	rate := float64(n) / time.Since(start).Seconds() / giga
	l.at = (l.at + blocks) % len(l.pieces)
	l.reads = append(l.reads, rate)
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
	l.read(readRound)
	l.cache()
	l.fused()
}

// value returns a limit as it is so far.
func (l *limits) value(limit string) float64 {
	switch limit {
	case limitMemory:
		return typical(l.reads)
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
		MemoryReadGBs: l.value(limitMemory), MemoryReadBytes: l.size,
		CacheReadGBs: l.value(limitCache), F32GFLOPS: l.value(limitFused),
	}
}

// wordBytes returns the memory of packed words.
func wordBytes(words []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
}
