package par

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Pool is a fixed set of workers; the caller of Run is one of them. A Pool is for one caller at a time.
//
// A helper that has just worked spins for a moment, because the next Run usually follows within microseconds and waking a
// sleeping thread takes 50 of them; then it sleeps and costs nothing. Run waits for nobody but who has claimed a block: a
// helper that comes too late finds none.
//
// What one core writes and another reads takes some 100 ns to come over, and the writer as long to get it back, so a run
// needs few such lines: the caller announces it in one, each helper claims blocks of its own share in one that is its own, and says in a
// third how many it has done. Nobody clears the shares for the next run: claims carry its number, and older ones count as none.
type Pool struct {
	threads int
	helpers []*helper

	_    [56]byte
	run  atomic.Uint64 // the latest run: its number and how many blocks it has
	work func(worker, block int)
	_    [56]byte
	done atomic.Uint64 // blocks that helpers have done, of all runs
	_    [56]byte

	shares []share // one for each worker
	total  uint64  // what done is at the end of the run

	waiting atomic.Bool   // the caller sleeps until a helper is done
	left    chan struct{} // that helper's signal

	closed atomic.Bool
	failed atomic.Pointer[any] // first panic of a helper, re-raised in Run's caller
}

// numbered is the number of a run, in the high 32 bits, and a number of blocks.
type numbered = uint64

func number(run, blocks uint32) numbered { return numbered(run)<<32 | numbered(blocks) }

func split(n numbered) (run, blocks uint32) { return uint32(n >> 32), uint32(n) }

// share is the blocks that are a worker's own: they lie side by side, so that the next one is what the last one's prefetching has asked
// for. Blocks dealt in turn, decoding takes 9% (1.3b) to 14% (370m) longer.
type share struct {
	next atomic.Uint64 // numbered: the run that last claimed of it, and the next block to claim
	took uint64        // blocks of any share that its worker claimed in this run; no other touches it
	idle func() bool   // what its worker does while it waits; no other touches it
	_    [40]byte      // a cache line of its own
}

// claim takes the next of blocks [first, end) for the run, false if none is left or the run is over.
func (s *share) claim(run, first, end uint32) (block uint32, ok bool) {
	for first < end {
		last := s.next.Load()
		of, next := split(last)
		if of != run {
			if int32(run-of) < 0 {
				return 0, false
			}
			next = first
		}
		if next >= end {
			return 0, false
		}
		if s.next.CompareAndSwap(last, number(run, next+1)) {
			return next, true
		}
	}
	return 0, false
}

// helper is one worker beside the caller.
type helper struct {
	pool   *Pool
	index  int
	spins  bool // more threads than cores would spin on each other's time
	asleep atomic.Bool
	wake   chan struct{}
}

const (
	// spinTime is how long a helper waits awake for work, and the caller for helpers. Between two products of a training
	// step lie up to some 50 µs of serial work; longer waits are for whoever else needs the core, which may be the very
	// helper that is waited for.
	spinTime = 100 * time.Microsecond
	// spinsPerLook is the number of loads between looks at the clock, about a microsecond.
	spinsPerLook = 512
	// renewed is the number of runs between two in which old shares are brought up to date: what is older by 2³¹ would look newer.
	renewed = 1 << 30
)

// New starts a pool of so many threads, the caller included; below 1 means every core the process may use, container
// limits included (GOMAXPROCS). Close ends it.
func New(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, left: make(chan struct{}, 1), shares: make([]share, threads)}
	for i := 1; i < threads; i++ {
		h := &helper{pool: p, index: i, spins: threads <= runtime.GOMAXPROCS(0), wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go h.loop()
	}
	return p
}

// Meanwhile has a worker call step while it waits, for others or for work, until step returns false. It is for the worker
// itself to call, from its work. A step should take some tens of nanoseconds, or what is waited for is noticed late.
func (p *Pool) Meanwhile(worker int, step func() bool) { p.shares[worker].idle = step }

// spin is what a worker does between two looks.
func (s *share) spin() {
	if s.idle != nil && !s.idle() {
		s.idle = nil
	}
}

// First returns the first block of a worker's own in a Run of so many.
func (p *Pool) First(blocks, worker int) int { return blocks * worker / len(p.shares) }

// Threads returns the number of workers; worker indices are below it.
func (p *Pool) Threads() int { return p.threads }

// Run calls work(worker, block) once for each block in [0, blocks), on whichever worker is free, and returns when all
// are done. It allocates nothing; pass a function value that exists already, not a new closure, where that matters. It panics
// when there are more than 2³² − 1 blocks.
func (p *Pool) Run(blocks int, work func(worker, block int)) {
	if blocks <= 1 || p.threads == 1 {
		for b := range blocks {
			work(0, b)
		}
		return
	}
	if blocks > math.MaxUint32 {
		panic("par: more than 2³² − 1 blocks")
	}
	last, _ := split(p.run.Load())
	run := last + 1
	if run%renewed == 0 {
		p.renew(last)
	}
	p.work = work
	p.run.Store(number(run, uint32(blocks)))
	for _, h := range p.helpers[:min(blocks, p.threads)-1] {
		h.rouse()
	}
	defer p.finish(run, blocks) // even when our own block panics, no helper may outlive the call
	p.shares[0].took = 0
	p.drain(0, run, blocks)
}

