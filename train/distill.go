package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"mmfree/autograd"
	"mmfree/data"
	"mmfree/ternary/f32"
	"mmfree/ternary/infer"
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// Names of distill.loss.
const (
	distillForward = "forward"
	distillReverse = "reverse"
)

// DistillConfig says which model teaches, and how.
type DistillConfig struct {
	Teacher     string  `yaml:"teacher" help:"model whose probabilities the run learns, beside the text; empty = none"`
	Generations int     `yaml:"generations" help:"models trained one behind another, each by the whole configuration and from the next seed, each the teacher of the next: the run's is the last, those before it lie in its folder under teacher; 1 = the run's alone"`
	Share       float64 `yaml:"share" help:"of the teacher in the loss; the rest is the text's own"`
	Loss        string  `yaml:"loss" help:"forward (KL(teacher|student): cover all that the teacher thinks possible) or reverse (seek what it thinks likeliest)"`
	Temperature float64 `yaml:"temperature" help:"what logits of both are divided by; the loss is multiplied by its square"`
	TopK        int     `yaml:"top_k" help:"likeliest tokens of the teacher that count one by one; the others count together"`
	Hidden      float64 `yaml:"hidden" help:"weight of the distance between the residual streams behind each layer, where both models have one width; 0 = none"`
	Attention   float64 `yaml:"attention" help:"weight of the relations between queries, keys and values of the last layers, where both models have attention of as many heads; 0 = none"`
	Cache       string  `yaml:"cache" help:"file that keeps what the teacher said, for other runs over the same text in the same order; empty = none"`
}

func (v *validator) distill(d *DistillConfig) {
	v.text("distill.teacher", d.Teacher)
	v.whole("distill.generations", d.Generations, 1, maxGenerations)
	v.text("distill.cache", d.Cache)
	v.between("distill.share", d.Share, 0, 1)
	if d.Loss != distillForward && d.Loss != distillReverse {
		v.bad("distill.loss", "choose forward or reverse", "%q is not known", d.Loss)
	}
	v.above0("distill.temperature", d.Temperature, 100)
	v.whole("distill.top_k", d.TopK, 1, 1<<24)
	v.between("distill.hidden", d.Hidden, 0, 1e6)
	v.between("distill.attention", d.Attention, 0, 1e6)
	if d.Cache != "" && (d.Hidden > 0 || d.Attention > 0) {
		v.bad("distill.cache", "leave one of them out", "keeps probabilities, and distill.hidden and distill.attention ask for more")
	}
	if d.Cache != "" && d.Generations > 1 {
		v.bad("distill.cache", "leave one of them out", "keeps what one teacher said, and distill.generations has another for each model")
	}
}

// teacher makes the targets of batches, on the inference path.
type teacher struct {
	config  DistillConfig
	model   *Model
	infer   *infer.Model
	state   *infer.State // of one sequence
	set     *kernel.Set
	pool    *par.Pool
	V, T    int
	targets autograd.Targets
	logits  []float32 // [T, V]
	ranks   []ranking // of each worker
	asked   record    // the document in flight
	rank    func(worker, block int)
	streams map[string]string // the teacher's part that is taught to each part of the student
	copies  int               // of the teacher's residual stream in the model's
	cache   *teacherCache     // nil: none

	// Of distill.attention: the teacher's last attention, the part that it reads, and its memory.
	attention *layer.Attention
	before    string
	env       *layer.Env
	buffers   *layer.AttentionBuffers
}

