package data

import (
	"errors"
	"fmt"
	"slices"
)

// Legend: B rows of a batch, T ids in a row (seq_len), N ids of the training part.

// IgnoreLabel marks a position of a Batch that has no label: it counts neither in the loss nor in an average.
const IgnoreLabel int32 = -100

// ErrData is the class of every error of this package: the ids do not suffice for what was asked of them.
var ErrData = errors.New("unusable data")

// Error says what is wrong with the ids or with the request made of them.
type Error struct {
	Problem string
	Fix     string
}

func (e *Error) Error() string { return e.Problem }

// Unwrap makes errors.Is(err, ErrData) hold.
func (e *Error) Unwrap() error { return ErrData }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Batch is B rows of T ids and the label of each: Labels[i] is the id that follows IDs[i] in its document, or IgnoreLabel
// where none does. Starts[i] tells whether a document starts at IDs[i]: what is before it must not reach it. All are [B·T],
// row after row.
type Batch struct {
	B, T   int
	IDs    []int32
	Labels []int32
	Starts []bool
}

// NewBatch returns a batch of b rows of t ids, for Next to fill.
func NewBatch(b, t int) *Batch {
	return &Batch{B: b, T: t, IDs: make([]int32, b*t), Labels: make([]int32, b*t), Starts: make([]bool, b*t)}
}

// Row returns a batch of one row, which shares the memory of b.
func (b *Batch) Row(i int) Batch {
	from, to := i*b.T, (i+1)*b.T
	return Batch{B: 1, T: b.T, IDs: b.IDs[from:to:to], Labels: b.Labels[from:to:to], Starts: b.Starts[from:to:to]}
}

// Counted returns how many positions have a label.
func (b *Batch) Counted() (n int) {
	for _, l := range b.Labels {
		if l != IgnoreLabel {
			n++
		}
	}
	return n
}

// fill takes row i from s, from id at on, with the labels of its first n positions; the rest is padding.
func (b *Batch) fill(i int, s Source, at, n int) {
	r := b.Row(i)
	if n > 0 {
		s.Read(r.IDs[:n], at)
		copy(r.Labels, r.IDs[1:n])
		s.Read(r.Labels[n-1:n], at+n)
		s.Starts(r.Starts[:n], at+1)
		for k, start := range r.Starts[:n] {
			if start {
				r.Labels[k] = IgnoreLabel
			}
		}
		s.Starts(r.Starts[:n], at)
	}
	for k := n; k < r.T; k++ {
		r.IDs[k], r.Labels[k], r.Starts[k] = 0, IgnoreLabel, false // every vocabulary has id 0
	}
}

// check reports whether the batch can be filled with rows of t ids.
func (b *Batch) check(t int) error {
	if b.B < 1 || b.T != t || len(b.IDs) != b.B*b.T || len(b.Labels) != b.B*b.T || len(b.Starts) != b.B*b.T {
		return &Error{
			Problem: fmt.Sprintf("a batch of %d rows of %d ids (%d ids, %d labels in memory) cannot hold rows of %d ids",
				b.B, b.T, len(b.IDs), len(b.Labels), t),
			Fix: "make it with NewBatch, with at least one row and the loader's sequence length",
		}
	}
	return nil
}

// Position is a place in the endless sequence of training windows: the next window to be drawn is number Index of
// epoch Epoch, both from 0. Together with the seed it determines every later batch; a checkpoint stores it. It counts the
// windows of all ranks, and is the same for each of them.
type Position struct {
	Epoch uint64 `json:"epoch"`
	Index uint64 `json:"index"`
}

// Options says how ids are cut.
type Options struct {
	SeqLen      int     // T, ids in a row
	ValFraction float64 // part of the ids held out at the end, in [0, 1); 0 = none
	Seed        uint64  // of the order of windows
	Rank, World int     // of World loaders that share the windows, this is number Rank; a World of 0 is 1
	// Carry is how many windows of consecutive text a row brings in as many steps of Rows rows each, for models whose state
	// goes on from step to step; 0 is 1.
	Carry, Rows int
}

