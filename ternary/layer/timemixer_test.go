package layer_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// TestMaskedTokensLeaveTheState: a sequence with masked tokens anywhere, at documents' starts too, gives the bits that its
// other tokens give alone, and leaves their state.
func TestMaskedTokensLeaveTheState(t *testing.T) {
	m := model(t, func(c *spec.Config) { c.Arch = spec.ArchRWKV4 })
	pool := par.New(2)
	defer pool.Close()
	e, mixer := layer.NewEnv(kernel.Generic(), pool, m.Config), m.Parts[0]
	rng := rand.New(rand.NewPCG(1, 2))
	const T = 33
	d := m.Config.HiddenSize
	for round := range 40 {
		h, mask, starts := make([]float32, T*d), make([]float32, T), make([]bool, T)
		for i := range h {
			h[i] = float32(rng.NormFloat64())
		}
		var kept []int
		var rows []float32
		var begins []bool
		begin := false // a start whose own token is masked counts for the next one
		for i := range T {
			mask[i], starts[i] = float32(min(1, rng.IntN(3))), rng.IntN(5) == 0 && round%2 == 0
			begin = begin || starts[i]
			if mask[i] != 0 {
				kept, rows, begins = append(kept, i), append(rows, h[i*d:][:d]...), append(begins, begin)
				begin = false
			}
		}
		if begin || len(kept) == 0 { // the state behind would be that of an empty document
			continue
		}
		run := func(h, mask []float32, starts []bool) layer.Recurrent {
			n := len(h) / d
			s := mixer.NewState(1)
			mixer.Run(e, h, h, &layer.Batch{B: 1, T: n, Mask: mask, Starts: starts}, s, mixer.NewBuffers(n, make([]float32, n*d)))
			return s.(layer.Recurrent)
		}
		got, want := run(h, mask, starts), run(rows, nil, begins)
		same(t, fmt.Sprintf("round %d, the state", round), got, want)
		for k, at := range kept {
			same(t, fmt.Sprintf("round %d, token %d", round, at), h[at*d:][:d], rows[k*d:][:d])
		}
	}
}
