package infer

import (
	"errors"
	"fmt"
	"time"

	"mmfree/ternary/layer"
)

// Generation is what Generate did.
type Generation struct {
	IDs                                           []int32 // the new tokens, an end token included
	PrefillTokensPerSecond, DecodeTokensPerSecond float64 // 0 where nothing was run
}

// Generate continues a prompt by at most n tokens. emit sees each new token as it is chosen and ends the generation by
// returning false; so does the model's last position, and a token equal to stop (none when negative), which is kept.
func (m *Model) Generate(prompt []int32, n int, s *Sampler, stop int32, emit func(id int32) bool) (*Generation, error) {
	if len(prompt) == 0 {
		return nil, fmt.Errorf("%w: the prompt is empty", ErrInput)
	}
	state := m.NewState(1)
	logits := make([]float32, m.layers.Config.VocabSize)
	g := &Generation{IDs: make([]int32, 0, n)}

	start := time.Now()
	if err := m.Forward(state, Call{IDs: prompt, Logits: logits, Which: Last}); err != nil {
		return nil, err
	}
	g.PrefillTokensPerSecond = float64(len(prompt)) / time.Since(start).Seconds()

	start = time.Now()
	var next [1]int32
	for len(g.IDs) < n {
		next[0] = s.Sample(logits)
		g.IDs = append(g.IDs, next[0])
		if !emit(next[0]) || next[0] == stop || len(g.IDs) == n {
			break
		}
		var full *layer.LengthError // the model can look back no further: the text ends
		if err := m.Forward(state, Call{IDs: next[:], Logits: logits, Which: Last}); errors.As(err, &full) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if decoded := len(g.IDs) - 1; decoded > 0 { // the first token came from the prefill
		g.DecodeTokensPerSecond = float64(decoded) / time.Since(start).Seconds()
	}
	return g, nil
}

// GenerateMany continues one prompt once for each sampler, side by side: by at most n tokens, to stop (none when negative),
// which is kept, or to the model's last position. Each continuation is what Generate makes with its sampler. interrupted is
// asked before each token; its error ends the call.
func (m *Model) GenerateMany(prompt []int32, n int, samplers []*Sampler, stop int32, interrupted func() error) ([][]int32, error) {
	if len(prompt) == 0 {
		return nil, fmt.Errorf("%w: the prompt is empty", ErrInput)
	}
	V, B := m.layers.Config.VocabSize, len(samplers)
	first := m.NewState(1)
	logits := make([]float32, B*V)
	if err := m.Forward(first, Call{IDs: prompt, Logits: logits[:V], Which: Last}); err != nil {
		return nil, err
	}
	state := m.NewState(B)
	state.Copy(first)
	for b := 1; b < B; b++ {
		copy(logits[b*V:][:V], logits)
	}
	texts, next, done := make([][]int32, B), make([]int32, B), make([]bool, B)
	for step := range n {
		if err := interrupted(); err != nil {
			return nil, err
		}
		left := false
		for b, s := range samplers {
			if done[b] { // goes on with any token: nobody reads it
				continue
			}
			next[b] = s.Sample(logits[b*V:][:V])
			texts[b] = append(texts[b], next[b])
			done[b] = next[b] == stop
			left = left || !done[b]
		}
		if !left || step == n-1 {
			break
		}
		var full *layer.LengthError // the model can look back no further: the texts end
		if err := m.Forward(state, Call{IDs: next, Logits: logits, Which: Last}); errors.As(err, &full) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return texts, nil
}
