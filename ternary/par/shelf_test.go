package par

import (
	"sync/atomic"
	"testing"
)

// TestShelfGivesEachPieceToOne: pieces in use at a time are different ones, and pieces come back.
func TestShelfGivesEachPieceToOne(t *testing.T) {
	type piece struct{ users atomic.Int32 }
	var shelf Shelf[piece]
	p := New(4)
	defer p.Close()
	p.Run(10_000, func(_, _ int) {
		x := shelf.Take()
		if n := x.users.Add(1); n != 1 {
			t.Errorf("a piece has %d users", n)
		}
		x.users.Add(-1)
		shelf.Put(x)
	})
	first := shelf.Take()
	shelf.Put(first)
	if shelf.Take() != first {
		t.Error("the piece that was put back is not the next one taken")
	}
	shelf.Put(first)
	if n := testing.AllocsPerRun(100, func() { shelf.Put(shelf.Take()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
