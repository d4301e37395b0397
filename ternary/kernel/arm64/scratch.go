//go:build arm64 && !noasm

package arm64

import "sync/atomic"

// shelf keeps scratch memory between calls: a call takes a piece and puts it back, so that calls allocate nothing once
// there are as many pieces as calls at a time. On the stack the memory would be cleared at every call.
type shelf[T any] struct {
	pieces [64]struct {
		p atomic.Pointer[T]
		_ [56]byte // a cache line each
	}
}

func (s *shelf[T]) take() *T {
	for i := range s.pieces {
		if p := s.pieces[i].p.Load(); p != nil && s.pieces[i].p.CompareAndSwap(p, nil) {
			return p
		}
	}
	return new(T)
}

func (s *shelf[T]) put(p *T) {
	for i := range s.pieces {
		if s.pieces[i].p.Load() == nil && s.pieces[i].p.CompareAndSwap(nil, p) {
			return
		}
	}
}
