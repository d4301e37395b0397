package data

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// counting returns ids 0, 1, … n−1, so that an id names its own place.
func counting(n int) IDs {
	ids := make(IDs, n)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

// next draws a batch and returns a copy of its ids.
func next(t interface{ Fatal(...any) }, l *Loader, b *Batch) []int32 {
	if err := l.Next(b); err != nil {
		t.Fatal(err)
	}
	for i, id := range b.IDs {
		if b.Labels[i] != id+1 {
			t.Fatal("label", b.Labels[i], "at id", id)
		}
	}
	return slices.Clone(b.IDs)
}

func newLoader(t interface{ Fatal(...any) }, n int, o Options) *Loader {
	l, err := New(counting(n), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSameSeedSameBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{SeqLen: rapid.IntRange(1, 9).Draw(t, "T"), Seed: rapid.Uint64().Draw(t, "seed")}
		n := rapid.IntRange(o.SeqLen+1, 300).Draw(t, "n")
		before := rapid.IntRange(0, 60).Draw(t, "batches before")
		b := NewBatch(rapid.IntRange(1, 7).Draw(t, "B"), o.SeqLen)

		straight := newLoader(t, n, o)
		for range before {
			next(t, straight, b)
		}
		// The position crosses a checkpoint as JSON.
		stored, err := json.Marshal(straight.Position())
		if err != nil {
			t.Fatal(err)
		}
		var p Position
		if err := json.Unmarshal(stored, &p); err != nil {
			t.Fatal(err)
		}
		resumed := newLoader(t, n, o)
		if err := resumed.Seek(p); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			want, got := next(t, straight, b), next(t, resumed, b)
			if !slices.Equal(want, got) {
				t.Fatalf("batch %d after %+v: %v, want %v", i, p, got, want)
			}
		}
	})
}

func TestEveryWindowOncePerEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{SeqLen: rapid.IntRange(1, 9).Draw(t, "T"), Seed: rapid.Uint64().Draw(t, "seed")}
		n := rapid.IntRange(o.SeqLen+1, 400).Draw(t, "n")
		l := newLoader(t, n, o)
		b := NewBatch(1, o.SeqLen)
		for epoch := range uint64(4) {
			if err := l.Seek(Position{Epoch: epoch}); err != nil {
				t.Fatal(err)
			}
			windows := l.Windows()
			var starts []int
			for range windows {
				starts = append(starts, int(next(t, l, b)[0]))
			}
			if p := l.Position(); p.Epoch != epoch || p.Index != windows {
				t.Fatalf("after %d windows of epoch %d the position is %+v", windows, epoch, p)
			}
			slices.Sort(starts)
			for i, s := range starts {
				if want := starts[0] + i*o.SeqLen; s != want {
					t.Fatalf("epoch %d, sorted window %d starts at %d, want %d", epoch, i, s, want)
				}
			}
			if front := starts[0]; front >= o.SeqLen {
				t.Fatalf("epoch %d leaves %d ids out at the front", epoch, front)
			}
			if back := n - 1 - (starts[len(starts)-1] + o.SeqLen); back >= o.SeqLen {
				t.Fatalf("epoch %d leaves %d ids out at the back", epoch, back)
			}
		}
	})
}

func TestEpochsAndSeedsDiffer(t *testing.T) {
	first := func(seed, epoch uint64) []int32 {
		l := newLoader(t, 10_000, Options{SeqLen: 16, Seed: seed})
		if err := l.Seek(Position{Epoch: epoch}); err != nil {
			t.Fatal(err)
		}
		return next(t, l, NewBatch(64, 16))
	}
	if slices.Equal(first(1, 0), first(1, 1)) || slices.Equal(first(1, 0), first(2, 0)) {
		t.Error("two epochs or two seeds have the same order")
	}
}

