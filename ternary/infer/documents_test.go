package infer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/par"
)

// TestPackedDocumentsAreAlone: documents that share a sequence give, token for token, the logits that each gives alone,
// and the sequence ends in the last one's state, however the tokens are split between calls.
func TestPackedDocumentsAreAlone(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	sets := kernel.Available()
	for name, c := range configs() {
		t.Run(name, func(t *testing.T) {
			p := random(t, c, 11)
			V := c.VocabSize
			rapid.Check(t, func(r *rapid.T) {
				B, T := rapid.IntRange(1, 3).Draw(r, "batch"), rapid.IntRange(1, longest(c)).Draw(r, "tokens")
				set := rapid.SampledFrom(sets).Draw(r, "set")
				ids := tokens(rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "ids"), 1)), B*T, V)
				starts := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 30), func(n int) bool { return n == 0 }), B*T, B*T).Draw(r, "starts")

				m := infer.New(p, set, pool, B*rapid.SampledFrom([]int{1, 5, 17, 64}).Draw(r, "chunk"))
				s := m.NewState(B)
				logits := make([]float32, B*T*V)
				for t0 := 0; t0 < T; {
					n := rapid.IntRange(1, T-t0).Draw(r, "call")
					call := infer.Call{Which: infer.All, Logits: make([]float32, B*n*V)}
					for b := range B {
						call.IDs = append(call.IDs, ids[b*T+t0:][:n]...)
						call.Starts = append(call.Starts, starts[b*T+t0:][:n]...)
					}
					if err := m.Forward(s, call); err != nil {
						r.Fatal(err)
					}
					for b := range B {
						copy(logits[(b*T+t0)*V:], call.Logits[b*n*V:][:n*V])
					}
					t0 += n
				}
				for b := range B {
					for from, to := 0, 0; from < T; from = to {
						for to = from + 1; to < T && !starts[b*T+to]; to++ {
						}
						want, state := alone(t, p, ids[b*T+from:b*T+to])
						equalBits(r, fmt.Sprintf("logits of tokens %d to %d of sequence %d", from, to, b), logits[(b*T+from)*V:(b*T+to)*V], want)
						if to == T {
							for l := range state {
								equalBits(r, fmt.Sprintf("state %d of sequence %d", l, b), carried(s, b)[l], state[l])
							}
						}
					}
				}
			})
		})
	}
}