// openTeacher opens the run's teacher for its batches of B sequences; nil where there is none.
func (t *run) openTeacher() (*teacher, error) {
	d, path := t.Config.Distill, t.teacherPath()
	if path == "" {
		return nil, nil
	}
	m, err := Open(path)
	if err != nil {
		return nil, err
	}
	x := &teacher{config: d, model: m, copies: 1, set: t.Machine.Set, pool: t.Machine.Pool, V: m.Config.VocabSize, T: t.Config.Data.SeqLen}
	fail := func(err error) (*teacher, error) { return nil, errors.Join(err, m.Close()) }
	if x.V != t.Config.Model.VocabSize {
		return fail(&InputError{
			Source: path, Problem: fmt.Sprintf("has a vocabulary of %d, the model to train one of %d", x.V, t.Config.Model.VocabSize),
			Fix: "a teacher and what it teaches read the same tokens: train with its tokenizer, data.tokenizer: PATH",
		})
	}
	if theirs, err := m.Tokenizer(); err == nil && m.tokenizerJSON != nil && theirs.VocabSize() != t.text.tokenizer.VocabSize() {
		return fail(&InputError{Source: path, Problem: "has another tokenizer than the run", Fix: "train with its tokenizer, data.tokenizer: PATH"})
	}
	if most := m.Config.MaxPositions(); most > 0 && x.T > most {
		return fail(&InputError{Source: path, Problem: fmt.Sprintf("looks back on at most %d tokens, sequences have %d", most, x.T), Fix: "lower data.seq_len"})
	}
	p, err := m.Packed()
	if err != nil {
		return fail(err)
	}
	weight := d.Hidden
	if weight == 0 && t.Config.FineTune.Match > 0 {
		weight = 1
	}
	if m.Config.HiddenSize != t.Config.Model.HiddenSize {
		x.copies = t.Config.FineTune.Widen
	}
	if x.streams, err = streams(m.Config, t.Config.Model, weight, x.copies); err != nil {
		return fail(err)
	}
	x.infer = infer.New(p, t.Machine.Set, t.Machine.Pool, x.T)
	x.state, x.logits = x.infer.NewState(1), make([]float32, x.T*x.V)
	N, K := x.T*t.Config.Data.BatchSize, min(d.TopK, x.V)
	x.targets = autograd.Targets{
		Share: float32(d.Share), Temperature: float32(d.Temperature), Reverse: d.Loss == distillReverse, K: K,
		IDs: make([]int32, N*K), LogP: make([]float32, N*K), LogRest: make([]float32, N),
	}
	x.ranks, x.rank = make([]ranking, t.Machine.Pool.Threads()), x.rankBlock
	for i := range x.ranks {
		x.ranks[i] = ranking{scaled: make([]float32, x.V), keys: make([]uint64, K)}
	}
	if weight > 0 {
		x.targets.HiddenShare, x.targets.Hidden = float32(weight), map[string][]float32{}
		for own := range x.streams {
			x.targets.Hidden[own] = make([]float32, N*t.Config.Model.HiddenSize)
		}
	}
	if err := x.relations(t, p, N); err != nil {
		return fail(err)
	}
	if d.Cache != "" {
		if x.cache, err = openTeacherCache(t.FS, d.Cache, x.identity(t, p)); err != nil {
			return fail(err)
		}
		if x.cache.warning != "" {
			t.notice(x.cache.warning)
		}
	}
	return x, nil
}

// relations prepares the teacher's attention relations for batches of N tokens.
func (x *teacher) relations(t *run, p *pack.Model, N int) error {
	if x.config.Attention == 0 {
		return nil
	}
	teacher, student := x.model.Config, t.Config.Model
	theirHeads, theirKeys, width := teacher.Attention()
	heads, keys, _ := student.Attention()
	if teacher.MaxPositions() == 0 || student.MaxPositions() == 0 || theirHeads != heads || theirKeys != keys {
		return &ConfigError{
			Key: "distill.attention",
			Problem: fmt.Sprintf("a %s with %d heads (%d of keys) cannot teach its relations to a %s with %d (%d)",
				teacher.Arch, theirHeads, theirKeys, student.Arch, heads, keys),
			Fix: "leave it out: both need attention, of as many heads",
		}
	}
	last := teacher.NumHiddenLayers - 1
	x.before = layer.TapName(layer.PartMLP, last-1)
	if last == 0 {
		x.before = layer.TapEmbeddings
	}
	x.attention = layer.New(p).Parts[2*last].(*layer.Attention)
	x.env = layer.NewEnv(t.Machine.Set, t.Machine.Pool, teacher)
	x.buffers = x.attention.NewAttentionBuffers(x.T, make([]float32, x.T*teacher.HiddenSize), false)
	x.targets.AttentionShare = float32(x.config.Attention)
	for i, h := range []int{heads, keys, keys} {
		x.targets.Relations[i] = make([]float32, N*h*width)
	}
	return nil
}

