package repro

import (
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/train"
)

// operations is what the forward pass of a packed model executes for a token, counted where the kernels do it.
type operations struct {
	Adds         int64 `json:"adds_a_token"`
	Zeros        int64 `json:"zeros_a_token"`   // weights that nothing is done for
	Weights      int64 `json:"weight_products"` // multiplications of weights
	Others       int64 `json:"other_products"`  // multiplications without a weight
	Sigmoids     int64 `json:"sigmoids"`
	Exponentials int64 `json:"exponentials"`
	Divisions    int64 `json:"divisions"` // but for the few of a row in norms and quantisers
}

// operationsOf counts over a text, from the state before its first token.
func (l *lab) operationsOf(p *pack.Model, ids []int32) (operations, error) {
	var c kernel.Counts
	m := infer.New(p, kernel.Counting(&c), l.machine.Pool, infer.DefaultChunk)
	logits := make([]float32, len(ids)*p.Config.VocabSize)
	if err := m.Forward(m.NewState(1), infer.Call{IDs: ids, Which: infer.All, Logits: logits}); err != nil {
		return operations{}, err
	}
	n := int64(len(ids))
	return operations{
		Adds: c.WeightAdds.Load() / n, Zeros: c.ZerosSkipped.Load() / n, Weights: c.WeightMultiplies.Load() / n, Others: c.OtherMultiplies.Load() / n,
		Sigmoids: c.Sigmoids.Load() / n, Exponentials: c.Exponentials.Load() / n, Divisions: c.Divisions.Load() / n,
	}, nil
}

// countRun counts what the model of a kept run executes for a token of the held-out text.
func (l *lab) countRun(name string, o *outcome) (operations, error) {
	return measure(l, name, func() (operations, error) {
		m, err := train.Open(o.dir)
		if err != nil {
			return operations{}, err
		}
		defer m.Close()
		p, err := m.Packed()
		if err != nil {
			return operations{}, err
		}
		ids, _, _, err := l.heldOut(m, seqLen)
		if err != nil {
			return operations{}, err
		}
		return l.operationsOf(p, ids)
	})
}

// count adds the rows of a model's operations.
func (t *Table) count(setting string, o operations) {
	for _, r := range []struct {
		metric string
		n      int64
	}{
		{"a token's additions because of a weight", o.Adds},
		{"a token's multiplications of a weight", o.Weights},
		{"a token's other multiplications", o.Others},
		{"a token's sigmoids", o.Sigmoids},
		{"a token's exponentials", o.Exponentials},
		{"a token's divisions", o.Divisions},
	} {
		t.row(setting, r.metric, "", none(), Number(r.n))
	}
}
