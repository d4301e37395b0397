package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/data/corpus"
	"mmfree/data/tokenizer"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
	"mmfree/train"
)

func postTraining() Experiment {
	return Experiment{
		ID: "R10", Title: "Norm scales of 8 bits, activations of 16 and 8, fixed-point gates and norms, behind training",
		Claim: "Behind training, 16-bit activations are nearly free, 8-bit ones cost more than 12% of mean accuracy: 39.97, 39.78 and 35.40.",
		Rule: "on the trained MatMul-free model, scales of 8 bits in each; confirmed if the loss rises by less than 0.5% at 16 bits, and at 8 bits by at least five times as much; contradicted if it rises less at 8 bits than " +
			"at 16, by more than twice the standard error of the rises over tokens; otherwise inconclusive.",
		do: runPostTraining,
	}
}

// quantised is what a trained model loses behind training.
type quantised struct {
	Loss   Number `json:"loss"`
	Bits   Number `json:"bits_per_byte"`
	Agrees Number `json:"agrees"` // share of places whose likeliest token is the unchanged model's
	Error  Number `json:"error"`  // standard error of the loss's rise against the unchanged model's, by the differences of tokens
}

// rounding says what is done to a model behind training.
type rounding struct {
	name, title string
	scales      bool    // norm gains to 8 bits, times a power of two a tensor
	eps         float64 // of every norm; 0: as trained
	bits        int     // of activations between BitLinears; 0: floats
	tensor      bool    // one scale a tensor, for all tokens, in place of one a token
	table       bool    // σ from sigmoidTable
	root        bool    // 1/√x from integerRoot
	paper       Number
}

func roundings() []rounding {
	return []rounding{
		{name: "none", title: "as trained", paper: 39.97},
		{name: "w8", title: "8-bit norm scales", scales: true, paper: none()},
		{name: "w8-eps", title: "8-bit norm scales, epsilon 1e-3", scales: true, eps: 1e-3, paper: none()},
		{name: "a16", title: "8-bit norm scales, 16-bit activations", scales: true, bits: 16, paper: 39.78},
		{name: "a16-eps", title: "8-bit norm scales, 16-bit activations, epsilon 1e-3", scales: true, eps: 1e-3, bits: 16, paper: none()},
		{name: "a16-tensor", title: "8-bit norm scales, 16-bit activations, a scale a tensor", scales: true, bits: 16, tensor: true, paper: none()},
		{name: "a8", title: "8-bit norm scales, 8-bit activations", scales: true, bits: 8, paper: 35.40},
		{name: "a8-eps", title: "8-bit norm scales, 8-bit activations, epsilon 1e-3", scales: true, eps: 1e-3, bits: 8, paper: none()},
		{name: "a8-tensor", title: "8-bit norm scales, 8-bit activations, a scale a tensor", scales: true, bits: 8, tensor: true, paper: none()},
		{name: "table", title: "sigmoid from 8 entries", table: true, paper: none()},
		{name: "root", title: "integer inverse square root", root: true, paper: none()},
		{name: "root-eps", title: "integer inverse square root, epsilon 1e-3", eps: 1e-3, root: true, paper: none()},
		{name: "chip16", title: "all of it: 16 bits, a scale a tensor, epsilon 1e-3", scales: true, eps: 1e-3, bits: 16, tensor: true, table: true, root: true, paper: none()},
		{name: "chip8", title: "all of it: 8 bits, a scale a tensor, epsilon 1e-3", scales: true, eps: 1e-3, bits: 8, tensor: true, table: true, root: true, paper: none()},
	}
}

