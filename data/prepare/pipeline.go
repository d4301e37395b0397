package prepare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"mmfree/data/tokenizer"
)

// jobBytes is how much text is encoded at a time: small documents come many to a job.
const jobBytes = 256 << 10

// job is some pieces and their ids. It is used again and again.
type job struct {
	pieces []piece // whose texts lie one after the other in text
	text   []byte
	ids    []int32
	ends   []int // of each piece in ids
	read   int64 // bytes of files, when the last piece was read
	err    error // behind the pieces; io.EOF at the end of the documents
	failed error // of an encoder, at piece len(ends)
	done   chan struct{}
}

func (j *job) reset() {
	j.pieces, j.text, j.ids, j.ends, j.err, j.failed = j.pieces[:0], j.text[:0], j.ids[:0], j.ends[:0], nil, nil
}

// encoder makes ids of pieces. written says which lie in shards already: these get none.
type encoder struct {
	tokenizer      tokenizer.Tokenizer
	before, behind []int32
	written        func(p *piece) bool
	name           func(source int) string
}

func (e *encoder) encode(j *job) {
	for i := range j.pieces {
		p := &j.pieces[i]
		if !e.written(p) {
			if p.first {
				j.ids = append(j.ids, e.before...)
			}
			var err error
			if j.ids, err = e.tokenizer.Encode(j.ids, p.text); err != nil {
				j.failed = &DocumentError{Path: e.name(p.source), At: p.at, Err: err}
				return
			}
			if p.last {
				j.ids = append(j.ids, e.behind...)
			}
		}
		j.ends = append(j.ends, len(j.ids))
	}
}

// DocumentError is a document that the tokenizer refuses.
type DocumentError struct {
	Path string
	At   int64 // byte, line or row, as corpus.Doc.Start
	Err  error
}

func (e *DocumentError) Error() string {
	return fmt.Sprintf("%s: document at %d: %v", e.Path, e.At, e.Err)
}

// Unwrap returns the tokenizer's error.
func (e *DocumentError) Unwrap() error { return e.Err }

// pipeline reads documents on one goroutine, encodes them on as many as asked for, and calls use with one job after the
// other in the order of the documents. It returns when all its goroutines have ended; the first error in that order counts.
func pipeline(ctx context.Context, d *documents, e *encoder, threads int, use func(*job) error) error {
	ctx, cancel := context.WithCancel(ctx)
	jobs := 2*threads + 4
	work, order, free := make(chan *job, jobs), make(chan *job, jobs), make(chan *job, jobs)
	for range jobs {
		free <- &job{}
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		defer close(order)
		defer close(work)
		for {
			var j *job
			select {
			case j = <-free:
			case <-ctx.Done():
				return
			}
			j.reset()
			j.done = make(chan struct{})
			d.fill(ctx, j)
			last := j.err != nil
			work <- j // there is room for every job
			order <- j
			if last {
				return
			}
		}
	})
	for range threads {
		wait.Go(func() {
			for j := range work {
				e.encode(j)
				close(j.done)
			}
		})
	}
	err := collect(ctx, order, free, use)
	cancel()
	for range order { // let the reader go on to see that it is over
	}
	wait.Wait()
	return err
}

func collect(ctx context.Context, order <-chan *job, free chan<- *job, use func(*job) error) error {
	for {
		var j *job
		var ok bool
		select {
		case j, ok = <-order:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !ok {
			return ctx.Err()
		}
		<-j.done
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := use(j); err != nil {
			return err
		}
		switch {
		case j.failed != nil:
			return j.failed
		case errors.Is(j.err, io.EOF):
			return nil
		case j.err != nil:
			return j.err
		}
		free <- j
	}
}

// fill reads pieces until the job is full or the documents end.
func (d *documents) fill(ctx context.Context, j *job) {
	for len(j.text) < jobBytes {
		if j.err = ctx.Err(); j.err != nil {
			return
		}
		p, err := d.next()
		if err != nil {
			j.err = err
			break
		}
		from := len(j.text)
		j.text = append(j.text, p.text...)
		p.text = nil
		p.end = len(j.text)
		p.start = from
		j.pieces = append(j.pieces, p)
	}
	j.read = d.reader.BytesRead()
	for i := range j.pieces { // only now: text may have moved while it grew
		p := &j.pieces[i]
		p.text = j.text[p.start:p.end]
	}
	j.ids = slices.Grow(j.ids, len(j.text)/4)
}
