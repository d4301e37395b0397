package autograd

import (
	"errors"
	"fmt"

	G "gorgonia.org/gorgonia"

	"mmfree/autograd/model"
	"mmfree/autograd/op"
	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
	"mmfree/ternary/spec"
)

// ErrNotFinite is the class of errors for values from which no step can be computed: the shadow weights hold a NaN or an
// infinity.
var ErrNotFinite = op.ErrNotFinite

// ErrInput is the class of batches that do not fit the model.
var ErrInput = errors.New("batch")

// Options says how a Session computes; no choice here changes a bit of the loss, and only WeightGradient one of a
// gradient.
type Options struct {
	Set     *kernel.Set
	Pool    *par.Pool
	Unfused bool // keep float activations for the backward pass instead of int8 codes: more memory, for comparison
	// WeightGradient is the arithmetic of ternary tensors' weight gradients. Unfused, which has no codes, keeps Float32.
	WeightGradient WeightGradient
	// Blend lets the session stand between full precision and ternary, see SetBlend. It is Unfused then.
	Blend bool
	// Dropout is the share of the values that each half of a block adds to the residual stream which training zeroes; Draw
	// says which.
	Dropout float64
	// EmbeddingDropout is the same of the embedded tokens' values.
	EmbeddingDropout float64
}

// WeightGradient names an arithmetic.
type WeightGradient uint8

// The arithmetics.
const (
	Float32 WeightGradient = iota // kernel.Set.OuterCodes
	Int16                         // kernel.Set.OuterInts: about twice as fast, with relative errors around 1e-4
)

// Session holds the graphs over one model's weights: a training graph and evaluation graphs, compiled when a batch shape
// is first seen and kept until Close. Each holds the activations of its shape, so callers cut text into few shapes. All
// read the same shadow weights through the same packed codes. One caller at a time.
type Session struct {
	options   Options
	weights   *spec.Weights // nil for a model that exists only as codes
	grads     *spec.Weights
	zero      func(worker, b int) // clears a block of them
	packed    *pack.Model
	layers    *layer.Model
	env       *layer.Env
	quantiser *op.Quantiser
	dropout   *op.Dropout
	embedded  *op.Dropout // of the embedded tokens
	linears   map[string]*op.Linear
	frozen    map[string]*bool // by the weight's name; nil for a session that only evaluates

	training   map[[2]int]*program
	evaluation map[[2]int]*program
	targets    *Targets
	states     *States
	derivedOf  uint64 // generation of the weights that layer.Model.Update last saw
}

// program is one compiled graph.
type program struct {
	work *op.Workspace
	vm   G.VM
	loss *G.Node
}

// NewSession makes a session over shadow weights, which it reads in place: call WeightsChanged after each update.
func NewSession(w *spec.Weights, o Options) (*Session, error) {
	p, err := pack.Over(w)
	if err != nil {
		return nil, err
	}
	s := newSession(p, o)
	if o.Blend {
		s.options.Unfused, s.env.Blend = true, layer.NewBlend(p)
	}
	s.weights, s.grads = w, w.Like()
	s.frozen = map[string]*bool{}
	for _, t := range w.Tensors {
		s.frozen[t.Name] = new(bool)
	}
	flat := s.grads.Flat()
	s.zero = func(_, b int) {
		from, to := layer.Span(b, zeroBlock, len(flat))
		clear(flat[from:to])
	}
	largest := 0
	for _, t := range p.Tensors {
		if t.Kind != spec.Ternary {
			continue
		}
		shadow := spec.ShadowName(w.Config, t.Name)
		s.linears[t.Name] = &op.Linear{
			Name: t.Name, Shadow: w.Get(shadow), Grad: s.grads.Get(shadow), Frozen: s.frozen[shadow], W: p.Matrix(t.Name), WT: pack.New(t.Shape[1], t.Shape[0]),
		}
		largest = max(largest, t.Elements())
	}
	s.quantiser = op.NewQuantiser(s.env, largest)
	return s, nil
}

// NewForward makes a session that only evaluates, over a packed model's own codes.
func NewForward(p *pack.Model, o Options) *Session {
	s := newSession(p, o)
	for _, t := range p.Tensors {
		if t.Kind == spec.Ternary {
			s.linears[t.Name] = &op.Linear{Name: t.Name, W: p.Matrix(t.Name)}
		}
	}
	s.quantiser = op.NewQuantiser(s.env, 0)
	return s
}

