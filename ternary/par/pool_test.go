package par

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCallsEachBlockOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 7} {
		p := New(threads)
		for _, blocks := range []int{0, 1, 2, 5, 100, 1000} {
			calls := make([]atomic.Int32, blocks)
			p.Run(blocks, func(worker, b int) {
				if worker < 0 || worker >= threads {
					t.Errorf("threads %d: worker %d", threads, worker)
				}
				calls[b].Add(1)
			})
			for b := range calls {
				if n := calls[b].Load(); n != 1 {
					t.Fatalf("threads %d, blocks %d: block %d ran %d times", threads, blocks, b, n)
				}
			}
		}
		p.Close()
	}
}

// TestOthersSharesAreTaken: while one worker is held in any block, the first of a share too, the others do all other blocks.
func TestOthersSharesAreTaken(t *testing.T) {
	p := New(3)
	defer p.Close()
	const blocks = 30
	for held := range blocks {
		var done atomic.Int32
		p.Run(blocks, func(_, b int) {
			for start := time.Now(); b == held && done.Load() < blocks-1; runtime.Gosched() {
				if time.Since(start) > 10*time.Second {
					t.Errorf("block %d is held, and %d others are done", held, done.Load())
					break
				}
			}
			done.Add(1)
		})
	}
}

// TestClaim: a share gives each block once to the latest run, none to a run that is over, and forgets what older runs claimed.
func TestClaim(t *testing.T) {
	for _, run := range []uint32{1, 1 << 31, 0} { // 0 follows 2³²−1
		var s share
		s.next.Store(number(run-5, 9))
		for want := uint32(3); want < 6; want++ {
			if b, ok := s.claim(run, 3, 6); !ok || b != want {
				t.Fatalf("run %d: block %d, %v, want %d", run, b, ok, want)
			}
		}
		for of, who := range map[uint32]string{run: "the run whose blocks are gone", run - 1: "an earlier run"} {
			if b, ok := s.claim(of, 3, 6); ok {
				t.Errorf("run %d: %s got block %d of the share", run, who, b)
			}
		}
		if b, ok := s.claim(run-1, 0, 100); ok {
			t.Errorf("run %d: an earlier run got block %d", run, b)
		}
		if b, ok := s.claim(run+1, 7, 8); !ok || b != 7 {
			t.Errorf("run %d: the next run got %d, %v", run, b, ok)
		}
		if b, ok := s.claim(run+2, 4, 4); ok {
			t.Errorf("run %d: block %d of an empty share", run, b)
		}
	}
}

// TestRunNumbersWrap: shares that no run has touched for 2³² runs are shares like any other.
func TestRunNumbersWrap(t *testing.T) {
	p := New(5)
	defer p.Close()
	for phase := uint32(1); phase <= 8; phase++ {
		p.run.Store(number(phase*renewed-2, 0))
		sizes := []int{2, 2, 2, 2}
		if phase%4 == 3 {
			sizes = append(sizes, 100)
		}
		for _, blocks := range sizes {
			var ran atomic.Int32
			done := make(chan struct{})
			go func() { defer close(done); p.Run(blocks, func(int, int) { ran.Add(1) }) }()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Fatalf("phase %d: a run of %d blocks does not end", phase, blocks)
			}
			if int(ran.Load()) != blocks {
				t.Fatalf("phase %d: %d of %d blocks ran", phase, ran.Load(), blocks)
			}
		}
	}
}

func TestRunRaisesAPanicInTheCaller(t *testing.T) {
	p := New(2)
	defer p.Close()
	for _, bad := range []int{0, 1, 99} {
		func() {
			defer func() {
				if r := recover(); r != "block" {
					t.Errorf("bad block %d: recovered %v", bad, r)
				}
			}()
			p.Run(100, func(_, b int) {
				if b == bad {
					panic("block")
				}
			})
			t.Errorf("bad block %d: Run returned", bad)
		}()
	}
	var ran atomic.Int32
	p.Run(10, func(_, _ int) { ran.Add(1) })
	if ran.Load() != 10 {
		t.Errorf("after the panics %d of 10 blocks ran", ran.Load())
	}
}

// TestPanicsOfOneRunDoNotReachTheNext: when every block panics, the caller's own panic is raised and the helper's is not
// kept for later.
func TestPanicsOfOneRunDoNotReachTheNext(t *testing.T) {
	p := New(2)
	defer p.Close()
	for range 50 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Run returned")
				}
			}()
			var both atomic.Int32
			p.Run(2, func(_, _ int) {
				for both.Add(1); both.Load() < 2; { // neither finishes before the other has begun
					runtime.Gosched()
				}
				panic("block")
			})
		}()
		p.Run(2, func(_, _ int) {})
	}
}

