package infer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mmfree/ternary/kernel"
	"mmfree/ternary/layer"
	"mmfree/ternary/pack"
	"mmfree/ternary/par"
)

// DefaultChunk is the number of tokens that are run together where the caller has no wish: enough for tables to pay,
// few enough for activations to stay in cache.
const DefaultChunk = 256

// Model runs one packed model. It holds the buffers of one call at a time; more callers need more Models, which may
// share the pack.Model.
type Model struct {
	layers *layer.Model
	env    *layer.Env
	chunk  int

	h, out, last []float32
	buffers      []layer.Buffers // of each part; parts of one name share theirs
	head         *layer.HeadBuffers
	batch        layer.Batch // of the call in flight
	ids          []int32
	mask         []float32
	starts       []bool
}

// New makes a Model that runs at most chunk tokens together (of all sequences of a batch). It uses p in place. No later
// call allocates, but for the pages of keys and values that attention needs as a text grows.
func New(p *pack.Model, set *kernel.Set, pool *par.Pool, chunk int) *Model {
	layers := layer.New(p)
	d := p.Config.HiddenSize
	m := &Model{
		layers: layers, env: layer.NewEnv(set, pool, p.Config), chunk: chunk,
		h: make([]float32, chunk*d), out: make([]float32, chunk*d), last: make([]float32, chunk*d),
		ids: make([]int32, chunk), mask: make([]float32, chunk), starts: make([]bool, chunk),
		head: layers.Head.NewHeadBuffers(chunk, false),
	}
	shared := map[string]layer.Buffers{}
	for _, p := range layers.Parts {
		if shared[p.Name()] == nil {
			shared[p.Name()] = p.NewBuffers(chunk, m.out)
		}
		m.buffers = append(m.buffers, shared[p.Name()])
	}
	return m
}

// State is what a batch of sequences carries from token to token.
type State struct {
	Batch int
	Parts []layer.State // of each part of each layer, in order; nil for parts that carry nothing
}

// NewState returns the state before the first token of batch sequences.
func (m *Model) NewState(batch int) *State {
	s := &State{Batch: batch}
	for _, p := range m.layers.Parts {
		s.Parts = append(s.Parts, p.NewState(batch))
	}
	return s
}

// Reset returns the state to the one before the first token.
func (s *State) Reset() {
	for _, p := range s.Parts {
		if p != nil {
			p.Reset()
		}
	}
}

// Copy makes s equal to from, a state of the same model and batch, or of one sequence, from which all of s then go on.
func (s *State) Copy(from *State) {
	for i, p := range s.Parts {
		if p != nil {
			p.Copy(from.Parts[i])
		}
	}
}

// AppendBinary appends the values that a recurrent model's state holds, float32, little endian, part by part. A state with keys
// and values is an error of class ErrInput: it grows with the text.
func (s *State) AppendBinary(b []byte) ([]byte, error) {
	for _, p := range s.Parts {
		values, ok := p.(layer.Recurrent)
		if !ok && p != nil {
			return nil, fmt.Errorf("%w: the state is not only a recurrence's", ErrInput)
		}
		b, _ = binary.Append(b, binary.LittleEndian, []float32(values)) // fails for types without a size alone
	}
	return b, nil
}

// UnmarshalBinary makes s the state of the same model and batch that AppendBinary wrote. On an error, of class ErrInput, s
// stays as it was.
func (s *State) UnmarshalBinary(b []byte) error {
	now, err := s.AppendBinary(nil)
	if err != nil {
		return err
	}
	if len(b) != len(now) {
		return fmt.Errorf("%w: a state of %d bytes, the model's has %d", ErrInput, len(b), len(now))
	}
	for _, p := range s.Parts {
		if p != nil {
			n, _ := binary.Decode(b, binary.LittleEndian, []float32(p.(layer.Recurrent)))
			b = b[n:]
		}
	}
	return nil
}

// Which says for which tokens a Forward call writes logits.
type Which uint8

// Choices of Which.
const (
	None Which = iota // logits [0]
	Last              // of each sequence's last token: logits [B, V]
	All               // of every token: logits [B, T, V]
)