func newSession(p *pack.Model, o Options) *Session {
	return &Session{
		options: o, packed: p, layers: layer.New(p), env: layer.NewEnv(o.Set, o.Pool, p.Config),
		dropout: op.NewDropout(o.Dropout), embedded: op.NewDropout(o.EmbeddingDropout),
		linears: map[string]*op.Linear{}, training: map[[2]int]*program{}, evaluation: map[[2]int]*program{},
	}
}

// Grads returns the gradients, which Backward adds to. Nil for a session that only evaluates.
func (s *Session) Grads() *spec.Weights { return s.grads }

const zeroBlock = 1 << 16 // values that a worker clears at a time

// ZeroGrads clears the gradients; before the first micro-batch of a step.
func (s *Session) ZeroGrads() { s.env.Pool.Run(layer.Blocks(len(s.grads.Flat()), zeroBlock), s.zero) }

// Freeze says, by a weight's name, whose gradients nobody needs from here on: those of matrices, ternary or not, and of the embeddings
// are not computed, and stay as they are.
func (s *Session) Freeze(frozen func(name string) bool) {
	for name, f := range s.frozen {
		*f = frozen(name)
	}
}

// WeightsChanged tells the session that the shadow weights were updated: codes are made anew when next needed.
func (s *Session) WeightsChanged() { s.quantiser.Generation++ }

// SetBlend sets how far weights and activations are ternary from here on, λ from 0 (full precision) to 1 each; see
// layer.Blend. With both at 1 the session is any other. The session must have been made with Options.Blend.
func (s *Session) SetBlend(weights, activations float32) {
	b := s.env.Blend
	if b.Weights != weights || b.Activations != activations {
		b.Weights, b.Activations = weights, activations
		s.WeightsChanged()
	}
}

// Fuse ends the blend of a session that stands at 1 and 1: from here on it is one that was made without, and computes
// faster.
func (s *Session) Fuse() error {
	s.env.Blend, s.options.Unfused = nil, false
	return s.release()
}

// Targets is what a teacher says about a batch; its sums are results.
type Targets = op.Targets

// Teach makes the next Backward calls minimise the loss that t states, whose tokens are those of the batch; nil ends that. The
// loss that Backward returns stays the labels'.
func (s *Session) Teach(t *Targets) { s.targets = t }

// States is what a model's recurrent parts carry from one batch of B sequences to the next.
type States struct {
	B     int
	Parts []layer.Recurrent // nil where a part carries nothing
}

// NewStates returns the states before the first token of B sequences.
func (s *Session) NewStates(B int) *States {
	states := &States{B: B}
	for _, p := range s.layers.Parts {
		r, _ := p.NewState(B).(layer.Recurrent)
		states.Parts = append(states.Parts, r)
	}
	return states
}

// Reset clears the states.
func (s *States) Reset() {
	for _, p := range s.Parts {
		p.Reset()
	}
}

// Carry makes the next Backward calls begin with these states of as many sequences, and leave in them what is behind the last
// tokens: texts go on from batch to batch. No gradient crosses (spec §4). Nil ends that. Attention carries nothing.
func (s *Session) Carry(states *States) { s.states = states }

// Watch counts the codes of activations in m from here on; nil ends that.
func (s *Session) Watch(m *layer.Meter) { s.env.Meter = m }

// Draw makes key decide what dropout zeroes from here on; a new one for each micro-batch.
func (s *Session) Draw(key uint64) { s.dropout.Key, s.embedded.Key = key, key }

// Backward runs forward and backward over one batch of B sequences, T = len(ids)/B tokens each, and adds the gradients of
// Σ loss·scale to Grads. labels[t] is the token to predict at t; negative ones are ignored. It returns Σ loss in nats.
func (s *Session) Backward(ids, labels []int32, B int, scale float64) (lossSum float64, err error) {
	return s.BackwardDocuments(ids, labels, nil, B, scale)
}

// BackwardDocuments is Backward for sequences that hold several documents: the recurrent state is zero before each token
// at which starts [B·T] is true, and no gradient crosses it. A nil starts is one document a sequence.
func (s *Session) BackwardDocuments(ids, labels []int32, starts []bool, B int, scale float64) (lossSum float64, err error) {
	if s.grads == nil {
		return 0, fmt.Errorf("%w: a model without shadow weights cannot be trained", ErrInput)
	}
	return s.run(s.training, true, ids, labels, starts, B, scale)
}

