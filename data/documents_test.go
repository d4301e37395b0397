package data

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// several is a source of several documents, whose ids name their places.
type several struct {
	IDs
	starts []bool
}

func (s *several) Starts(dst []bool, at int) { copy(dst, s.starts[at:at+len(dst)]) }

func drawSeveral(t *rapid.T, n int) *several {
	s := &several{counting(n), make([]bool, n)}
	for at := 0; at < n; at += rapid.IntRange(1, 12).Draw(t, "document") {
		s.starts[at] = true
	}
	return s
}

// checkRows demands that each position has the id that its place has, the mark of its document, and the id behind it as label
// where that is of the same document. It returns how many labels there are.
func checkRows(t *rapid.T, s *several, b *Batch) (labels int) {
	for i, id := range b.IDs {
		if b.Starts[i] != s.starts[id] {
			t.Fatalf("id %d: start %v", id, b.Starts[i])
		}
		want := id + 1
		if int(want) == len(s.starts) || s.starts[want] {
			want = IgnoreLabel
		}
		if b.Labels[i] != want {
			t.Fatalf("id %d: label %d, want %d", id, b.Labels[i], want)
		}
		if want != IgnoreLabel {
			labels++
		}
	}
	return labels
}

// refused demands an error where the documents of a part are one token each, and none elsewhere.
func refused(t *rapid.T, err error, parts ...[]bool) (bad bool) {
	for _, starts := range parts {
		bad = bad || !slices.Contains(starts[1:], false)
	}
	if bad != (err != nil) || bad && !errors.Is(err, ErrData) {
		t.Fatalf("documents %v: %v", parts, err)
	}
	return bad
}

// Documents of one token leave nothing to predict; one of two among very many is enough.
func TestDocumentsOfOneToken(t *testing.T) {
	const n = 10_000
	s := &several{counting(n), slices.Repeat([]bool{true}, n)}
	for _, o := range []Options{{SeqLen: 8}, {SeqLen: 8, ValFraction: 0.1}} {
		if _, err := New(s, o); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "training") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, two := range []int{1, 4096, 4097, 8192, 8193, 8999} { // on both sides of what is read together
		s.starts[two] = false
		if _, err := New(s, Options{SeqLen: 8}); err != nil {
			t.Errorf("a document of two at %d: %v", two, err)
		}
		if _, err := New(s, Options{SeqLen: 8, ValFraction: 0.1}); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "validation") {
			t.Errorf("a document of two at %d, none held out: %v", two, err)
		}
		s.starts[two] = true
	}
}

// Documents are marked wherever a window is cut, and no label is of another document.
func TestDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{SeqLen: rapid.IntRange(1, 9).Draw(t, "T"), Seed: rapid.Uint64().Draw(t, "seed")}
		s := drawSeveral(t, rapid.IntRange(o.SeqLen+1, 200).Draw(t, "n"))
		l, err := New(s, o)
		if refused(t, err, s.starts) {
			return
		}
		b := NewBatch(3, o.SeqLen)
		for range 20 {
			if err := l.Next(b); err != nil {
				t.Fatal(err)
			}
			if labels := checkRows(t, s, b); labels != b.Counted() {
				t.Fatalf("%d labels, Counted says %d", labels, b.Counted())
			}
		}
	})
}

// Validation predicts every held-out id but the first and those that start a document, once.
func TestValidationOfDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSeveral(t, rapid.IntRange(8, 200).Draw(t, "n"))
		l, err := New(s, Options{SeqLen: 1, ValFraction: 0.5})
		cut := len(s.starts) - len(s.starts)/2
		if refused(t, err, s.starts[:cut], s.starts[cut:]) {
			return
		}
		v, err := l.Validation(rapid.IntRange(1, 20).Draw(t, "T"), rapid.IntRange(1, 5).Draw(t, "B"))
		if err != nil {
			t.Fatal(err)
		}
		var want, got []int32
		for _, id := range Read(l.Val(), l.Val().Len())[1:] {
			if !s.starts[id] {
				want = append(want, id)
			}
		}
		for b := v.Next(); b != nil; b = v.Next() {
			for i, label := range b.Labels {
				if label != IgnoreLabel {
					got = append(got, label)
				}
				if id := b.IDs[i]; id != 0 && b.Starts[i] != s.starts[id] {
					t.Fatalf("id %d: start %v", id, b.Starts[i])
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("labels %v, want %v", got, want)
		}
	})
}

// The windows that ranks draw are together those that one loader draws, and their positions are its.
func TestRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world := rapid.IntRange(1, 5).Draw(t, "world")
		o := Options{SeqLen: rapid.IntRange(1, 9).Draw(t, "T"), Seed: rapid.Uint64().Draw(t, "seed"), World: world}
		n := rapid.IntRange(o.SeqLen+1, 100).Draw(t, "n")
		var ranks []*Loader
		for o.Rank = range world {
			ranks = append(ranks, newLoader(t, n, o))
		}
		all, b := newLoader(t, n, Options{SeqLen: o.SeqLen, Seed: o.Seed}), NewBatch(1, o.SeqLen)
		for range rapid.IntRange(1, 40).Draw(t, "draws") {
			for _, l := range ranks {
				want := next(t, all, b)
				if got := next(t, l, b); !slices.Equal(got, want) {
					t.Fatalf("rank %d draws %v, want %v", l.rank, got, want)
				}
			}
			for _, l := range ranks {
				if l.Position() != all.Position() {
					t.Fatalf("rank %d is at %+v, all are at %+v", l.rank, l.Position(), all.Position())
				}
			}
		}
	})
	for _, o := range []Options{{SeqLen: 1, Rank: 1}, {SeqLen: 1, Rank: 3, World: 3}, {SeqLen: 1, Rank: -1, World: 2}} {
		if _, err := New(counting(9), o); !errors.Is(err, ErrData) {
			t.Errorf("rank %d of %d: %v", o.Rank, o.World, err)
		}
	}
}

// A validation part that whoever made the ids has cut is held to what New's own is.
func TestSplitErrors(t *testing.T) {
	for _, tc := range []struct {
		held     int
		fraction float64
		ok       bool
	}{{0, 0, true}, {0, 0.1, false}, {1, 0, false}, {1, 0.1, false}, {2, 0, true}, {2, 0.1, true}} {
		_, err := NewSplit(counting(9), counting(tc.held), Options{SeqLen: 4, ValFraction: tc.fraction})
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrData) {
			t.Errorf("%d ids held out, fraction %v: %v", tc.held, tc.fraction, err)
		}
	}
}

func TestPrefetcher(t *testing.T) {
	filled := 0
	p := NewPrefetcher([]*int{new(int), new(int), new(int)}, func(v *int) error {
		*v = filled
		filled++
		return nil
	})
	for want := range 1000 {
		v, err := p.Next()
		if err != nil || *v != want {
			t.Fatalf("value %d, %v, want %d", *v, err, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Next() }); n != 0 {
		t.Errorf("%v allocations a value", n)
	}
	p.Close()
	if filled < 1000 || filled > 1000+101+3 { // what was lent, and at most three ahead
		t.Errorf("%d values were filled", filled)
	}

	broken := errors.New("broken")
	p = NewPrefetcher([]*int{new(int), new(int)}, func(v *int) error {
		if *v++; *v == 2 {
			return broken
		}
		return nil
	})
	var err error
	for range 10 {
		if _, err = p.Next(); err != nil {
			break
		}
	}
	if _, again := p.Next(); !errors.Is(err, broken) || !errors.Is(again, broken) {
		t.Errorf("errors %v and %v", err, again)
	}
	p.Close()
}
