package repro

import (
	"context"
	"fmt"
	"math"

	"mmfree/data/corpus"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
	"mmfree/train"
)

func postTraining() Experiment {
	return Experiment{
		ID: "R10", Title: "Norm scales of 8 bits, activations of 16 and 8, behind training",
		Claim: "Behind training, 16-bit activations are nearly free, 8-bit ones cost more than 12% of mean accuracy: 39.97, 39.78 and 35.40.",
		Rule: "on the trained MatMul-free model, scales of 8 bits in each; confirmed if the loss rises by less than 0.5% at 16 bits, and at 8 bits by at least five times as much; contradicted if it rises less at 8 bits than " +
			"at 16; otherwise inconclusive.",
		do: runPostTraining,
	}
}

// quantised is what a trained model loses behind training.
type quantised struct {
	Loss   Number `json:"loss"`
	Bits   Number `json:"bits_per_byte"`
	Agrees Number `json:"agrees"` // share of places whose likeliest token is the unchanged model's
}

// rounding says what is rounded behind training.
type rounding struct {
	name, title string
	scales      bool // norm gains to 8 bits, times a power of two a tensor
	eps         float64
	bits        int // of activations between BitLinears; 0: floats
	paper       Number
}

func roundings() []rounding {
	return []rounding{
		{"none", "as trained", false, 0, 0, 39.97},
		{"w8", "8-bit norm scales", true, 0, 0, none()},
		{"w8-eps", "8-bit norm scales, epsilon 1e-3", true, 1e-3, 0, none()},
		{"a16", "8-bit norm scales, 16-bit activations", true, 0, 16, 39.78},
		{"a16-eps", "8-bit norm scales, 16-bit activations, epsilon 1e-3", true, 1e-3, 16, none()},
		{"a8", "8-bit norm scales, 8-bit activations", true, 0, 8, 35.40},
		{"a8-eps", "8-bit norm scales, 8-bit activations, epsilon 1e-3", true, 1e-3, 8, none()},
	}
}

func runPostTraining(ctx context.Context, l *lab, t *Table) error {
	list := sizesOf(l.budget)
	s := list[min(1, len(list)-1)]
	runs, _, _, err := l.pretrained(ctx, armNamed(ternaryMLGRU), s)
	if err != nil {
		return err
	}
	results, err := measure(l, "r10-"+s.name, func() (map[string]quantised, error) { return l.roundEach(ctx, runs[0].dir) })
	if err != nil {
		return err
	}
	base := results["none"]
	rises := map[string]float64{}
	for _, r := range roundings() {
		q := results[r.name]
		rises[r.name] = float64(q.Loss/base.Loss - 1)
		setting := s.name + ", " + r.title
		t.row(setting, "mean accuracy of six tasks, 370M (paper)", "%", r.paper, none())
		t.row(setting, "loss", "nats", none(), q.Loss)
		t.row(setting, "bits per byte", "bits", none(), q.Bits)
		t.row(setting, "rise of the loss", "share", none(), Number(rises[r.name]))
		t.row(setting, "likeliest token as without", "share", none(), q.Agrees)
	}
	because := fmt.Sprintf("the loss rises by %.3f%% at 16 bits and by %.3f%% at 8", 100*rises["a16"], 100*rises["a8"])
	switch a16, a8 := rises["a16"], rises["a8"]; {
	case a8 < a16:
		t.decide(Contradicted, "%s", because)
	case a16 < 0.005 && a8 >= 5*math.Abs(a16):
		t.decide(Confirmed, "%s", because)
	default:
		t.decide(Inconclusive, "%s", because)
	}
	t.note("Rounded are the outputs of block norms, of gates and of the MLP's activation, and the recurrence's inputs and its state at every token, each row by its own largest value; inputs of BitLinear are 8-bit codes in training already, and the residual stream stays float. The state of the recurrence is rounded again at every token.")
	t.note("Scales a tensor, the table of 8 entries for the sigmoid and the integer inverse square root are not built.")
	return nil
}

// roundEach evaluates the run's model under each rounding, on the same held-out text.
func (l *lab) roundEach(ctx context.Context, dir string) (map[string]quantised, error) {
	m, err := train.Open(dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	ids, bytes, err := l.heldOut(m, of(l.budget, 64, 8192, 65536))
	if err != nil {
		return nil, err
	}
	results := map[string]quantised{}
	var first []int32
	for _, r := range roundings() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := m.Config
		if r.eps > 0 {
			c.RMSNormEps, c.BitLinearEps = r.eps, r.eps
		}
		w, err := spec.NewWeights(c)
		if err != nil {
			return nil, err
		}
		copy(w.Flat(), m.Weights.Flat())
		for i := range w.Tensors {
			if r.scales && w.Tensors[i].Kind == spec.Gain {
				powerOfTwo(w.At(i))
			}
		}
		p, err := pack.Build(w)
		if err != nil {
			return nil, err
		}
		set := *l.machine.Set
		if r.bits > 0 {
			roundActivations(&set, r.bits)
		}
		loss, likeliest, err := l.read(p, &set, ids)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = likeliest
		}
		same := 0
		for i := range likeliest {
			if likeliest[i] == first[i] {
				same++
			}
		}
		n := float64(len(likeliest))
		results[r.name] = quantised{Loss: Number(loss / n), Bits: Number(loss / math.Ln2 / float64(bytes)), Agrees: Number(float64(same) / n)}
	}
	return results, nil
}

