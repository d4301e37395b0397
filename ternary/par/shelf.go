package par

import "sync/atomic"

// Shelf keeps scratch memory between calls that may run side by side: a call takes a piece and puts it back, so that calls
// allocate nothing once there are as many pieces as calls at a time. A piece larger than 32 KiB lies on whole pages, so its
// arrays are aligned for vectors as far as their offsets are. On the stack it would be cleared at every call, and
// unaligned. The zero Shelf is empty.
type Shelf[T any] struct {
	pieces [64]struct {
		p atomic.Pointer[T]
		_ [56]byte // a cache line each
	}
}

// Take returns a piece that nobody else has; what it holds is left over from its last use.
func (s *Shelf[T]) Take() *T {
	for i := range s.pieces {
		if p := s.pieces[i].p.Load(); p != nil && s.pieces[i].p.CompareAndSwap(p, nil) {
			return p
		}
	}
	return new(T)
}

// Put gives a piece back.
func (s *Shelf[T]) Put(p *T) {
	for i := range s.pieces {
		if s.pieces[i].p.Load() == nil && s.pieces[i].p.CompareAndSwap(nil, p) {
			return
		}
	}
}