// The order is part of a run's bits: this pins it. It may never change.
func TestOrderIsPinned(t *testing.T) {
	l := newLoader(t, 100, Options{SeqLen: 8, Seed: 1})
	var starts []int32
	for b := NewBatch(1, 8); len(starts) < 14; {
		starts = append(starts, next(t, l, b)[0])
	}
	want := []int32{60, 28, 36, 4, 12, 68, 84, 44, 20, 52, 76 /* epoch 1, of another phase: */, 72, 56, 88}
	if diff := cmp.Diff(want, starts); diff != "" {
		t.Error(diff)
	}
}

// Each window should come first about equally often over the seeds: a weak network or a biased walk would not do.
func TestOrderIsSpread(t *testing.T) {
	const windows, seeds = 10, 10_000
	var count [windows]float64
	for seed := range uint64(seeds) {
		p := newPermutation(windows, &generator{state: mix(seed)})
		count[p.at(0)]++
	}
	chi2, want := 0.0, float64(seeds)/windows
	for _, c := range count {
		chi2 += (c - want) * (c - want) / want
	}
	if chi2 > 27.9 { // 9 degrees of freedom, one in a thousand; the seeds are fixed, so this never flickers
		t.Errorf("chi² = %.1f for %v", chi2, count)
	}
}