// heldOut returns the first n ids of the held-out tenth, and the bytes that all but the first stand for.
func (l *lab) heldOut(m *train.Model, n int) (ids []int32, bytes int, err error) {
	var text *corpus.Corpus
	if len(l.corpus) == 0 {
		text, _, err = corpus.Builtin(corpus.GoRoot())
	} else {
		text, err = corpus.Load(l.corpus)
	}
	if err != nil {
		return nil, 0, err
	}
	tokenizer, err := m.Tokenizer()
	if err != nil {
		return nil, 0, err
	}
	all, err := tokenizer.Encode(nil, text.Text)
	if err != nil {
		return nil, 0, err
	}
	ids = all[len(all)-len(all)/10:]
	ids = ids[:min(n, len(ids))]
	raw, err := tokenizer.Decode(nil, ids[1:])
	return ids, len(raw), err
}

// read runs a model over ids and returns its loss in nats and the likeliest token at each place.
func (l *lab) read(p *pack.Model, set *kernel.Set, ids []int32) (loss float64, likeliest []int32, err error) {
	m := infer.New(p, set, l.machine.Pool, infer.DefaultChunk)
	state, V := m.NewState(1), p.Config.VocabSize
	logits := make([]float32, infer.DefaultChunk*V)
	for at := 0; at < len(ids)-1; at += infer.DefaultChunk {
		end := min(at+infer.DefaultChunk, len(ids)-1)
		rows := logits[:(end-at)*V]
		if err := m.Forward(state, infer.Call{IDs: ids[at:end], Which: infer.All, Logits: rows}); err != nil {
			return 0, nil, err
		}
		for t := at; t < end; t++ {
			row := rows[(t-at)*V:][:V]
			_, _, lse := l.machine.Set.LogSumExp(row)
			loss += lse - float64(row[ids[t+1]])
			likeliest = append(likeliest, largest(row))
		}
	}
	return loss, likeliest, nil
}

// powerOfTwo rounds values to 8-bit integers times one power of two.
func powerOfTwo(x []float32) {
	var most float64
	for _, v := range x {
		most = math.Max(most, math.Abs(float64(v)))
	}
	if most == 0 {
		return
	}
	step := math.Exp2(math.Ceil(math.Log2(most / 127)))
	for i, v := range x {
		x[i] = float32(math.RoundToEven(float64(v)/step) * step)
	}
}

// roundRow rounds values to integers of so many bits, times the scale of the largest of them.
func roundRow(x []float32, bits int) {
	var most float64
	for _, v := range x {
		most = math.Max(most, math.Abs(float64(v)))
	}
	if most == 0 {
		return
	}
	step := most / (math.Exp2(float64(bits-1)) - 1)
	for i, v := range x {
		x[i] = float32(math.RoundToEven(float64(v)/step) * step)
	}
}

// roundActivations makes the set's row operations round what they write, a token at a time.
func roundActivations(s *kernel.Set, bits int) {
	norm, recur, gate, swiglu := s.RMSNorm, s.Recurrence, s.OutputGate, s.SwiGLU
	s.RMSNorm = func(dst, x, gain []float32, eps float32) float32 {
		r := norm(dst, x, gain, eps)
		roundRow(dst[:len(x)], bits)
		return r
	}
	s.Recurrence = func(states, state, i, z, bound, mask []float32, T, D, c0, c1 int) {
		for t := range T {
			at := t * D
			roundRow(i[at+c0:at+c1], bits)
			roundRow(z[at+c0:at+c1], bits)
			var keep []float32
			if mask != nil {
				keep = mask[t:]
			}
			recur(states[at:], state, i[at:], z[at:], bound, keep, 1, D, c0, c1)
			roundRow(state[c0:c1], bits)
			copy(states[at+c0:at+c1], state[c0:c1])
		}
	}
	s.OutputGate = func(dst, g, st, gain []float32, eps float32) float32 {
		r := gate(dst, g, st, gain, eps)
		roundRow(dst[:len(g)], bits)
		return r
	}
	s.SwiGLU = func(dst, p, q []float32) {
		swiglu(dst, p, q)
		roundRow(dst[:len(p)], bits)
	}
}