// match sets whether the residual streams are all that is taught, which is what matching is; what it needs beside
// distill.hidden is dropped behind it.
func (x *teacher) match(on bool) {
	x.targets.HiddenOnly = on
	if !on && x.config.Hidden == 0 && x.streams != nil {
		x.streams, x.targets.Hidden, x.targets.HiddenShare = nil, nil, 0
	}
}

// streams pairs the ends of the student's layers with those of the teacher's at the same depth; of as many layers the middles
// too, behind the token mixers. A model that was widened from the teacher has copies of its residual stream.
func streams(teacher, student spec.Config, weight float64, copies int) (map[string]string, error) {
	pairs := map[string]string{}
	if weight == 0 {
		return pairs, nil
	}
	if copies*teacher.HiddenSize != student.HiddenSize {
		return nil, &ConfigError{
			Key: "distill.hidden", Problem: fmt.Sprintf("the teacher's residual stream is %d wide, the model's %d", teacher.HiddenSize, student.HiddenSize),
			Fix: "leave it out: probabilities alone can be taught between widths",
		}
	}
	for l := range student.NumHiddenLayers {
		depth := (l+1)*teacher.NumHiddenLayers/student.NumHiddenLayers - 1
		if depth >= 0 {
			pairs[layer.TapName(layer.PartMLP, l)] = layer.TapName(layer.PartMLP, depth)
			if teacher.NumHiddenLayers == student.NumHiddenLayers {
				pairs[layer.TapName(layer.PartAttention, l)] = layer.TapName(layer.PartAttention, depth)
			}
		}
	}
	return pairs, nil
}

func (x *teacher) close() error {
	err := x.model.Close()
	if x.cache != nil {
		err = errors.Join(err, x.cache.close())
	}
	return err
}

// teach returns the targets of a batch whose first sequence is number first of the run. They are overwritten by the next call.
func (x *teacher) teach(b *data.Batch, first uint64) (*autograd.Targets, error) {
	K := x.targets.K
	for row := range b.B {
		at := row * x.T
		ids := b.IDs[at:][:x.T]
		r := record{ids: x.targets.IDs[at*K:][:x.T*K], logP: x.targets.LogP[at*K:][:x.T*K], logRest: x.targets.LogRest[at:][:x.T]}
		if x.cache != nil {
			if ok, err := x.cache.read(first+uint64(row), ids, r); err != nil {
				return nil, err
			} else if ok {
				continue
			}
		}
		for from, to := 0, 0; from < x.T; from = to { // document by document, as the student reads them
			for to = from + 1; to < x.T && !b.Starts[at+to]; to++ {
			}
			if err := x.ask(ids[from:to], at+from, r.part(from, to, K)); err != nil {
				return nil, err
			}
		}
		if x.cache != nil {
			if err := x.cache.append(first+uint64(row), ids, r); err != nil {
				return nil, err
			}
		}
	}
	return &x.targets, nil
}

// tile writes each row of d values n times side by side.
func tile(dst, rows []float32, d, n int) {
	for ; len(rows) > 0; rows = rows[d:] {
		for range n {
			copy(dst, rows[:d])
			dst = dst[d:]
		}
	}
}

// part is the record of the tokens from from to to.
func (r record) part(from, to, K int) record {
	return record{ids: r.ids[from*K : to*K], logP: r.logP[from*K : to*K], logRest: r.logRest[from:to]}
}

