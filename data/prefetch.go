package data

// Prefetcher fills values ahead of their use, in order, in a goroutine of its own: reading cold pages of a mapped file then
// takes place while the training step computes. Only that goroutine calls fill.
type Prefetcher[T any] struct {
	free chan T
	full chan prefetched[T]
	out  prefetched[T] // lent to the caller
	lent bool
}

type prefetched[T any] struct {
	value T
	err   error
}

// NewPrefetcher starts filling values, of which one is lent at a time and the others wait or are being filled.
func NewPrefetcher[T any](values []T, fill func(T) error) *Prefetcher[T] {
	p := &Prefetcher[T]{free: make(chan T, len(values)), full: make(chan prefetched[T], len(values))}
	for _, v := range values {
		p.free <- v
	}
	go func() {
		defer close(p.full)
		for v := range p.free {
			err := fill(v)
			p.full <- prefetched[T]{v, err}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// Next returns the next value, which holds until the following call. An error of fill is the error of every later call. It
// does not allocate.
func (p *Prefetcher[T]) Next() (T, error) {
	if p.out.err == nil {
		if p.lent {
			p.free <- p.out.value
		}
		p.out, p.lent = <-p.full, true
	}
	return p.out.value, p.out.err
}

// Close ends the goroutine and waits for it. No call may follow.
func (p *Prefetcher[T]) Close() {
	close(p.free)
	for range p.full {
	}
}