// Evaluate runs the evaluation graph over one batch and returns Σ loss in nats.
func (s *Session) Evaluate(ids, labels []int32, B int) (lossSum float64, err error) {
	return s.EvaluateDocuments(ids, labels, nil, B)
}

// EvaluateDocuments is Evaluate for sequences that hold several documents, see BackwardDocuments.
func (s *Session) EvaluateDocuments(ids, labels []int32, starts []bool, B int) (lossSum float64, err error) {
	return s.run(s.evaluation, false, ids, labels, starts, B, 1)
}

// Forward runs the evaluation graph over one batch, from the state before the first token, and writes all logits
// [B, T, V]. tap, where it is not nil, sees the residual stream [B·T, d] behind every part.
func (s *Session) Forward(ids []int32, B int, logits []float32, tap func(name string, rows []float32)) error {
	return s.ForwardDocuments(ids, nil, B, logits, tap)
}

// ForwardDocuments is Forward for sequences that hold several documents, see BackwardDocuments.
func (s *Session) ForwardDocuments(ids []int32, starts []bool, B int, logits []float32, tap func(name string, rows []float32)) error {
	if want := len(ids) * s.packed.Config.VocabSize; len(logits) != want {
		return fmt.Errorf("%w: room for %d logits, needed are %d", ErrInput, len(logits), want)
	}
	p, err := s.program(s.evaluation, false, ids, B)
	if err != nil {
		return err
	}
	p.work.Logits, p.work.Tap = logits, tap
	defer func() { p.work.Logits, p.work.Tap = nil, nil }()
	for t := range p.work.Labels {
		p.work.Labels[t] = -1
	}
	return s.execute(p, ids, starts, 0)
}

func (s *Session) run(programs map[[2]int]*program, training bool, ids, labels []int32, starts []bool, B int, scale float64) (float64, error) {
	if len(labels) != len(ids) {
		return 0, fmt.Errorf("%w: %d labels for %d ids", ErrInput, len(labels), len(ids))
	}
	V := s.packed.Config.VocabSize
	for t, l := range labels {
		if int(l) >= V {
			return 0, fmt.Errorf("%w: label %d at position %d is outside the vocabulary of %d", ErrInput, l, t, V)
		}
	}
	p, err := s.program(programs, training, ids, B)
	if err != nil {
		return 0, err
	}
	copy(p.work.Labels, labels)
	if training {
		if err := s.checkTargets(len(ids)); err != nil {
			return 0, err
		}
		p.work.Targets, p.work.States = s.targets, nil
		if c := s.states; c != nil {
			if c.B != B || len(c.Parts) != len(s.layers.Parts) {
				return 0, fmt.Errorf("%w: states of %d sequences and %d parts for %d and %d", ErrInput, c.B, len(c.Parts), B, len(s.layers.Parts))
			}
			p.work.States = c.Parts
		}
	}
	if err := s.execute(p, ids, starts, scale); err != nil {
		return 0, err
	}
	return p.work.LossSum, nil
}

// checkTargets refuses targets of another batch.
func (s *Session) checkTargets(N int) error {
	t := s.targets
	if t == nil {
		return nil
	}
	V := s.packed.Config.VocabSize
	if t.K < 1 || t.K > V || len(t.IDs) != N*t.K || len(t.LogP) != N*t.K || len(t.LogRest) != N {
		return fmt.Errorf("%w: targets of %d tokens with %d likeliest each, for a batch of %d and a vocabulary of %d", ErrInput, len(t.LogRest), t.K, N, V)
	}
	for _, id := range t.IDs {
		if id < 0 || int(id) >= V {
			return fmt.Errorf("%w: the teacher's id %d is outside the vocabulary of %d", ErrInput, id, V)
		}
	}
	if t.AttentionShare > 0 {
		c := s.packed.Config
		queries, keys, _ := c.Attention()
		for i, heads := range []int{queries, keys, keys} {
			if n := len(t.Relations[i]); c.MaxPositions() == 0 || n == 0 || n%(N*heads) != 0 {
				return fmt.Errorf("%w: %d values of the teacher's attention for %d tokens and %d heads", ErrInput, n, N, heads)
			}
		}
	}
	for name, rows := range t.Hidden {
		if len(rows) != N*s.packed.Config.HiddenSize {
			return fmt.Errorf("%w: %d values of the teacher's %s for %d tokens of width %d", ErrInput, len(rows), name, N, s.packed.Config.HiddenSize)
		}
	}
	return nil
}