// Loader deals the training windows of a corpus in shuffled order, for ever.
//
// A window is T+1 consecutive ids: T inputs, and the same shifted by one as labels, so neighbouring windows share
// one id and no prediction is lost between them; a window may hold several documents, or parts of them. In each epoch
// the windows start at a phase drawn for the epoch (fewer than T ids at the front, and fewer than T at the back, sit
// out), so that the cuts move from epoch to epoch, and every window comes exactly once. Batches take windows one after
// the other and run on into the next epoch.
//
// With Options.Carry above 1 what is shuffled is segments of so many windows. The rows of as many steps deal one segment each,
// window by window, and a segment's first window starts a document, wherever in one it begins. Less than the text of such a
// group of steps sits out at the front and at the back.
//
// Of World loaders, each draws windows in the same order and keeps every World-th.
//
// A Loader is not for concurrent use; the ids stay where they are.
type Loader struct {
	train, val  Source
	seqLen      int
	seed        uint64
	rank, world int
	carry, rows uint64 // windows of a segment, and rows of a step over all ranks; both 1 without segments

	pos     Position
	phase   int         // start of the first window of epoch pos.Epoch
	windows uint64      // in epoch pos.Epoch
	order   permutation // of the segments of epoch pos.Epoch
}

// New cuts ids, the tokens of a whole corpus in order, into a training part and, behind it, a validation part of
// ⌊Len·ValFraction⌋ ids. Neither may be too short for its use: training needs T+1 ids, validation two.
func New(ids Source, o Options) (*Loader, error) {
	if !(o.ValFraction >= 0 && o.ValFraction < 1) { // written so that NaN fails too
		return nil, &Error{
			Problem: fmt.Sprintf("a validation fraction of %v", o.ValFraction),
			Fix:     "set data.val_fraction to at least 0 and less than 1",
		}
	}
	n := ids.Len()
	held := int(float64(n) * o.ValFraction)
	return NewSplit(&section{ids, 0, n - held}, &section{ids, n - held, n}, o)
}

// NewSplit makes a loader of ids to train on and ids that are held out, as New cuts them. Where ValFraction is 0 none need be
// held out.
func NewSplit(train, val Source, o Options) (*Loader, error) {
	if o.SeqLen < 1 {
		return nil, &Error{
			Problem: fmt.Sprintf("a sequence length of %d", o.SeqLen),
			Fix:     "set data.seq_len to 1 or more",
		}
	}
	o.World = max(1, o.World)
	if o.Rank < 0 || o.Rank >= o.World {
		return nil, &Error{Problem: fmt.Sprintf("rank %d of %d", o.Rank, o.World), Fix: "count ranks from 0"}
	}
	n := train.Len()
	if n < o.SeqLen+1 {
		return nil, &Error{
			Problem: fmt.Sprintf("the corpus has %d tokens, of which %d are for training; rows of %d need at least %d",
				n+val.Len(), n, o.SeqLen, o.SeqLen+1),
			Fix: "give more text, or lower data.seq_len or data.val_fraction",
		}
	}
	carry, rows := 1, 1
	if o.Carry > 1 {
		carry, rows = o.Carry, max(1, o.Rows)
		if windows := (n - 1) / o.SeqLen; rows > windows/carry/o.World { // divided, because the product may overflow
			return nil, &Error{
				Problem: fmt.Sprintf("the corpus has %d tokens for training, %d windows; %d rows that carry their state through %d windows need more",
					n, windows, rows*o.World, carry),
				Fix: "give more text, or lower data.carry_windows",
			}
		}
		rows *= o.World
	}
	if held := val.Len(); held == 1 || held == 0 && o.ValFraction > 0 {
		return nil, &Error{
			Problem: fmt.Sprintf("the corpus has %d tokens, and a fraction of %v leaves %d for validation; 2 are needed",
				train.Len()+held, o.ValFraction, held),
			Fix: "give more text, or raise data.val_fraction, or set it to 0 to train without validation",
		}
	}
	for _, part := range []struct {
		use string
		ids Source
	}{{"training", train}, {"validation", val}} {
		if n := part.ids.Len(); n > 0 && !labelled(part.ids) {
			return nil, &Error{
				Problem: fmt.Sprintf("of the %d tokens for %s each is a document of its own, and none has another behind it to predict", n, part.use),
				Fix:     "give longer documents (each text file is one, and each record of JSONL or Parquet), or a tokenizer that makes more tokens of them",
			}
		}
	}
	l := &Loader{
		train: train, val: val, seqLen: o.SeqLen, seed: o.Seed, rank: o.Rank, world: o.World,
		carry: uint64(carry), rows: uint64(rows),
	}
	l.enter(0)
	return l, nil
}

