package op

import (
	"errors"
	"fmt"

	"mmfree/ternary/layer"
	"mmfree/ternary/spec"
)

// ErrNotFinite is the class of values from which no step can be computed.
var ErrNotFinite = errors.New("a value is NaN or infinite")

// Workspace is what the ops of one graph share: kernels and workers, the batch's shape and ids, and the scratch memory of
// the backward pass. B sequences of T tokens, N = B·T.
type Workspace struct {
	Env       *layer.Env
	Quantiser *Quantiser
	Config    spec.Config
	B, T, N   int
	Training  bool
	Unfused   bool // keep float activations for the backward pass

	IntegerGradients bool     // of ternary tensors, where their codes are kept
	Dropout          *Dropout // of what parts add
	EmbeddingDropout *Dropout

	// The batch of the run in flight.
	IDs       []int32   // [N]
	Labels    []int32   // [N]; a negative label is ignored
	Starts    []bool    // [N]: true where a document starts; nil: nowhere
	LossScale float32   // what the summed loss is multiplied by: 1/labels
	LossSum   float64   // Σ of the tokens' losses in nats, before LossScale; an output
	Logits    []float32 // [N, V], where they are wanted; else nil
	Tap       func(name string, rows []float32)
	Targets   *Targets // of the training pass in flight; nil: labels alone
	// States of the parts are what the sequences begin with, and become what is behind their last tokens; nil: 0.
	States []layer.Recurrent

	scratch backwardScratch
	gains   gainJob
	outer   outerJob

	sizes map[string]int       // what the parts reserved
	named map[string][]float32 // made when first asked for
}

// backwardScratch is shared by all parts: each uses it up before the next runs.
type backwardScratch struct {
	dNorm      [3][]float32 // [N, d]: dX̃ of up to three projections; the first two lie in dWide and dS, used up by then
	dWide      []float32    // [N, widest row of a layer]: dX̃ of a projection back to d
	dS         []float32    // [N, d], or [N, D] of TokenMixers that are wider
	dG         []float32    // [N, D], of TokenMixers
	dI, dZ     []float32    // [N, D], in the unfused mode; else they replace the values that they are gradients of
	dPQ        []float32    // [N, 2I] of ChannelMixers, as dI
	dBound     []float32    // [B, D], of TokenMixers
	rows       [][]float32  // two rows of the widest layer per worker
	gains      []float32    // partial gradients of gains, per block of tokens
	gainStride int          // floats of a block that the parts reserved
	dh         []float32    // [N, d]: gradient of the residual stream
	zero       []float32    // [D] of zeros: the state before a document; of TokenMixers
}

// NewWorkspace makes the memory for batches of B×T tokens.
func NewWorkspace(env *layer.Env, q *Quantiser, c spec.Config, B, T int, training, unfused bool) *Workspace {
	d, N := c.HiddenSize, B*T
	w := &Workspace{
		Env: env, Quantiser: q, Config: c, B: B, T: T, N: N, Training: training, Unfused: unfused,
		IDs: make([]int32, N), Labels: make([]int32, N), sizes: map[string]int{}, named: map[string][]float32{},
	}
	w.gains.run = w.gains.block
	w.outer.run = w.outer.block
	if !training {
		return w
	}
	widest := layer.Widest(c)
	s := &w.scratch
	s.dWide, s.dS = make([]float32, N*widest), make([]float32, N*d)
	s.dNorm = [3][]float32{s.dWide, s.dS, make([]float32, N*d)}
	for range 2 * env.Pool.Threads() {
		s.rows = append(s.rows, make([]float32, widest))
	}
	s.dh = make([]float32, N*d)
	return w
}

// reserve asks for scratch memory of at least n floats under a name, which shared then returns: parts of one name use it
// in turn.
func (w *Workspace) reserve(name string, n int) { w.sizes[name] = max(w.sizes[name], n) }

// shared returns the memory of that name. Its values are left over from the last user. The first call is made while the
// graph is built, or by its caller's goroutine alone.
func (w *Workspace) shared(name string) []float32 {
	s := w.named[name]
	if len(s) < w.sizes[name] {
		s = make([]float32, w.sizes[name])
		w.named[name] = s
	}
	return s
}

// each returns piece i of scratch memory that the parts of one name use in turn; every part asks for the same n.
func (w *Workspace) each(name string, i, n int) []float32 {
	name = fmt.Sprint(name, i)
	w.reserve(name, n)
	return w.shared(name)
}

// reserveGains asks for room for n floats of partial gradients of gains for each block of tokens.
func (w *Workspace) reserveGains(n int) {
	s := &w.scratch
	if n > s.gainStride && w.Training {
		s.gainStride = n
		s.gains = make([]float32, layer.Blocks(w.N, layer.TokenBlock)*n)
	}
}

// chained reports whether a part's operations follow each other for some tokens at a time, which stay in the cache. In the
// unfused mode each operation passes over all tokens.
func (w *Workspace) chained() bool { return !w.Unfused && w.Env.Chained(w.N) }

// Floats reports whether parts keep float activations: for the backward pass of the unfused mode, or because a blend
// multiplies them.
func (w *Workspace) Floats() bool { return w.Unfused && (w.Training || w.Env.Blend != nil) }

// Spare returns memory for N tokens of the hidden size that only the backward pass uses, or nil outside of training.
func (w *Workspace) Spare() []float32 { return w.scratch.dNorm[2] }

// inPlace returns the memory of a gradient: own, or where there is none the memory of the values themselves.
func inPlace(own, values []float32) []float32 {
	if own != nil {
		return own
	}
	return values
}

// row returns the worker's scratch row i (0 or 1) of n values.
func (w *Workspace) row(worker, i, n int) []float32 { return w.scratch.rows[2*worker+i][:n] }

// partialGain returns the zeroed partial gradient of the gain that lies at offset in a block's stride of floats.
func (w *Workspace) partialGain(block, stride, offset, n int) []float32 {
	p := w.scratch.gains[block*stride+offset:][:n]
	clear(p)
	return p
}

// gainJob adds the partial gradients of gains to the gradient, blocks in order.
type gainJob struct {
	run      func(worker, block int)
	w        *Workspace
	grad     []float32
	offset   int
	stride   int
	nPartial int
}

const gainChannels = 256

func (w *Workspace) addGain(grad []float32, stride, offset int) {
	j := &w.gains
	*j = gainJob{run: j.run, w: w, grad: grad, stride: stride, offset: offset, nPartial: layer.Blocks(w.N, layer.TokenBlock)}
	w.Env.Pool.Run(layer.Blocks(len(grad), gainChannels), j.run)
}

func (j *gainJob) block(_, b int) {
	from, to := layer.Span(b, gainChannels, len(j.grad))
	out := j.grad[from:to]
	for p := range j.nPartial {
		j.w.Env.Set.Add(out, out, j.w.scratch.gains[p*j.stride+j.offset+from:][:len(out)])
	}
}
