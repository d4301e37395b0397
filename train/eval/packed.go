package eval

import (
	"slices"

	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// Packed is the Scorer of the packed path.
type Packed struct {
	model  *infer.Model
	set    *kernel.Set
	V      int
	logits []float32
	ids    []int32
}

// NewPacked makes a Scorer of a packed model.
func NewPacked(p *pack.Model, set *kernel.Set, pool *par.Pool) *Packed {
	return &Packed{model: infer.New(p, set, pool, infer.DefaultChunk), set: set, V: p.Config.VocabSize}
}

// Score is described at Scorer.
func (p *Packed) Score(shared []int32, sequences []Sequence) ([]Score, error) {
	state := p.model.NewState(1)
	if len(shared) > 0 {
		if err := p.model.Forward(state, infer.Call{IDs: shared}); err != nil {
			return nil, err
		}
	}
	scores := make([]Score, len(sequences))
	// Sequences that read the same ids, as choices of one token do, are run once. The rest runs side by side, long ones
	// together: a short one is filled up behind its end, where nothing that is scored sees it.
	var rows [][]int // sequences by what they read
	for i, s := range sequences {
		scores[i].Greedy = true
		same := func(row []int) bool { return slices.Equal(sequences[row[0]].IDs, s.IDs) }
		if at := slices.IndexFunc(rows, same); at >= 0 {
			rows[at] = append(rows[at], i)
			continue
		}
		rows = append(rows, []int{i})
	}
	slices.SortStableFunc(rows, func(a, b []int) int { return len(sequences[b[0]].IDs) - len(sequences[a[0]].IDs) })
	for len(rows) > 0 {
		n := 1
		for longest := len(sequences[rows[0][0]].IDs); n < len(rows) && n < maxRows && (n+1)*longest <= maxTogether; {
			n++
		}
		if err := p.run(state, sequences, rows[:n], scores); err != nil {
			return nil, err
		}
		rows = rows[n:]
	}
	return scores, nil
}

const (
	maxRows     = 64
	maxTogether = 4096 // tokens of sequences that run side by side
)

// run scores the sequences of rows, which start from state each.
func (p *Packed) run(state *infer.State, sequences []Sequence, rows [][]int, scores []Score) error {
	B, T := len(rows), len(sequences[rows[0][0]].IDs)
	batch := p.model.NewState(B)
	batch.Copy(state)
	step := max(1, infer.DefaultChunk/B)
	for t0 := 0; t0 < T; t0 += step {
		n := min(step, T-t0)
		p.ids = append(p.ids[:0], make([]int32, B*n)...)
		which := infer.None
		for b, row := range rows {
			ids := sequences[row[0]].IDs
			if t0 < len(ids) {
				copy(p.ids[b*n:][:n], ids[t0:])
			}
			for _, i := range row {
				if s := &sequences[i]; t0 < len(s.IDs) && t0+n > s.From {
					which = infer.All
				}
			}
		}
		logits := p.room(which, B*n)
		if err := p.model.Forward(batch, infer.Call{IDs: p.ids, Which: which, Logits: logits}); err != nil {
			return err
		}
		if which == infer.None {
			continue
		}
		for b, row := range rows {
			for _, i := range row {
				s := &sequences[i]
				for t := max(t0, s.From); t < min(t0+n, len(s.IDs)); t++ {
					scores[i].add(p.set, logits[(b*n+t-t0)*p.V:][:p.V], s.Targets[t-s.From])
				}
			}
		}
	}
	return nil
}

// Stream is described at Scorer.
func (p *Packed) Stream(before []byte, ids, targets []int32) (sum Score, behind []byte, err error) {
	state := p.model.NewState(1)
	if before != nil {
		if err := state.UnmarshalBinary(before); err != nil {
			return sum, nil, err
		}
	}
	sum.Greedy = true
	for t0 := 0; t0 < len(ids); t0 += infer.DefaultChunk {
		n := min(infer.DefaultChunk, len(ids)-t0)
		logits := p.room(infer.All, n)
		if err := p.model.Forward(state, infer.Call{IDs: ids[t0 : t0+n], Which: infer.All, Logits: logits}); err != nil {
			return sum, nil, err
		}
		for t := range n {
			sum.add(p.set, logits[t*p.V:][:p.V], targets[t0+t])
		}
	}
	behind, err = state.AppendBinary(nil)
	return sum, behind, err
}

func (p *Packed) room(which infer.Which, tokens int) []float32 {
	if which == infer.None {
		return nil
	}
	if n := tokens * p.V; cap(p.logits) < n {
		p.logits = make([]float32, n)
	}
	return p.logits[:tokens*p.V]
}

// add adds what row says of target.
func (s *Score) add(set *kernel.Set, row []float32, target int32) {
	_, _, lse := set.LogSumExp(row)
	s.LogLikelihood += float64(row[target]) - lse
	for id, x := range row {
		if x > row[target] || x == row[target] && id < int(target) {
			s.Greedy = false
			return
		}
	}
}