// renew marks all shares as those of a run that is over.
func (p *Pool) renew(run uint32) {
	for i := range p.shares {
		p.shares[i].next.Store(number(run, math.MaxUint32))
	}
}

// finish claims what our own block's panic may have left, for nobody to do it, waits for the blocks that helpers have claimed, and
// passes on a panic of theirs.
func (p *Pool) finish(run uint32, blocks int) {
	for ok := true; ok; {
		_, ok = p.claim(0, run, blocks)
	}
	p.total += uint64(blocks) - p.shares[0].took
	p.await()
	if p.failed.Load() != nil {
		panic(*p.failed.Swap(nil))
	}
}

// await returns when helpers have done what they claimed. A signal only says to look again: a helper that was done in an
// earlier run may be slow to send it, and send it into this one.
//
// The flag is raised by an exchange, not by a store: the count is read after it, and only a full barrier keeps the two in
// that order where the machine is an emulated one that forgets it between a store and a load.
func (p *Pool) await() {
	start, spins := time.Time{}, 0
	for p.done.Load() != p.total {
		p.shares[0].spin()
		if spins++; spins%spinsPerLook != 0 {
			continue
		}
		runtime.Gosched() // the helper may need this very thread to go on
		if start.IsZero() {
			start = time.Now()
		} else if time.Since(start) > spinTime {
			p.waiting.Swap(true)
			// The last helper may have been done before it could see that; then the flag is still ours to take back.
			if p.done.Load() != p.total || !p.waiting.CompareAndSwap(true, false) {
				<-p.left
			}
		}
	}
}

// leave is called by a helper that has done so many blocks of a run.
func (p *Pool) leave(blocks uint64) {
	p.done.Add(blocks)
	if p.waiting.Load() && p.waiting.CompareAndSwap(true, false) {
		p.left <- struct{}{}
	}
}

// drain does the blocks that the worker can claim.
func (p *Pool) drain(worker int, run uint32, blocks int) {
	for b, ok := p.claim(worker, run, blocks); ok; b, ok = p.claim(worker, run, blocks) {
		p.work(worker, b)
	}
}

// claim takes a block of the worker's own share or, when that is empty, of the others'.
func (p *Pool) claim(worker int, run uint32, blocks int) (block int, ok bool) {
	for i := range p.shares {
		of := (worker + i) % len(p.shares)
		if b, ok := p.shares[of].claim(run, uint32(p.First(blocks, of)), uint32(p.First(blocks, of+1))); ok {
			p.shares[worker].took++
			return int(b), true
		}
	}
	return 0, false
}

// rouse wakes the helper if it sleeps.
func (h *helper) rouse() {
	if h.asleep.Load() && h.asleep.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
}

func (h *helper) loop() {
	// Work may read a file in place, and the file may be cut short meanwhile: a panic, which join hands on, and not the end
	// of the process.
	debug.SetPanicOnFault(true)
	p := h.pool
	var last numbered // the run that was last taken part in
	for !p.closed.Load() {
		if now := h.wait(last); now != last {
			h.join(now)
			last = now
		}
	}
}

// wait returns a run other than last, or last when it has slept or the pool is closed.
func (h *helper) wait(last numbered) numbered {
	p := h.pool
	if h.spins {
		for start := time.Now(); time.Since(start) < spinTime; {
			for range spinsPerLook {
				if now := p.run.Load(); now != last {
					return now
				}
				p.shares[h.index].spin()
			}
		}
	}
	h.asleep.Swap(true) // an exchange for its barrier, as in await
	// A run may have begun since the last look, and its caller may have found this helper awake.
	if now := p.run.Load(); (now != last || p.closed.Load()) && h.asleep.CompareAndSwap(true, false) {
		return now
	}
	<-h.wake
	return last
}

// join takes part in the run, if a block of it is left.
func (h *helper) join(n numbered) {
	p := h.pool
	mine := &p.shares[h.index]
	mine.took = 0
	defer func() { // a panic must reach the caller, not kill the process
		if r := recover(); r != nil {
			first := r // only a panic may allocate, not every run
			p.failed.CompareAndSwap(nil, &first)
		}
		if mine.took > 0 {
			p.leave(mine.took)
		}
	}()
	run, blocks := split(n)
	p.drain(h.index, run, int(blocks))
}

// Close ends the workers. The pool must be idle and is of no use afterwards.
func (p *Pool) Close() {
	p.closed.Swap(true) // an exchange for its barrier, as in await
	for _, h := range p.helpers {
		h.rouse()
	}
	p.helpers, p.threads = nil, 1
}
