package layer

import "mmfree/ternary/pack"

const (
	// aheadBytes is how much a worker fetches of what it will read next: more than comes while it waits, a part of any
	// second-level cache. 370m takes 5 to 7% less time with 96 to 384 KiB, 3 with 24; 1.3b 3% with 96 and more.
	aheadBytes = 192 << 10
	// aheadStep is the number of words asked for between two looks for work: four cache lines.
	aheadStep = 4 * 64 / 2
	// aheadJobs bounds the jobs that are remembered of a caller that never repeats itself.
	aheadJobs = 1 << 12
)

// ahead has the workers fetch weights while they wait for each other, or for the caller, who normalises, gates and adds
// between two products: else memory would rest meanwhile, which is what decoding waits for. What comes next is what came
// next for the token before.
type ahead struct {
	jobs    []matrices // of a token, in order
	at      int        // the number of those that have come
	started int        // jobs in all
	next    matrices   // of the job that is expected
	cut     cut        // of that one
	blocks  int        // of that one
	workers []fetching
}

// fetching is what one worker has still to fetch.
type fetching struct {
	words []uint16
	job   int // the one that it was planned in
	step  func() bool
	_     [24]byte // a cache line of its own
}

func newAhead(e *Env) ahead {
	a := ahead{workers: make([]fetching, e.Pool.Threads())}
	for i := range a.workers {
		f := &a.workers[i]
		f.step = func() bool {
			n := min(aheadStep, len(f.words))
			e.Set.Fetch(f.words[:n])
			f.words = f.words[n:]
			return len(f.words) > 0
		}
	}
	return a
}

// start notes that a job begins, and what is expected behind it.
func (a *ahead) start(j *fewJob, job matrices) {
	if j.env.Set.Fetch == nil || len(a.workers) == 1 {
		return
	}
	switch {
	case a.at < len(a.jobs) && a.jobs[a.at] == job:
	case len(a.jobs) > 0 && a.jobs[0] == job: // a token begins
		a.jobs, a.at = a.jobs[:a.at], 0
	case a.at == aheadJobs:
		a.jobs, a.at = append(a.jobs[:0], job), 0
	default:
		a.jobs = append(a.jobs[:a.at], job)
	}
	a.at++
	a.started++
	a.next = a.jobs[a.at%len(a.jobs)]
	a.blocks = a.cut.number(a.next, j.blocks)
}

// plan tells the worker, once in a job, where its own part of the next one begins.
func (a *ahead) plan(j *fewJob, worker int) {
	f := &a.workers[worker]
	if f.job == a.started {
		return
	}
	f.job = a.started
	i, of := a.cut.find(j.env.Pool.First(a.blocks, worker))
	w := a.next[i]
	row, _, _ := w.Superblock(of * j.supers(w))
	words := w.Words[row*pack.WordsPerRow(w.Cols):]
	f.words = words[:min(aheadBytes/2, len(words))]
	j.env.Pool.Meanwhile(worker, f.step)
}
