package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mmfree/checkpoints/durable"
	"mmfree/checkpoints/packed"
	"mmfree/ternary/infer"
	"mmfree/ternary/pack"
	"mmfree/ternary/spec"
	"mmfree/train/metrics"
)

const (
	tokensUsed   = 1024 // of the vocabulary: only these tokens' embeddings are touched, as by a short text
	promptTokens = 512
	leastPrompt  = 32
	batchSize    = 8
	prefillShare = 0.25 // of the budget, at most, in one prefill
	readyBytes   = 1 << 30
	densePiece   = 1 << 16 // values that a worker fills at a time
	decodeShare  = 0.8     // of the budget is over when the profile begins
)

// Published returns a published shape by name, or false. 13b was published as speed and memory only.
func Published(name string) (Shape, bool) {
	for _, p := range []struct {
		name          string
		width, layers int
	}{{"370m", 1024, 24}, {"1.3b", 2048, 24}, {"2.7b", 2560, 32}, {"13b", 5120, 40}} {
		if p.name == name {
			c := spec.Default()
			c.VocabSize, c.HiddenSize, c.NumHiddenLayers = 32000, p.width, p.layers
			return Shape{Name: name, Model: c}, true
		}
	}
	return Shape{}, false
}

// runner holds a model under measurement.
type runner struct {
	s      *Setting
	l      *limits
	p      *pack.Model
	shape  string
	one    *infer.Model
	states [2]*infer.State // of one sequence, and of a batch
	logits []float32
	ids    []int32
	next   int

	body, head int64     // ternary weights of a token's layers, and of the head
	bytes      int64     // packed
	product    job       // the set's MatMul on the model's widest matrix: what prefill is held against
	decode     []float64 // tokens/s
	memory     []float64 // GB/s of memory, beside each of decode
	alone      []float64 // of the weights read alone
	batch      []float64
	prefill    []float64
	beside     []float64 // Gmac/s, beside each of prefill
	prompt     int
	took       time.Duration // by a prompt, the last time
}

// Infer measures a model of a shape with random trits: one token at a time, eight sequences at a time, and prompts. What
// decoding reads is held against memory, and against reading the same weights and doing nothing with them: of a small model they
// may lie in a cache.
func Infer(ctx context.Context, s Setting, shape Shape) (*Report, error) {
	start := time.Now()
	_, ternary := spec.Parameters(shape.Model)
	if need, free := ternary/4, freeMemory(); free > 0 && need > free {
		return nil, fmt.Errorf("%w: %s takes about %d MB, %d MB are free", ErrMemory, shape.Name, need>>20, free>>20)
	}
	p, err := randomModel(&s, shape.Model)
	if err != nil {
		return nil, err
	}
	r := newRunner(&s, p, shape)
	if err := r.warm(); err != nil {
		return nil, err
	}
	measured := start.Add(time.Duration(decodeShare * float64(s.Budget)))
	for first := true; first || time.Now().Before(measured); first = false {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.round(first, measured); err != nil {
			return nil, err
		}
	}
	results := r.results(shape)
	rows, err := r.profile(ctx, start.Add(s.Budget))
	if err != nil {
		return nil, err
	}
	ready, err := r.ready(ctx)
	if err != nil {
		return nil, err
	}
	return &Report{Machine: r.l.machine(&s), Results: slices.Concat(results, ready, rows)}, nil
}

// randomModel makes a packed model whose trits are random. Full-precision values but gains and products' weights are left
// 0, so that no page of theirs is in memory before it is used; of the embeddings, tokensUsed rows are filled.
func randomModel(s *Setting, c spec.Config) (*pack.Model, error) {
	dense, matrices := map[string][]float32{}, map[string]*pack.Matrix{}
	for i, t := range spec.PackedTensors(c) {
		if t.Kind == spec.Ternary {
			rows, cols := t.Shape[0], t.Shape[1]
			m := &pack.Matrix{Rows: rows, Cols: cols, Scale: 0.02, Words: make([]uint16, pack.Words(rows, cols))}
			randomize(s, m, uint64(i+1))
			matrices[t.Name] = m
			continue
		}
		v := make([]float32, t.Elements())
		switch t.Kind {
		case spec.Gain:
			for j := range v {
				v[j] = 1
			}
		case spec.Dense:
			s.Pool.Run((len(v)+densePiece-1)/densePiece, func(_, b int) {
				for j := b * densePiece; j < min((b+1)*densePiece, len(v)); j++ {
					v[j] = float32(int32(uint32(j)*2654435761)) / (1 << 36)
				}
			})
		case spec.Embedding:
			for j := range v[:min(len(v), tokensUsed*c.HiddenSize)] {
				v[j] = float32(int32(uint32(j)*2654435761)) / (1 << 31)
			}
		}
		dense[t.Name] = v
	}
	return pack.NewModel(c, dense, matrices)
}

