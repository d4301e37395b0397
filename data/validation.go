package data

import "fmt"

// Validation walks the held-out ids once, in order, in windows that do not overlap: every id except the first is
// a label exactly once. The last window is filled up with IgnoreLabel, and so are unused rows of the last batch.
type Validation struct {
	ids   []int32
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

// Predictions returns how many labels the whole walk has: the number to divide a summed loss by.
func (v *Validation) Predictions() int { return max(0, len(v.ids)-1) }

// Batches returns how many batches the whole walk has.
func (v *Validation) Batches() int {
	windows := (v.Predictions() + v.batch.T - 1) / v.batch.T
	return (windows + v.batch.B - 1) / v.batch.B
}

// Next returns the next batch, which belongs to the walk and holds until the following call, or nil at the end.
// Every batch has the same shape and at least one label; padding ids are 0, which every vocabulary has.
func (v *Validation) Next() *Batch {
	if v.next >= v.Predictions() {
		return nil
	}
	t := v.batch.T
	for row := range v.batch.B {
		ids, labels := v.batch.IDs[row*t:(row+1)*t], v.batch.Labels[row*t:(row+1)*t]
		n := min(t, v.Predictions()-v.next) // labels left for this row
		copy(ids, v.ids[v.next:v.next+n])
		copy(labels, v.ids[v.next+1:v.next+1+n])
		for i := n; i < t; i++ {
			ids[i], labels[i] = 0, IgnoreLabel
		}
		v.next += n
	}
	return v.batch
}