func runPostTraining(ctx context.Context, l *lab, t *Table) error {
	list := sizesOf(l.budget)
	s := list[min(1, len(list)-1)]
	runs, _, _, err := l.pretrained(ctx, armNamed(ternaryMLGRU), s)
	if err != nil {
		return err
	}
	results, err := measure(l, "r10-behind-"+s.name, func() (map[string]quantised, error) { return l.roundEach(ctx, runs[0].dir) })
	if err != nil {
		return err
	}
	base := results["none"]
	rises := map[string]float64{}
	for _, r := range roundings() {
		q := results[r.name]
		rises[r.name] = float64(q.Loss/base.Loss - 1)
		setting := s.name + ", " + r.title
		if !math.IsNaN(float64(r.paper)) {
			t.row(setting, "mean accuracy of six tasks, 370M (paper)", "%", r.paper, none())
		}
		t.row(setting, "loss", "nats", none(), q.Loss)
		t.row(setting, "bits per byte", "bits", none(), q.Bits)
		t.row(setting, "rise of the loss", "share", none(), Number(rises[r.name]))
		t.row(setting, "rise of the loss, standard error", "share", none(), q.Error/base.Loss)
		t.row(setting, "likeliest token as without", "share", none(), q.Agrees)
	}
	margin := 2 * math.Hypot(float64(results["a16"].Error), float64(results["a8"].Error)) / float64(base.Loss)
	because := fmt.Sprintf("the loss rises by %.3f%% at 16 bits and by %.3f%% at 8 (margin %.3f%%)", 100*rises["a16"], 100*rises["a8"], 100*margin)
	switch a16, a8 := rises["a16"], rises["a8"]; {
	case a8 < a16-margin:
		t.decide(Contradicted, "%s", because)
	case a16 < 0.005 && a8 >= 5*math.Abs(a16):
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	model := l.config(armNamed(ternaryMLGRU), s, 0, 0, 0).Model
	t.note("Epsilon as trained is %g, inside a BitLinear %g.", model.RMSNormEps, model.BitLinearEps)
	t.note("Rounded are the outputs of block norms, of gates and of the MLP's activation, and the recurrence's inputs and its state at every token, each row by its own largest value (of the recurrence each 64 channels of a row, which it is cut into); inputs of BitLinear are 8-bit codes in training already, and the residual stream stays float. The state of the recurrence is rounded again at every token.")
	t.note("A scale a tensor is one for each of these places of each layer, for all tokens: the largest value seen there on as many tokens of training text, which lie before the held-out ones; what is larger is clamped.")
	t.note("The sigmoid's table holds σ(0), σ(1), … σ(7) in units of 2^-15; inputs are rounded to 2^-6, between entries lies a straight line, beyond the last one its value, and below 0 is 1 − σ(−x). The paper names 8 entries, the line and the input's unit, not where entries lie.")
	t.note("The integer root takes Σx²/n + epsilon, rounded to 24 bits in units of 2^-12; the first guess is one of 24 by its highest bit, then five Newton steps in integers. The paper names 24 entries and five steps, not the unit. An epsilon of 1e-6 is below it, one of 1e-3 is 4 units.")
	return nil
}

// roundEach evaluates the run's model under each rounding, on the same held-out text.
func (l *lab) roundEach(ctx context.Context, dir string) (map[string]quantised, error) {
	m, err := train.Open(dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	ids, before, bytes, err := l.heldOut(m, of(l.budget, 64, 8192, 65536))
	if err != nil {
		return nil, err
	}
	results := map[string]quantised{}
	var unchanged []float64
	var first []int32
	for _, r := range roundings() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		losses, likeliest, err := l.rounded(r, m, ids, before)
		if err != nil {
			return nil, err
		}
		if first == nil {
			unchanged, first = losses, likeliest
		}
		same, rises := 0, make([]float64, len(losses))
		for i, loss := range losses {
			if likeliest[i] == first[i] {
				same++
			}
			rises[i] = loss - unchanged[i]
		}
		n, loss, rise := float64(len(losses)), sample(losses).mean(), sample(rises)
		results[r.name] = quantised{
			Loss: Number(loss), Bits: Number(n * loss / math.Ln2 / float64(bytes)), Agrees: Number(float64(same) / n),
			Error: Number(rise.deviation() / math.Sqrt(n)),
		}
	}
	return results, nil
}

// rounded reads ids with the model under a rounding; scales of tensors are those of the text before.
func (l *lab) rounded(r rounding, m *train.Model, ids, before []int32) (losses []float64, likeliest []int32, err error) {
	c := m.Config
	if r.eps > 0 {
		c.RMSNormEps, c.BitLinearEps = r.eps, r.eps
	}
	w, err := spec.NewWeights(c)
	if err != nil {
		return nil, nil, err
	}
	copy(w.Flat(), m.Weights.Flat())
	for i := range w.Tensors {
		if r.scales && w.Tensors[i].Kind == spec.Gain {
			powerOfTwo(w.At(i))
		}
	}
	p, err := pack.Build(w)
	if err != nil {
		return nil, nil, err
	}
	set := *l.machine.Set
	if r.root {
		integerNorms(&set)
	}
	if r.table {
		tabulatedGates(&set)
	}
	if r.bits == 0 {
		return l.read(p, &set, ids, nil)
	}
	round := &activations{bits: r.bits}
	if r.tensor {
		watching := set
		round.most = map[tensorAt]float64{}
		round.install(&watching)
		if _, _, err := l.read(p, &watching, before, round.enter); err != nil {
			return nil, nil, err
		}
		round.known = true
	}
	round.install(&set)
	return l.read(p, &set, ids, round.enter)
}

// heldOut returns the first n ids of the held-out tenth, as many that lie before it, and the bytes that all but the first
// held-out one stand for.
func (l *lab) heldOut(m *train.Model, n int) (ids, before []int32, bytes int, err error) {
	all, at, t, err := l.text(m)
	if err != nil {
		return nil, nil, 0, err
	}
	ids, before = all[at:min(at+n, len(all))], all[max(0, at-n):at]
	raw, err := t.Decode(nil, ids[1:])
	return ids, before, len(raw), err
}

// text returns the report's text in a model's tokens; the held-out tenth begins at ids[at].
func (l *lab) text(m *train.Model) (ids []int32, at int, t tokenizer.Tokenizer, err error) {
	var text *corpus.Corpus
	if len(l.corpus) == 0 {
		text, _, err = corpus.Builtin(corpus.GoRoot())
	} else {
		text, err = corpus.Load(l.corpus)
	}
	if err != nil {
		return nil, 0, nil, err
	}
	if t, err = m.Tokenizer(); err != nil {
		return nil, 0, nil, err
	}
	ids, err = t.Encode(nil, text.Text)
	return ids, len(ids) - len(ids)/10, t, err
}

// read runs a model over ids and returns its loss in nats and the likeliest token at each place, that is of each id but the first. enter, where it is not nil,
// is called before each part of the model, from 0, with what that reads, and behind the last one.
func (l *lab) read(p *pack.Model, set *kernel.Set, ids []int32, enter func(part int, rows []float32)) (losses []float64, likeliest []int32, err error) {
	m := infer.New(p, set, l.machine.Pool, infer.DefaultChunk)
	state, V := m.NewState(1), p.Config.VocabSize
	logits := make([]float32, infer.DefaultChunk*V)
	var tap func(name string, t0, n int, rows []float32)
	part := 0
	if enter != nil {
		tap = func(_ string, _, _ int, rows []float32) { // behind the embeddings, and behind each part
			enter(part, rows)
			part++
		}
	}
	for at := 0; at < len(ids)-1; at += infer.DefaultChunk {
		part = 0
		end := min(at+infer.DefaultChunk, len(ids)-1)
		rows := logits[:(end-at)*V]
		if err := m.Forward(state, infer.Call{IDs: ids[at:end], Which: infer.All, Logits: rows, Tap: tap}); err != nil {
			return nil, nil, err
		}
		for t := at; t < end; t++ {
			row := rows[(t-at)*V:][:V]
			_, _, lse := l.machine.Set.LogSumExp(row)
			losses = append(losses, lse-float64(row[ids[t+1]]))
			likeliest = append(likeliest, largest(row))
		}
	}
	return losses, likeliest, nil
}
