package train

import (
	"fmt"
	"math"
	"testing"

	"mmfree/autograd"
	"mmfree/data"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// distinctIDs is a corpus in which no id comes twice, so that the row of an id in the gradient of the embedding table is
// the gradient at one token. Documents are of 1, 2, … tokens and again of 1 behind those of longest.
type distinctIDs struct {
	data.IDs
	starts []bool
}

func (s *distinctIDs) Starts(dst []bool, at int) { copy(dst, s.starts[at:]) }

func newDistinctIDs(n, longest int) *distinctIDs {
	s := &distinctIDs{make(data.IDs, n), make([]bool, n)}
	for i := range s.IDs {
		s.IDs[i] = int32(i * 7 % n) // n is no multiple of 7: neighbours in the text are not neighbours in the table
	}
	for at, length := 0, 1; at < n; at, length = at+length, length%longest+1 {
		s.starts[at] = true
	}
	return s
}

// What documents that share a row of the loader's batches teach is what each teaches alone, in every bit: the gradient at
// each token, and the gradients of all weights where only one document of the row has labels. So are the logits.
func TestPackedGradients(t *testing.T) {
	const B, T, V = 2, 16, 200
	for _, arch := range []string{spec.ArchMatMulFree, spec.ArchTransformer, spec.ArchBitNet, spec.ArchRWKV4} {
		for i, set := range kernel.Available() {
			threads := 1 + i%2
			t.Run(fmt.Sprintf("%s, %s, %d threads", arch, set.Name, threads), func(t *testing.T) {
				c := spec.Default()
				c.Arch, c.VocabSize, c.HiddenSize, c.NumHiddenLayers, c.IntermediateSize = arch, V, 24, 2, 31
				c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim = 4, 2, 6
				w, err := spec.NewWeights(c)
				if err != nil {
					t.Fatal(err)
				}
				w.Init(1)
				pool := par.New(threads)
				defer pool.Close()
				o := autograd.Options{Set: set, Pool: pool}
				packed, alone := newSession(t, w, o), newSession(t, w, o)
				l, err := data.NewSplit(newDistinctIDs(V, 9), data.IDs(nil), data.Options{SeqLen: T, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				b := data.NewBatch(B, T)
				shared := 0
				for range 3 { // 6 of the 11 windows of the first epoch
					if err := l.Next(b); err != nil {
						t.Fatal(err)
					}
					shared += checkPacked(t, packed, alone, w, b)
				}
				if l.Position().Epoch != 0 || shared < 12 {
					t.Errorf("at %+v, %d documents shared a row with the next", l.Position(), shared)
				}
			})
		}
	}
}

func newSession(t *testing.T, w *spec.Weights, o autograd.Options) *autograd.Session {
	t.Helper()
	s, err := autograd.NewSession(w, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkPacked compares a batch with its documents one by one, and returns how many share their row with a next one.
func checkPacked(t *testing.T, packed, alone *autograd.Session, w *spec.Weights, b *data.Batch) (shared int) {
	t.Helper()
	d, V, scale := w.Config.HiddenSize, w.Config.VocabSize, 1/float64(b.Counted())
	logits := make([]float32, len(b.IDs)*V)
	if err := packed.ForwardDocuments(b.IDs, b.Starts, b.B, logits, nil); err != nil {
		t.Fatal(err)
	}
	backward := func(s *autograd.Session, ids, labels []int32, starts []bool, B int) *spec.Weights {
		s.ZeroGrads()
		if _, err := s.BackwardDocuments(ids, labels, starts, B, scale); err != nil {
			t.Fatal(err)
		}
		return s.Grads()
	}
	table := spec.EmbeddingName(w.Config)
	tokens := append([]float32(nil), backward(packed, b.IDs, b.Labels, b.Starts, b.B).Get(table)...)
	for i := range b.B {
		row := b.Row(i)
		for from, to := 0, 0; from < row.T; from = to {
			for to = from + 1; to < row.T && !row.Starts[to]; to++ {
			}
			if to < row.T {
				shared++
			}
			what := fmt.Sprintf("row %d, tokens %d to %d", i, from, to)
			ids, labels := row.IDs[from:to], row.Labels[from:to]
			one := make([]float32, len(ids)*V)
			if err := alone.Forward(ids, 1, one, nil); err != nil {
				t.Fatal(err)
			}
			equal(t, what+": logits", logits[(i*row.T+from)*V:][:len(one)], one)
			want := backward(alone, ids, labels, nil, 1)
			for k, id := range ids {
				equal(t, fmt.Sprintf("%s: gradient at token %d", what, from+k), tokens[int(id)*d:][:d], want.Get(table)[int(id)*d:][:d])
			}
			only := make([]int32, row.T) // labels of this document
			learns := false
			for k := range only {
				if only[k] = data.IgnoreLabel; k >= from && k < to {
					only[k] = row.Labels[k]
					learns = learns || only[k] >= 0
				}
			}
			got := backward(packed, row.IDs, only, row.Starts, 1)
			for k, tensor := range got.Tensors {
				equal(t, what+": gradient of "+tensor.Name, got.At(k), want.At(k))
				if learns && tensor.Name == table && zero(got.At(k)) {
					t.Errorf("%s: no gradient", what)
				}
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	return shared
}

func zero(list []float32) bool {
	for _, x := range list {
		if x != 0 {
			return false
		}
	}
	return true
}

// equal compares bits; but a sum of nothing but zeros may have either sign.
func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] != 0 || want[i] != 0) {
			t.Errorf("%s: value %d is %v, alone %v", what, i, got[i], want[i])
			return
		}
	}
}