// ask runs the teacher over one document, whose tokens are those from at of the batch.
func (x *teacher) ask(ids []int32, at int, r record) error {
	x.state.Reset()
	call := infer.Call{IDs: ids, Logits: x.logits[:len(ids)*x.V], Which: infer.All}
	if len(x.streams) > 0 || x.attention != nil {
		d := x.model.Config.HiddenSize
		call.Tap = func(name string, t0, n int, rows []float32) {
			if name == x.before { // empty where relations are not taught
				x.attention.Project(x.env, rows, n, x.buffers)
				for i, out := range x.buffers.Fan.Out {
					width := len(out) / x.T
					copy(x.targets.Relations[i][(at+t0)*width:], out[:n*width])
				}
			}
			for own, theirs := range x.streams {
				if theirs == name {
					tile(x.targets.Hidden[own][(at+t0)*d*x.copies:], rows[:n*d], d, x.copies)
				}
			}
		}
	}
	if err := x.infer.Forward(x.state, call); err != nil {
		return fmt.Errorf("the teacher: %w", err)
	}
	x.asked = r
	x.pool.Run(layer.Blocks(len(ids), layer.TokenBlock), x.rank)
	return nil
}

func (x *teacher) rankBlock(worker, b int) {
	K, r := x.targets.K, x.asked
	for t, end := layer.Span(b, layer.TokenBlock, len(r.logRest)); t < end; t++ {
		r.logRest[t] = x.ranks[worker].likeliest(x.set, x.targets.Temperature, r.ids[t*K:][:K], r.logP[t*K:][:K], x.logits[t*x.V:][:x.V])
	}
}

// ranking is one worker's memory for finding a token's likeliest successors.
type ranking struct {
	scaled []float32 // [V]
	keys   []uint64  // [K], of the likeliest so far: a heap, whose root is the least likely of them
}

// rankKey grows with v, and falls with id among equal values: both in an integer, which compares in one instruction.
func rankKey(v float32, id int) uint64 {
	bits := math.Float32bits(v)
	switch {
	case v == 0: // of either sign
		bits = 1 << 31
	case bits>>31 != 0:
		bits = ^bits
	default:
		bits |= 1 << 31
	}
	return uint64(bits)<<32 | uint64(^uint32(id))
}

// likeliest writes the K likeliest tokens of logits z [V], the first of equals first, and their log-probabilities at the
// temperature; it returns that of all others together.
func (r *ranking) likeliest(set *kernel.Set, temperature float32, ids []int32, logP, z []float32) (logRest float32) {
	inv := 1 / temperature
	for i, v := range z {
		r.scaled[i] = v * inv
	}
	_, _, lse := set.LogSumExp(r.scaled)
	K := len(ids)
	heap := r.keys[:K]
	for i, v := range r.scaled[:K] {
		heap[i] = rankKey(v, i)
	}
	for i := K/2 - 1; i >= 0; i-- {
		sift(heap, i)
	}
	for i, v := range r.scaled[K:] {
		if key := rankKey(v, K+i); key > heap[0] {
			heap[0] = key
			sift(heap, 0)
		}
	}
	slices.Sort(heap)
	seen := 0.0
	for k := range ids {
		id := int32(^uint32(heap[K-1-k]))
		ids[k] = id
		logP[k] = float32(float64(r.scaled[id]) - lse)
		seen += float64(f32.Exp(logP[k]))
	}
	if K == len(z) {
		return float32(math.Inf(-1))
	}
	return float32(math.Log(max(1-seen, 1e-7)))
}

// sift moves keys[i] down until nothing below it is smaller.
func sift(keys []uint64, i int) {
	for {
		least := 2*i + 1
		if least >= len(keys) {
			return
		}
		if next := least + 1; next < len(keys) && keys[next] < keys[least] {
			least = next
		}
		if keys[least] >= keys[i] {
			return
		}
		keys[i], keys[least] = keys[least], keys[i]
		i = least
	}
}
