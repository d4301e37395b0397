package par

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool is a fixed set of workers; the caller of Run is one of them. A Pool is for one caller at a time.
type Pool struct {
	threads int
	wake    []chan struct{} // one per helper worker
	done    sync.WaitGroup
	next    atomic.Int64 // the next block to claim
	blocks  int
	work    func(worker, block int)
	failed  atomic.Pointer[any] // first panic of a helper, re-raised in Run's caller
}

// New starts a pool of so many threads, the caller included; below 1 means every core the process may use. Close ends it.
func New(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads}
	for i := 1; i < threads; i++ {
		wake := make(chan struct{}, 1)
		p.wake = append(p.wake, wake)
		go func() {
			for range wake {
				p.claim(i)
				p.done.Done()
			}
		}()
	}
	return p
}

// Threads returns the number of workers; worker indices are below it.
func (p *Pool) Threads() int { return p.threads }

// Run calls work(worker, block) once for each block in [0, blocks), on whichever worker is free, and returns when all
// are done. It allocates nothing; pass a function value that exists already, not a new closure, where that matters.
func (p *Pool) Run(blocks int, work func(worker, block int)) {
	if blocks <= 1 || p.threads == 1 {
		for b := range blocks {
			work(0, b)
		}
		return
	}
	p.work, p.blocks = work, blocks
	p.failed.Store(nil) // a helper's panic that the caller's own overtook in an earlier call
	p.next.Store(0)
	helpers := min(blocks, p.threads) - 1
	p.done.Add(helpers)
	for _, wake := range p.wake[:helpers] {
		wake <- struct{}{}
	}
	func() {
		defer p.done.Wait() // even when our own block panics, no helper may outlive the call
		p.drain(0)
	}()
	p.work = nil
	if r := p.failed.Swap(nil); r != nil {
		panic(*r)
	}
}

// claim is drain for a helper: a panic there must reach the caller, not kill the process.
func (p *Pool) claim(worker int) {
	defer func() {
		if r := recover(); r != nil {
			first := r // only a panic may allocate, not every claim
			p.failed.CompareAndSwap(nil, &first)
		}
	}()
	p.drain(worker)
}

func (p *Pool) drain(worker int) {
	for {
		b := int(p.next.Add(1)) - 1
		if b >= p.blocks {
			return
		}
		p.work(worker, b)
	}
}

// Close ends the workers. The pool must be idle and is of no use afterwards.
func (p *Pool) Close() {
	for _, wake := range p.wake {
		close(wake)
	}
	p.wake, p.threads = nil, 1
}
