package layer_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TestWaitingWorkersFetchWhatComesNext: behind a job of one token, waiting workers ask for words of the job that followed
// it the last time and for no others, the helper for those at the beginning of its own half.
func TestWaitingWorkersFetchWhatComesNext(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("helpers do not spin on one core")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	c := spec.Default()
	c.HiddenSize, c.IntermediateSize = 320, 704
	var jobs [4]*pack.Matrix
	var codes [4]layer.Codes
	for i := range jobs {
		jobs[i] = pack.New(1024+128*i, 320)
		jobs[i].Randomize(rng.Uint64(), 0, jobs[i].Superblocks())
		codes[i] = layer.NewCodes(1, 320, false)
	}
	var mu sync.Mutex
	fetched := map[*uint16]int{} // words by their first
	set := kernel.Generic()
	set.Fetch = func(words []uint16) {
		mu.Lock()
		fetched[&words[0]] += len(words)
		mu.Unlock()
	}
	pool := par.New(2)
	defer pool.Close()
	e := layer.NewEnv(set, pool, c)
	dst := make([]float32, 2048)
	const enough = 4 * len(jobs)
	helped, strays := 0, 0
	for token := 0; helped < enough; token++ {
		if token > 200 {
			t.Fatalf("behind 200 tokens the helper has fetched its part %d times", helped)
		}
		for i, w := range jobs {
			mu.Lock()
			clear(fetched)
			mu.Unlock()
			e.MatMuls(1, layer.Product{Dst: dst, W: w, Codes: &codes[i]})
			time.Sleep(2 * time.Millisecond) // the helper spins for a twentieth of it
			next := jobs[(i+1)%len(jobs)]
			half := next.Words[(next.Superblocks()+1)/2*pack.SuperblockRows*pack.WordsPerRow(next.Cols):]
			mu.Lock()
			if token > 0 {
				seen := 0
				for j := range next.Words {
					seen += fetched[&next.Words[j]]
				}
				all := 0
				for _, n := range fetched {
					all += n
				}
				if seen != all { // a helper that lost its core in between goes on with what was next then
					strays++
				}
				if fetched[&half[0]] > 0 {
					helped++
				}
			}
			mu.Unlock()
		}
	}
	if strays > enough/2 {
		t.Errorf("%d times other words than the next job's were fetched, %d times the helper's part of it", strays, helped)
	}
}