func newRunner(s *Setting, p *pack.Model, shape Shape) *runner {
	r := &runner{s: s, p: p, shape: shape.Name, one: infer.New(p, s.Set, s.Pool, infer.DefaultChunk)}
	var weights [][]byte
	var widest *pack.Matrix
	for _, t := range p.Tensors {
		m := p.Matrix(t.Name)
		if m == nil {
			continue
		}
		weights = append(weights, wordBytes(m.Words))
		r.bytes += m.Bytes()
		n := int64(t.Elements())
		if t.Name == spec.HeadName {
			r.head = n
			continue
		}
		r.body += n
		if widest == nil || m.Rows > widest.Rows {
			widest = m
		}
	}
	if n := readBytes(s.Budget, 0); r.bytes < n {
		r.l = newLimits(s, [][]byte{wordBytes(randomWords(s, n))})
		r.l.weights = r.l.reader(weights)
	} else {
		r.l = newLimits(s, weights)
	}
	r.product = newProduct(s, p.Config, widest)
	V := shape.Model.VocabSize
	r.states = [2]*infer.State{r.one.NewState(1), r.one.NewState(batchSize)}
	r.logits = make([]float32, batchSize*V)
	r.ids = make([]int32, promptTokens)
	for i := range r.ids {
		r.ids[i] = int32(i * 389 % min(V, tokensUsed))
	}
	return r
}

// tokens returns the next n ids.
func (r *runner) tokens(n int) []int32 {
	if r.next+n > len(r.ids) {
		r.next = 0
	}
	r.next += n
	return r.ids[r.next-n : r.next]
}

// forward runs n tokens of a state and returns how long it took.
func (r *runner) forward(m *infer.Model, state *infer.State, n int) (time.Duration, error) {
	ids, logits := r.tokens(n), r.logits[:state.Batch*r.p.Config.VocabSize]
	start := time.Now()
	err := m.Forward(state, infer.Call{IDs: ids, Logits: logits, Which: infer.Last})
	return time.Since(start), err
}

// warm runs everything once and chooses how long a prompt the budget allows.
func (r *runner) warm() error {
	if _, err := r.forward(r.one, r.states[0], 1); err != nil {
		return err
	}
	if _, err := r.forward(r.one, r.states[1], batchSize); err != nil {
		return err
	}
	took, err := r.forward(r.one, r.states[0], leastPrompt)
	for r.prompt = promptTokens; r.prompt > leastPrompt && float64(took)*float64(r.prompt)/leastPrompt > prefillShare*float64(r.s.Budget); {
		r.prompt /= 2
	}
	r.took = took * time.Duration(r.prompt) / leastPrompt
	r.l.all()
	return err
}

// round measures each thing once, decoding often, and the prompt where the time is left for it.
func (r *runner) round(first bool, until time.Time) error {
	const decodes = 8
	lastMemory, lastAlone := r.reads()
	for range decodes {
		took, err := r.forward(r.one, r.states[0], 1)
		if err != nil {
			return err
		}
		memory, alone := r.reads()
		r.decode = append(r.decode, 1/took.Seconds())
		r.memory, r.alone = append(r.memory, meanRate(lastMemory, memory)), append(r.alone, meanRate(lastAlone, alone))
		lastMemory, lastAlone = memory, alone
	}
	took, err := r.forward(r.one, r.states[1], batchSize)
	if err != nil {
		return err
	}
	r.batch = append(r.batch, batchSize/took.Seconds())
	r.l.cache()
	r.l.fused()
	if !first && time.Until(until).Seconds() < (1+2*besideShare)*r.took.Seconds() {
		return nil
	}
	multiply := func() float64 { return r.product.round(r.l) }
	before := beside(r.took, multiply)
	if r.took, err = r.forward(r.one, r.states[0], r.prompt); err != nil {
		return err
	}
	r.prefill = append(r.prefill, float64(r.prompt)/r.took.Seconds())
	r.beside = append(r.beside, meanRate(before, beside(r.took, multiply)))
	return nil
}

// reads reads as many bytes as a token's weights are, from memory and of the weights, and returns the two rates.
func (r *runner) reads() (memory, alone float64) {
	alone = r.l.weights.read(r.bytes)
	if r.l.memory == r.l.weights {
		return alone, alone
	}
	return r.l.memory.read(r.bytes), alone
}