// program returns the compiled graph for the batch's shape.
func (s *Session) program(programs map[[2]int]*program, training bool, ids []int32, B int) (*program, error) {
	if B < 1 || len(ids) == 0 || len(ids)%B != 0 {
		return nil, fmt.Errorf("%w: %d ids for %d sequences", ErrInput, len(ids), B)
	}
	V := s.packed.Config.VocabSize
	for t, id := range ids {
		if id < 0 || int(id) >= V {
			return nil, fmt.Errorf("%w: id %d at position %d is outside the vocabulary of %d", ErrInput, id, t, V)
		}
	}
	shape := [2]int{B, len(ids) / B}
	if p := programs[shape]; p != nil {
		return p, nil
	}
	for _, p := range s.layers.Parts {
		if err := layer.Check(p, p.NewState(B), &layer.Batch{B: B, T: shape[1]}); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInput, err)
		}
	}
	p, err := s.compile(shape[0], shape[1], training)
	if err != nil {
		return nil, err
	}
	programs[shape] = p
	return p, nil
}

func (s *Session) compile(B, T int, training bool) (*program, error) {
	w := op.NewWorkspace(s.env, s.quantiser, s.packed.Config, B, T, training, s.options.Unfused)
	w.Dropout, w.EmbeddingDropout = s.dropout, s.embedded
	w.IntegerGradients = s.options.WeightGradient == Int16
	b := &binder{session: s, graph: G.NewGraph(), training: training}
	loss, err := model.Build(w, s.layers, b)
	if err != nil {
		return nil, fmt.Errorf("building the graph: %w", err)
	}
	if training {
		if _, err := G.Grad(loss, b.nodes...); err != nil {
			return nil, fmt.Errorf("differentiating the graph: %w", err)
		}
	}
	if err := distinct(b.graph); err != nil {
		return nil, fmt.Errorf("building the graph: %w", err)
	}
	return &program{work: w, vm: G.NewTapeMachine(b.graph), loss: loss}, nil
}

// distinct refuses a graph with two nodes of one 32-bit hash: the compiler merges them without a word, and the second
// would never run.
func distinct(g *G.ExprGraph) error {
	seen := map[uint32]*G.Node{}
	for _, n := range g.AllNodes() {
		if m := seen[n.Hashcode()]; m != nil {
			return fmt.Errorf("nodes %s and %s have the same hash", m.Name(), n.Name())
		}
		seen[n.Hashcode()] = n
	}
	return nil
}

func (s *Session) execute(p *program, ids []int32, starts []bool, scale float64) error {
	if starts != nil && len(starts) != len(ids) {
		return fmt.Errorf("%w: %d document marks for %d ids", ErrInput, len(starts), len(ids))
	}
	if s.derivedOf != s.quantiser.Generation {
		s.layers.Update()
		s.derivedOf = s.quantiser.Generation
	}
	copy(p.work.IDs, ids)
	p.work.Starts = starts // read until the run ends, and not kept
	p.work.LossScale = float32(scale)
	p.vm.Reset() // without it RunAll returns nil and runs nothing
	if err := p.vm.RunAll(); err != nil {
		return fmt.Errorf("running the graph: %w", op.Failure(err))
	}
	return nil
}

// Nodes returns the number of nodes of the training graph for batches of B×T tokens, for the bound on allocations.
func (s *Session) Nodes(B, T int) int {
	p := s.training[[2]int{B, T}]
	if p == nil {
		return 0
	}
	return len(p.loss.Graph().AllNodes())
}

// Close releases the graphs.
func (s *Session) Close() error { return s.release() }

func (s *Session) release() error {
	var errs []error
	for _, programs := range []map[[2]int]*program{s.training, s.evaluation} {
		for _, p := range programs {
			errs = append(errs, p.vm.Close())
		}
		clear(programs)
	}
	return errors.Join(errs...)
}