// TestMeanwhile: a step that a worker asks for is called while it waits, by nobody else, and not again when it is done.
func TestMeanwhile(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("helpers do not spin on one core")
	}
	p := New(2)
	defer p.Close()
	var calls [2]atomic.Int32
	const most = 5
	step := [2]func() bool{}
	for w := range step {
		step[w] = func() bool { return calls[w].Add(1) < most }
	}
	for start := time.Now(); calls[0].Load() < most || calls[1].Load() < most; {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d and %d of %d steps were taken", calls[0].Load(), calls[1].Load(), most)
		}
		var took atomic.Int32
		p.Run(2, func(worker, _ int) {
			if calls[worker].Load() == 0 {
				p.Meanwhile(worker, step[worker])
			}
			took.Add(1)
			for since := time.Now(); worker == 1 && time.Since(since) < 20*time.Microsecond; { // the caller waits
			}
		})
		if took.Load() != 2 {
			t.Fatalf("%d blocks of 2", took.Load())
		}
	}
	p.Run(2, func(int, int) {})
	time.Sleep(time.Millisecond)
	if a, b := calls[0].Load(), calls[1].Load(); a != most || b != most {
		t.Errorf("%d and %d steps, asked for were %d each", a, b, most)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	p := New(2)
	defer p.Close()
	var sum atomic.Int64
	work := func(_, b int) { sum.Add(int64(b)) }
	if n := testing.AllocsPerRun(100, func() { p.Run(16, work) }); n != 0 {
		t.Errorf("%v allocations per Run", n)
	}
}

func BenchmarkRun(b *testing.B) {
	p := New(2)
	defer p.Close()
	work := func(_, _ int) {}
	for b.Loop() {
		p.Run(2, work)
	}
}

// TestHelpersSleepWhenIdleAndWake: without work no helper keeps a core busy, and the next Run rouses them.
func TestHelpersSleepWhenIdleAndWake(t *testing.T) {
	p := New(3)
	defer p.Close()
	for round := range 50 {
		for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
			asleep := 0
			for _, h := range p.helpers {
				if h.asleep.Load() {
					asleep++
				}
			}
			if asleep == len(p.helpers) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %d of %d helpers asleep", round, asleep, len(p.helpers))
			}
		}
		// Two blocks that wait for each other need two workers: the caller, and a helper that woke.
		var met atomic.Int32
		p.Run(2, func(_, _ int) {
			met.Add(1)
			for met.Load() < 2 {
				runtime.Gosched()
			}
		})
	}
}

// TestCallerSleepsForASlowHelper: a helper that takes its time is waited for, however long, and nobody is lost.
func TestCallerSleepsForASlowHelper(t *testing.T) {
	p := New(3)
	defer p.Close()
	for range 200 {
		var inside, finished atomic.Int32
		p.Run(3, func(worker, _ int) {
			inside.Add(1)
			for inside.Load() < 2 && worker == 0 { // leave the other blocks to helpers
				runtime.Gosched()
			}
			if worker != 0 {
				for start := time.Now(); time.Since(start) < 3*spinTime; {
					runtime.Gosched()
				}
			}
			finished.Add(1)
		})
		if n := finished.Load(); n != 3 {
			t.Fatalf("Run returned with %d of 3 blocks done", n)
		}
	}
}

// TestNoBlockIsLostUnderStress: runs of uneven lengths, short and longer than anybody spins, in any order. When Run returns
// every block has ended.
func TestNoBlockIsLostUnderStress(t *testing.T) {
	const runs = 20_000
	for _, threads := range []int{2, 3, 5} {
		p := New(threads)
		random := rand.New(rand.NewPCG(1, uint64(threads)))
		pauses := make([]time.Duration, 8)
		var ended atomic.Int32
		work := func(_, b int) {
			if pauses[b] > 0 {
				for start := time.Now(); time.Since(start) < pauses[b]; {
					runtime.Gosched()
				}
			}
			ended.Add(1)
		}
		for run := range runs {
			blocks := 2 + random.IntN(len(pauses)-1)
			for b := range blocks {
				pauses[b] = 0
				if random.IntN(50) == 0 { // some outlast a spin of the caller, most do not
					pauses[b] = time.Duration(random.Int64N(int64(3 * spinTime / 2)))
				}
			}
			ended.Store(0)
			p.Run(blocks, work)
			if n := ended.Load(); int(n) != blocks {
				t.Fatalf("threads %d, run %d: Run returned with %d of %d blocks done", threads, run, n, blocks)
			}
			if random.IntN(500) == 0 {
				time.Sleep(2 * spinTime) // helpers go to sleep
			}
		}
		p.Close()
	}
}

// TestALateSignalOfAnEarlierRunEndsNoWait: a helper that left an earlier run may signal only now.
func TestALateSignalOfAnEarlierRunEndsNoWait(t *testing.T) {
	p := New(2)
	defer p.Close()
	p.total++ // a block that a helper has claimed
	done := make(chan struct{})
	go func() { p.await(); close(done) }()
	for deadline := time.Now().Add(10 * time.Second); !p.waiting.CompareAndSwap(true, false); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the caller did not go to sleep")
		}
	}
	p.left <- struct{}{} // the second half of a leave, delayed
	select {
	case <-done:
		t.Fatal("await returned before the helper was done")
	case <-time.After(20 * spinTime):
	}
	p.leave(1)
	<-done
}