// newProduct makes the job of a tile of the set's MatMul with as much of the matrix as stays in cache.
func newProduct(s *Setting, c spec.Config, w *pack.Matrix) job {
	n, K := s.Set.Tile, w.Cols
	supers := min(w.Superblocks(), hotRows/pack.SuperblockRows)
	rows := min(w.Rows, supers*pack.SuperblockRows)
	j := newBed(s, c).each("", "", "", "", 1, float64(rows)*float64(K)*float64(n), func(int) func() {
		x, scale, dst := make([]int8, n*K), make([]float32, n), make([]float32, n*w.Rows)
		return func() { s.Set.MatMul(dst, w.Rows, w, 0, supers, x, scale, n) }
	})
	j.repeat = 1
	return j
}

func (r *runner) results(shape Shape) []Result {
	s := r.s
	matMul, peak := typical(r.product.rates), metrics.PeakRSS()
	if r.l.memory != r.l.weights {
		peak = max(0, peak-r.l.memory.size) // read for its limit alone
	}
	decode, batch, prefill := typical(r.decode), typical(r.batch), typical(r.prefill)
	read := float64(r.bytes) / giga                             // a token
	macs := float64(r.body) + float64(r.head)/float64(r.prompt) // of a prompt's token: only the last one's logits are made
	_, ternary := spec.Parameters(shape.Model)
	return []Result{
		s.result("decode", r.shape, "tok/s", decode).of(limitMemory, read*against(r.decode, r.memory)),
		s.result("decode/weights read", r.shape, "GB/s", read*decode).of(limitWeights, read*against(r.decode, r.alone)),
		s.result(fmt.Sprintf("prefill of %d tokens", r.prompt), r.shape, "tok/s", prefill).of(limitMatMul, against(r.prefill, r.beside)*macs/giga),
		s.result("MatMul", r.shape, "Gmac/s", matMul).of(limitFused, matMul/r.l.macs()),
		s.result(fmt.Sprintf("decode of %d sequences", batchSize), r.shape, "tok/s", batch),
		s.result(fmt.Sprintf("decode of %d sequences/one", batchSize), r.shape, "times", batch/decode),
		s.result("peak resident memory", r.shape, "bytes", float64(peak)),
		s.result("state of a sequence", r.shape, "bytes", float64(stateBytes(r.states[0]))),
		s.result("packed weights", r.shape, "bytes", float64(r.bytes)),
		s.result("packed weight", r.shape, "bits", float64(8*r.bytes)/float64(ternary)),
	}
}

// ready returns how long it takes to open the model as a packed file in the page cache, its codes checked, until a token
// may be decoded; and, where the program can be started anew, how long from its start until it has decoded one and ended. Models of more
// than readyBytes are left out: the file is written first.
func (r *runner) ready(ctx context.Context) (results []Result, err error) {
	if r.bytes > readyBytes {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "mmfree-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "packed.safetensors")
	size, err := packed.Write(durable.OS{}, path, r.p, packed.Meta{})
	if err != nil {
		return nil, err
	}
	open, err := fastest(func() error {
		f, err := packed.Open(path)
		if err != nil {
			return err
		}
		infer.New(f.Model(), r.s.Set, r.s.Pool, infer.DefaultChunk).NewState(1)
		return f.Close()
	})
	if err != nil {
		return nil, err
	}
	results = []Result{
		r.s.result("packed file", r.shape, "bytes", float64(size)),
		r.s.result("ready to decode", r.shape, "s", open.Seconds()),
	}
	if r.s.Start == nil {
		return results, nil
	}
	whole, err := fastest(func() error { return r.s.Start(ctx, path) })
	return append(results, r.s.result("ready to decode/process, with a token", r.shape, "s", whole.Seconds())), err
}

// fastest returns the shortest of a few times that do takes.
func fastest(do func() error) (shortest time.Duration, err error) {
	for i := range 5 {
		start := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		if took := time.Since(start); i == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}

// profile returns where a decoded token's time goes: that of the fastest token under the stopwatch.
func (r *runner) profile(ctx context.Context, until time.Time) ([]Result, error) {
	watch := &stopwatch{}
	timed := infer.New(r.p, watch.wrap(r.s.Set), r.s.Pool, 1)
	var rows []Result
	var rest float64
	var fastest time.Duration
	for first := true; first || time.Now().Before(until); first = false {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		watch.reset()
		took, err := r.forward(timed, r.states[0], 1)
		if err != nil {
			return nil, err
		}
		if first || took < fastest {
			fastest = took
			rows, _, rest = watch.profile(r.s, r.l, r.l.value(limitFused), r.shape, took)
		}
	}
	return append(rows, r.s.result("time/rest", r.shape, "share", rest)), nil
}
