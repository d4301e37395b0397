package layer

import "fmt"

// The parts of each architecture as Parts. Run differs from their own Forward in types alone.

var _ = []Part{(*TokenMixer)(nil), (*TimeMixer)(nil), (*ChannelMixer)(nil), (*Attention)(nil), (*GatedMLP)(nil)}

// LengthError is a text that is longer than the model can look back on.
type LengthError struct{ Tokens, Limit int }

func (e *LengthError) Error() string {
	return fmt.Sprintf("a text of %d tokens, max_position_embeddings is %d", e.Tokens, e.Limit)
}

// Hint says what to do.
func (e *LengthError) Hint() string {
	return "cut the text, or run a recurrent model: its state has no length"
}

// Check returns an error when the part cannot take the batch behind the state.
func Check(p Part, s State, b *Batch) error {
	if m, ok := p.(*Attention); ok {
		if n := s.(*KeyValues).reach(b); n > m.Positions {
			return &LengthError{Tokens: n, Limit: m.Positions}
		}
	}
	return nil
}

// Name implements Part.
func (m *TokenMixer) Name() string { return PartAttention }

// NewBuffers implements Part.
func (m *TokenMixer) NewBuffers(N int, scratch []float32) Buffers {
	return m.NewMixerBuffers(N, scratch, false)
}

// NewState implements Part.
func (m *TokenMixer) NewState(batch int) State { return make(Recurrent, batch*len(m.GateNorm)) }

// Run implements Part.
func (m *TokenMixer) Run(e *Env, dst, h []float32, b *Batch, s State, buf Buffers) {
	m.Forward(e, dst, h, b.B, b.T, s.(Recurrent), b.Mask, b.Starts, buf.(*MixerBuffers))
}

// Name implements Part.
func (m *TimeMixer) Name() string { return PartAttention }

// NewBuffers implements Part.
func (m *TimeMixer) NewBuffers(N int, scratch []float32) Buffers {
	return m.NewTimeBuffers(N, scratch, false, false)
}

// NewState implements Part.
func (m *TimeMixer) NewState(batch int) State { return make(Recurrent, batch*4*len(m.Norm.Gain)) }

// Run implements Part.
func (m *TimeMixer) Run(e *Env, dst, h []float32, b *Batch, s State, buf Buffers) {
	m.Forward(e, dst, h, b.B, b.T, s.(Recurrent), b.Mask, b.Starts, buf.(*TimeBuffers))
}

// Name implements Part.
func (m *ChannelMixer) Name() string { return PartMLP }

// NewBuffers implements Part.
func (m *ChannelMixer) NewBuffers(N int, scratch []float32) Buffers {
	return m.NewMLPBuffers(N, scratch, false)
}

// NewState implements Part.
func (m *ChannelMixer) NewState(int) State { return nil }

// Run implements Part.
func (m *ChannelMixer) Run(e *Env, dst, h []float32, b *Batch, _ State, buf Buffers) {
	m.Forward(e, dst, h, b.B*b.T, buf.(*MLPBuffers))
}

// Name implements Part.
func (m *Attention) Name() string { return PartAttention }

// NewBuffers implements Part.
func (m *Attention) NewBuffers(N int, scratch []float32) Buffers {
	return m.NewAttentionBuffers(N, scratch, false)
}

// Run implements Part.
func (m *Attention) Run(e *Env, dst, h []float32, b *Batch, s State, buf Buffers) {
	m.Forward(e, dst, h, b.B, b.T, s.(*KeyValues), b.Mask, b.Starts, buf.(*AttentionBuffers))
}

// Name implements Part.
func (m *GatedMLP) Name() string { return PartMLP }

// NewBuffers implements Part.
func (m *GatedMLP) NewBuffers(N int, scratch []float32) Buffers {
	return m.NewGatedBuffers(N, scratch, false)
}

// NewState implements Part.
func (m *GatedMLP) NewState(int) State { return nil }

// Run implements Part.
func (m *GatedMLP) Run(e *Env, dst, h []float32, b *Batch, _ State, buf Buffers) {
	m.Forward(e, dst, h, b.B*b.T, buf.(*GatedBuffers))
}