// Call is one forward pass. IDs [B, T] are the next T tokens of each of the state's B sequences. Mask [B, T], where it
// is not nil, multiplies what enters the recurrence, and where it is 0 attention has no key: 0 for left padding. Starts [B, T], where it is not nil, is true where
// a document starts: the state before that token is the one before the first token. Logits receives what Which says. Tap, where it
// is not nil, sees the residual stream behind each half of each layer, rows [B, n] for the tokens [t0, t0+n).
type Call struct {
	IDs    []int32
	Mask   []float32
	Starts []bool
	Logits []float32
	Which  Which
	Tap    func(name string, t0, n int, rows []float32)
}

// ErrInput is the class of faults in a Call.
var ErrInput = errors.New("model input")

// Forward runs the call's tokens and moves the state behind them. On an error nothing has been run.
func (m *Model) Forward(s *State, c Call) error {
	V, B := m.layers.Config.VocabSize, s.Batch
	T := len(c.IDs) / B
	if T == 0 || T*B != len(c.IDs) {
		return fmt.Errorf("%w: %d ids for %d sequences", ErrInput, len(c.IDs), B)
	}
	if B > m.chunk {
		return fmt.Errorf("%w: %d sequences, the model was made for at most %d", ErrInput, B, m.chunk)
	}
	if c.Mask != nil && len(c.Mask) != len(c.IDs) {
		return fmt.Errorf("%w: %d mask values for %d ids", ErrInput, len(c.Mask), len(c.IDs))
	}
	if c.Starts != nil && len(c.Starts) != len(c.IDs) {
		return fmt.Errorf("%w: %d document marks for %d ids", ErrInput, len(c.Starts), len(c.IDs))
	}
	for i, id := range c.IDs {
		if id < 0 || int(id) >= V {
			return fmt.Errorf("%w: id %d at position %d is not below the vocabulary's %d", ErrInput, id, i, V)
		}
	}
	if want := [...]int{None: 0, Last: B * V, All: B * T * V}[c.Which]; len(c.Logits) != want {
		return fmt.Errorf("%w: room for %d logits, needed are %d", ErrInput, len(c.Logits), want)
	}
	m.batch = layer.Batch{B: B, T: T, Mask: c.Mask, Starts: c.Starts}
	for i, p := range m.layers.Parts {
		if err := layer.Check(p, s.Parts[i], &m.batch); err != nil {
			return fmt.Errorf("%w: %w", ErrInput, err)
		}
	}
	step := m.chunk / B
	for t0 := 0; t0 < T; t0 += step {
		m.run(s, &c, T, t0, min(step, T-t0))
	}
	return nil
}

// run advances all sequences by tokens [t0, t0+n).
func (m *Model) run(s *State, c *Call, T, t0, n int) {
	B, d, V := s.Batch, m.layers.Config.HiddenSize, m.layers.Config.VocabSize
	N := B * n
	ids, mask, starts := m.ids[:N], []float32(nil), []bool(nil)
	for b := range B {
		copy(ids[b*n:][:n], c.IDs[b*T+t0:])
	}
	if c.Mask != nil {
		mask = m.mask[:N]
		for b := range B {
			copy(mask[b*n:][:n], c.Mask[b*T+t0:])
		}
	}
	if c.Starts != nil {
		starts = m.starts[:N]
		for b := range B {
			copy(starts[b*n:][:n], c.Starts[b*T+t0:])
		}
	}
	h := m.h[:N*d]
	m.layers.Embed(h, ids)
	m.tap(c, layer.TapEmbeddings, -1, t0, n, h)
	m.batch = layer.Batch{B: B, T: n, Mask: mask, Starts: starts}
	for i, p := range m.layers.Parts {
		p.Run(m.env, h, h, &m.batch, s.Parts[i], m.buffers[i])
		m.tap(c, p.Name(), layer.Layer(i), t0, n, h)
	}
	switch {
	case c.Which == All:
		m.layers.Head.Quantize(m.env, h, N, m.head)
		for b := range B {
			m.layers.Head.Logits(m.env, c.Logits[(b*T+t0)*V:][:n*V], b*n, n, m.head)
		}
	case c.Which == Last && t0+n == T:
		last := m.last[:B*d]
		for b := range B {
			copy(last[b*d:][:d], h[(b*n+n-1)*d:])
		}
		m.layers.Head.Quantize(m.env, last, B, m.head)
		m.layers.Head.Logits(m.env, c.Logits, 0, B, m.head)
	}
}

func (m *Model) tap(c *Call, part string, l, t0, n int, h []float32) {
	if c.Tap == nil {
		return
	}
	c.Tap(layer.TapName(part, l), t0, n, h)
}
