package data

import "fmt"

// Validation walks the held-out ids once, in order, in windows that do not overlap: every id except the first of each
// document is a label exactly once. The last window is filled up with IgnoreLabel, and so are unused rows of the last
// batch.
type Validation struct {
	ids   Source
	next  int // the first id of the next window
	batch *Batch
}

// Validation returns a walk over the held-out ids in batches of b rows of t ids. The rows need not be as long as the
// training rows. Without validation ids the walk is empty.
func (l *Loader) Validation(t, b int) (*Validation, error) {
	if t < 1 || b < 1 {
		return nil, &Error{
			Problem: fmt.Sprintf("validation in batches of %d rows of %d ids", b, t),
			Fix:     "ask for at least one row of at least one id",
		}
	}
	return &Validation{ids: l.val, batch: NewBatch(b, t)}, nil
}

// positions returns how many ids have one behind them.
func (v *Validation) positions() int { return max(0, v.ids.Len()-1) }

// Batches returns how many batches the whole walk has.
func (v *Validation) Batches() int {
	windows := (v.positions() + v.batch.T - 1) / v.batch.T
	return (windows + v.batch.B - 1) / v.batch.B
}

// Next returns the next batch, which belongs to the walk and holds until the following call, or nil at the end.
// Every batch has the same shape; padding ids are 0.
func (v *Validation) Next() *Batch {
	if v.next >= v.positions() {
		return nil
	}
	for row := range v.batch.B {
		n := min(v.batch.T, v.positions()-v.next) // labels left for this row
		v.batch.fill(row, v.ids, v.next, n)
		v.next += n
	}
	return v.batch
}