// labelled tells whether any id of s is followed by one of its document.
func labelled(s Source) bool {
	var starts [4096]bool
	for at := 1; at < s.Len(); at += len(starts) {
		part := starts[:min(len(starts), s.Len()-at)]
		s.Starts(part, at)
		if slices.Contains(part, false) {
			return true
		}
	}
	return false
}

// Train returns the training ids.
func (l *Loader) Train() Source { return l.train }

// Val returns the validation ids.
func (l *Loader) Val() Source { return l.val }

// Windows returns how many windows the present epoch has. It may differ by one from epoch to epoch, as the phase does.
func (l *Loader) Windows() uint64 { return l.windows }

// Position returns the place of the next window.
func (l *Loader) Position() Position { return l.pos }

// Seek makes p the place of the next window, as if all before it had been drawn. A position behind the end of its
// epoch belongs to other data or another sequence length: an error, and the loader stays where it is.
func (l *Loader) Seek(p Position) error {
	was := l.pos
	l.enter(p.Epoch)
	if p.Index > l.windows {
		windows := l.windows
		l.enter(was.Epoch)
		l.pos = was
		return &Error{
			Problem: fmt.Sprintf("window %d of epoch %d, which has %d windows of %d ids", p.Index, p.Epoch, windows, l.seqLen),
			Fix:     "resume with the corpus, tokenizer, data.seq_len and data.val_fraction that the run was started with",
		}
	}
	l.pos = p
	return nil
}

// Next fills b with the next B windows and moves on behind them. It does not allocate. The only error is a batch
// that does not have rows of SeqLen ids.
func (l *Loader) Next(b *Batch) error {
	if err := b.check(l.seqLen); err != nil {
		return err
	}
	for row := range b.B {
		start, first := 0, false
		for rank := range l.world {
			if at, begins := l.nextStart(); rank == l.rank {
				start, first = at, begins
			}
		}
		b.fill(row, l.train, start, b.T)
		if first {
			b.Starts[row*b.T] = true
		}
	}
	return nil
}

// nextStart returns the first id of the next window, entering the next epoch when this one is used up, and whether a segment
// begins with it.
func (l *Loader) nextStart() (at int, begins bool) {
	if l.pos.Index >= l.windows {
		l.enter(l.pos.Epoch + 1)
	}
	group, k := l.pos.Index/l.group(), l.pos.Index%l.group() // the windows of a group are dealt step by step
	segment, window := l.order.at(group*l.rows+k%l.rows), k/l.rows
	l.pos.Index++
	return l.phase + int(segment*l.carry+window)*l.seqLen, l.carry > 1 && window == 0
}

// group returns the number of windows that are dealt together: a segment of each row.
func (l *Loader) group() uint64 { return l.carry * l.rows }

// enter goes to the first window of an epoch and derives the epoch's phase and order from the seed.
func (l *Loader) enter(epoch uint64) {
	g := generator{state: mix(l.seed) ^ mix(^epoch)}
	// Less than a group's ids are left out at the front, and never so many that no group remains.
	span := int(l.group()) * l.seqLen
	phases := min(span, l.train.Len()-span)
	l.phase = int(g.next() % uint64(phases)) // the bias of % is below 2⁻³⁰ for any real T
	l.windows = uint64((l.train.Len()-1-l.phase)/span) * l.group()
	l.order = newPermutation(l.windows/l.carry, &g)
	l.pos = Position{Epoch: epoch}
}