func TestPermutationIsBijective(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 255, 256, 257, 4095, 4097, 10_000} {
		p := newPermutation(n, &generator{state: n})
		seen := make([]bool, n)
		for i := range n {
			j := p.at(i)
			if j >= n || seen[j] {
				t.Fatalf("n = %d: %d goes to %d, outside or taken", n, i, j)
			}
			seen[j] = true
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	l, b := newLoader(t, 500, Options{SeqLen: 16}), NewBatch(8, 16)
	n := testing.AllocsPerRun(100, func() {
		if err := l.Next(b); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestValidationCoversExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(4, 300).Draw(t, "n")
		T, B := rapid.IntRange(1, 20).Draw(t, "T"), rapid.IntRange(1, 5).Draw(t, "B")
		l := newLoader(t, n, Options{SeqLen: 1, ValFraction: 0.5})
		v, err := l.Validation(T, B)
		if err != nil {
			t.Fatal(err)
		}
		var labels []int32
		batches := 0
		for b := v.Next(); b != nil; b = v.Next() {
			if b.B != B || b.T != T {
				t.Fatalf("a batch of %d×%d", b.B, b.T)
			}
			batches++
			for i, label := range b.Labels {
				switch {
				case label == IgnoreLabel && b.IDs[i] != 0:
					t.Fatalf("padding id %d", b.IDs[i])
				case label != IgnoreLabel && b.IDs[i] != label-1:
					t.Fatalf("label %d at id %d", label, b.IDs[i])
				case label != IgnoreLabel:
					labels = append(labels, label)
				}
			}
		}
		if want := Read(l.Val(), l.Val().Len())[1:]; !slices.Equal(labels, want) {
			t.Fatalf("labels %v, want %v", labels, want)
		}
		if batches != v.Batches() {
			t.Fatalf("%d batches, announced %d", batches, v.Batches())
		}
	})
}

func TestSplitIsTheLastTenth(t *testing.T) {
	l := newLoader(t, 1009, Options{SeqLen: 4, ValFraction: 0.1})
	if first := Read(l.Val(), 1)[0]; l.Train().Len() != 909 || l.Val().Len() != 100 || first != 909 {
		t.Errorf("%d for training, %d for validation from %d", l.Train().Len(), l.Val().Len(), first)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		n    int
		o    Options
		want string
	}{
		{"no tokens", 0, Options{SeqLen: 8}, "has 0 tokens, of which 0 are for training; rows of 8 need at least 9"},
		{"too short", 9, Options{SeqLen: 8, ValFraction: 0.2}, "has 9 tokens, of which 8"},
		{"validation too short", 19, Options{SeqLen: 8, ValFraction: 0.1}, "leaves 1 for validation; 2 are needed"},
		{"no sequence", 9, Options{}, "sequence length of 0"},
		{"fraction", 9, Options{SeqLen: 2, ValFraction: 1}, "validation fraction of 1"},
		{"fraction NaN", 9, Options{SeqLen: 2, ValFraction: math.NaN()}, "validation fraction of NaN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(counting(tc.n), tc.o)
			if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}

	l := newLoader(t, 100, Options{SeqLen: 8})
	next(t, l, NewBatch(3, 8))
	at := l.Position()
	if err := l.Seek(Position{Epoch: 2, Index: 13}); !errors.Is(err, ErrData) {
		t.Errorf("seek behind the end of an epoch: %v", err)
	}
	if l.Position() != at {
		t.Errorf("a failed seek moved the loader from %+v to %+v", at, l.Position())
	}
	if err := l.Next(NewBatch(3, 7)); !errors.Is(err, ErrData) {
		t.Errorf("a batch of another length: %v", err)
	}
	if _, err := l.Validation(0, 1); !errors.Is(err, ErrData) {
		t.Errorf("validation rows of nothing: %v", err)
	}
	if v, err := l.Validation(4, 2); err != nil || v.Next() != nil || v.Batches() != 0 {
		t.Errorf("without validation ids: %v, %v", v, err)
	}
}

// TestCarry: the rows of consecutive steps go on with one text each, a segment's first window starts a document, every window
// of an epoch comes once, and ranks share the rows of a step.
func TestCarry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		T, B := rapid.IntRange(1, 5).Draw(t, "T"), rapid.IntRange(1, 4).Draw(t, "B")
		carry, world := rapid.IntRange(2, 4).Draw(t, "carry"), rapid.IntRange(1, 3).Draw(t, "world")
		o := Options{SeqLen: T, Seed: rapid.Uint64().Draw(t, "seed"), Carry: carry, Rows: B * world}
		span := T * carry * B * world
		n := rapid.IntRange(span+1, 6*span).Draw(t, "n")
		l, b := newLoader(t, n, o), NewBatch(B*world, T)
		ranks := make([]*Loader, world)
		for i := range ranks {
			o := o
			o.Rank, o.World, o.Rows = i, world, B
			ranks[i] = newLoader(t, n, o)
		}
		part := NewBatch(B, T)

		seen, before := map[int32]bool{}, make([]int32, B*world)
		for step := 0; l.Position().Epoch == 0 && l.Position().Index < l.Windows(); step++ {
			next(t, l, b)
			for row := range b.B {
				at, start := b.IDs[row*T], b.Starts[row*T]
				if first := step%carry == 0; start != first && at != 0 {
					t.Fatalf("step %d, row %d: starts a document: %v", step, row, start)
				} else if !first && at != before[row]+int32(T) {
					t.Fatalf("step %d, row %d goes on at %d behind %d", step, row, at, before[row])
				}
				if seen[at] {
					t.Fatalf("the window at %d comes twice", at)
				}
				seen[at], before[row] = true, at
			}
			for i, rank := range ranks {
				next(t, rank, part)
				for row := range B {
					if got, want := part.IDs[row*T], b.IDs[(row*world+i)*T]; got != want {
						t.Fatalf("step %d: rank %d has the window at %d in row %d, want %d", step, i, got, row, want)
					}
				}
			}
		}
		if got, least := len(seen)*T, n-1-2*span; got <= least {
			t.Fatalf("an epoch deals %d of %d tokens", got, n)
		}
		at := l.Position()
		want := next(t, l, b)
		if err := l.Seek(at); err != nil {
			t.Fatal(err)
		}
		if got := next(t, l, b); !slices.Equal(got, want) {
			t.Fatalf("at %+v again: %v, want %v", at, got, want)
		}
	})
	if _, err := New(counting(100), Options{SeqLen: 4, Carry: 8, Rows: 4}); !errors.Is(err, ErrData) {
		t.Errorf("too short a text: %v", err)
	}
	if _, err := New(counting(100), Options{SeqLen: 4, Carry: math.MaxInt, Rows: math.MaxInt}); !errors.Is(err, ErrData) {
		t.Errorf("sizes that overflow: %v", err)
	}
}
