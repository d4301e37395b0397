package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/ternary/layer"
	"mmfree/train"
	"mmfree/train/metrics"
)

func ternaryMap() Experiment {
	return Experiment{
		ID: "R3", Title: "Attention on ternary queries and keys",
		Claim: "With queries and keys ternary too, so that the map of attention needs no multiplication, a ternary Transformer++ does not converge; the MLGRU does.",
		Rule: "confirmed if at every rate that is run the model with ternary queries and keys, with a softmax and without one, ends above the entropy of a token given the one before it, or at least 0.3 nats above the MLGRU; contradicted if with a softmax it ends, at its best rate, within 0.1 nats of " +
			"the same model with float ones; otherwise inconclusive.",
		do: runTernaryMap,
	}
}

// mapArm is a model of the comparison.
type mapArm struct {
	name, title    string
	arm            arm
	trits, integer bool
}

// mapArms are in the order in which they run: which rate is best with a softmax is known before the map without one runs.
func mapArms() []mapArm {
	return []mapArm{
		{"float", "BitNet, float queries and keys", armNamed(ternaryAttention), false, false},
		{"trits", "BitNet, ternary queries and keys", armNamed(ternaryAttention), true, false},
		{"integer", "BitNet, ternary queries and keys, no softmax", armNamed(ternaryAttention), true, true},
		{"mlgru", "MLGRU, ternary", armNamed(ternaryMLGRU), false, false},
	}
}

func runTernaryMap(ctx context.Context, l *lab, t *Table) error {
	s := of(l.budget, sizesOf(Test)[0], sizes()[0], sizes()[1])
	tokens := of(l.budget, 4*stepTokens, 300_000, 2_000_000)
	chart := metrics.Chart{Title: "R3: " + s.name + ", each at its best rate", X: "tokens", Y: "held-out loss, nats a token", LogX: true}
	rates := []float64{3e-4, 1e-3, 4e-3}
	losses := map[string][]float64{} // at each rate; NaN where the arm does not run
	bigrams := math.NaN()
	for _, m := range mapArms() {
		best := math.Inf(1)
		series := metrics.Series{Name: m.title, Line: true, Marks: true}
		for i, rate := range rates {
			if m.integer && l.budget != Full && i != least(losses["trits"]) {
				losses[m.name] = append(losses[m.name], math.NaN())
				continue
			}
			o, err := l.train(ctx, job{
				arm: m.arm, size: s, tokens: tokens, lr: rate, keep: m.trits,
				change: func(c *train.Config) { c.Model.TernaryAttention, c.Model.IntegerAttention = m.trits, m.integer },
			})
			if err != nil {
				return err
			}
			setting, at := s.name+", "+m.title, fmt.Sprintf(" at rate %g", rate)
			loss := float64(o.ValLoss)
			if o.Diverged {
				loss = math.Inf(1)
				t.row(setting, "step of divergence"+at, "", none(), Number(lastStep(o.lines)))
			}
			t.sampled(setting, "loss"+at, "nats", none(), sample{loss})
			losses[m.name] = append(losses[m.name], loss)
			if loss < best {
				best = loss
				series.X, series.Y = curve(o.lines)
			}
			if m.trits && !o.Diverged {
				zeros, err := measure(l, "zeros-"+o.Name, func() (Number, error) { return l.zeroScores(o.dir) })
				if err != nil {
					return err
				}
				t.row(setting, "scores that are 0"+at, "share", none(), zeros)
				if math.IsNaN(bigrams) { // of the text, which all runs share
					if bigrams, err = l.bigrams(o.dir); err != nil {
						return err
					}
				}
			}
		}
		chart.Series = append(chart.Series, series)
	}
	t.row("370M, 15B tokens, figure 4", "loss is seen to come down: MLGRU", "1 yes, 0 no", 1, none())
	t.row("370M, 15B tokens, figure 4", "loss is seen to come down: ternary queries and keys", "1 yes, 0 no", 0, none())
	t.row("the text's training part", "entropy of a token given the one before it", "nats", none(), Number(bigrams))
	fails, apart := true, math.Inf(1)
	for i, mlgru := range losses["mlgru"] {
		for _, name := range []string{"trits", "integer"} {
			if ours := losses[name][i]; !math.IsNaN(ours) {
				apart = math.Min(apart, ours-mlgru)
				fails = fails && (ours >= mlgru+0.3 || ours > bigrams)
			}
		}
	}
	best := func(name string) float64 { return losses[name][least(losses[name])] }
	because := fmt.Sprintf("ternary queries and keys end at least %.3f nats above the MLGRU at every rate; at best %.3f, without a softmax %.3f, with float ones %.3f, MLGRU %.3f; pairs of tokens %.3f",
		apart, best("trits"), best("integer"), best("float"), best("mlgru"), bigrams)
	switch {
	case fails:
		t.decide(Confirmed, "%s", because)
	case best("trits") <= best("float")+0.1:
		t.decide(Contradicted, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("A query and a key are trits behind their rotation, each times its own mean absolute value; gradients pass straight through. The paper prints no losses.")
	t.note("Without a softmax they are bare trits: a score is a whole number, and a query's output the mean, over the keys that it sees, of values times scores. Budget full runs it at every rate, quick at the one that is best with a softmax.")
	t.note("Scores are those of every query with every key that it sees, in all layers and heads, over %d sequences of held-out text of as many tokens as in training.", zeroSequences)
	return l.plot("r3.png", chart)
}

// least returns where the smallest value is; NaN counts for none.
func least(x []float64) (at int) {
	for i, v := range x {
		if v < x[at] || math.IsNaN(x[at]) {
			at = i
		}
	}
	return at
}

func lastStep(lines []metrics.Line) int64 {
	if len(lines) == 0 {
		return 0
	}
	return lines[len(lines)-1].Step
}

// zeroSequences is the number of sequences whose scores are counted.
const zeroSequences = 8

// bigrams returns the entropy of a token given the one before it, in the training part of the text of the run in dir.
func (l *lab) bigrams(dir string) (float64, error) {
	m, err := train.Open(dir)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	ids, at, _, err := l.text(m)
	if err != nil {
		return 0, err
	}
	return bigramEntropy(ids[:at]), nil
}

// zeroScores returns the share of a run's scores that are 0.
func (l *lab) zeroScores(dir string) (Number, error) {
	m, err := train.Open(dir)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	ids, _, _, err := l.heldOut(m, zeroSequences*seqLen+1)
	if err != nil {
		return 0, err
	}
	p, err := m.Packed()
	if err != nil {
		return 0, err
	}
	layers, env := layer.New(p), layer.NewEnv(l.machine.Set, l.machine.Pool, m.Config)
	var buffers *layer.AttentionBuffers // of all layers, which are alike
	var zero, all int64
	for at := 0; at+seqLen < len(ids); at += seqLen {
		_, _, err := l.read(p, l.machine.Set, ids[at:][:seqLen+1], func(part int, rows []float32) {
			if part == len(layers.Parts) {
				return
			}
			a, ok := layers.Parts[part].(*layer.Attention)
			if !ok {
				return
			}
			if buffers == nil {
				buffers = a.NewAttentionBuffers(seqLen, nil, false)
			}
			zeros, n := a.ZeroScores(env, rows, seqLen, buffers)
			zero, all = zero+zeros, all+n
		})
		if err != nil {
			return 0, err
		}
	}
	if all == 0 { // a text of less than a sequence
		return none(), nil
	}
	return Number(float64(zero) / float64(all)), nil
}
