package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/train"
	"mmfree/train/metrics"
)

func ternaryMap() Experiment {
	return Experiment{
		ID: "R3", Title: "Attention on ternary queries and keys",
		Claim: "With queries and keys ternary too, so that the map of attention needs no multiplication, a ternary Transformer++ does not converge; the MLGRU does.",
		Rule: "confirmed if at every rate the model with ternary queries and keys ends at least 0.3 nats above the MLGRU; contradicted if at its best rate it ends within 0.1 nats of the same model with float ones; " +
			"otherwise inconclusive.",
		do: runTernaryMap,
	}
}

func runTernaryMap(ctx context.Context, l *lab, t *Table) error {
	s := of(l.budget, sizesOf(Test)[0], sizes()[0], sizes()[1])
	tokens := of(l.budget, 4*stepTokens, 300_000, 2_000_000)
	chart := metrics.Chart{Title: "R3: " + s.name + ", each at its best rate", X: "tokens", Y: "held-out loss, nats a token", LogX: true}
	best := map[string]float64{}
	var ours, mlgru []float64
	for _, m := range []struct {
		name, title string
		arm         arm
		trits       bool
	}{
		{"float", "BitNet, float queries and keys", armNamed(ternaryAttention), false},
		{"trits", "BitNet, ternary queries and keys", armNamed(ternaryAttention), true},
		{"mlgru", "MLGRU, ternary", armNamed(ternaryMLGRU), false},
	} {
		best[m.name] = math.Inf(1)
		series := metrics.Series{Name: m.title, Line: true, Marks: true}
		for _, rate := range []float64{3e-4, 1e-3, 4e-3} {
			o, err := l.train(ctx, job{arm: m.arm, size: s, tokens: tokens, lr: rate, change: func(c *train.Config) { c.Model.TernaryAttention = m.trits }})
			if err != nil {
				return err
			}
			loss := float64(o.ValLoss)
			if o.Diverged {
				loss = math.Inf(1)
			}
			t.sampled(s.name+", "+m.title, fmt.Sprintf("loss at rate %g", rate), "nats", none(), sample{loss})
			if loss < best[m.name] {
				best[m.name] = loss
				series.X, series.Y = curve(o.lines)
			}
			switch m.name {
			case "trits":
				ours = append(ours, loss)
			case "mlgru":
				mlgru = append(mlgru, loss)
			}
		}
		chart.Series = append(chart.Series, series)
	}
	t.row("370M, 15B tokens, figure 4", "loss is seen to come down: MLGRU", "1 yes, 0 no", 1, none())
	t.row("370M, 15B tokens, figure 4", "loss is seen to come down: ternary queries and keys", "1 yes, 0 no", 0, none())
	apart := math.Inf(1)
	for i := range ours {
		apart = math.Min(apart, ours[i]-mlgru[i])
	}
	because := fmt.Sprintf("ternary queries and keys end at least %.3f nats above the MLGRU at every rate; at best %.3f, with float ones %.3f, MLGRU %.3f", apart, best["trits"], best["float"], best["mlgru"])
	switch {
	case apart >= 0.3:
		t.decide(Confirmed, "%s", because)
	case best["trits"] <= best["float"]+0.1:
		t.decide(Contradicted, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("A query and a key are trits behind their rotation, each times its own mean absolute value; gradients pass straight through. The softmax stays; the variant without it is not built. The paper prints no losses.")
	return l.plot("r3.png", chart)
}
