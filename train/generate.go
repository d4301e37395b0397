package train

import (
	"context"
	"fmt"

	"mmfree/data/tokenizer"
	"mmfree/ternary/infer"
	"mmfree/train/metrics"
)

// GenerateRequest says what to continue, and how.
type GenerateRequest struct {
	Prompt    string
	MaxTokens int
	Sampling  infer.Sampling
	Emit      func(text []byte) error // sees the bytes of each new token; an error ends the generation
	Machine   Machine
}

// Generated is what a model wrote.
type Generated struct {
	Text                   string  `json:"text"` // of the new tokens; the prompt is not repeated
	PromptIDs              []int32 `json:"prompt_ids"`
	IDs                    []int32 `json:"ids"` // new tokens, an end token included
	PrefillTokensPerSecond float64 `json:"prefill_tokens_per_second"`
	DecodeTokensPerSecond  float64 `json:"decode_tokens_per_second"`
	PeakRSSBytes           int64   `json:"peak_rss_bytes"`
}

// Generate continues a prompt with the packed path until MaxTokens, or the model's end token, which is not part of the
// text. A cancelled ctx ends it with that error.
func (m *Model) Generate(ctx context.Context, r GenerateRequest) (*Generated, error) {
	if err := r.Sampling.Validate(); err != nil {
		return nil, err
	}
	tok, err := m.Tokenizer()
	if err != nil {
		return nil, err
	}
	if tok.VocabSize() > m.Config.VocabSize {
		return nil, &InputError{
			Source:  m.Source,
			Problem: fmt.Sprintf("the tokenizer has %d tokens, the model %d", tok.VocabSize(), m.Config.VocabSize),
			Fix:     "put the tokenizer.json that the model was trained with beside it",
		}
	}
	prompt, err := tok.Encode(nil, []byte(r.Prompt))
	if err != nil {
		return nil, err
	}
	if len(prompt) == 0 {
		return nil, &InputError{Source: "the prompt", Problem: "is empty", Fix: "give at least one character to continue"}
	}
	p, err := m.Packed()
	if err != nil {
		return nil, err
	}
	stop := int32(-1)
	if eos := m.Config.EOSTokenID; eos != nil {
		stop = int32(*eos)
	}
	model := infer.New(p, r.Machine.Set, r.Machine.Pool, infer.DefaultChunk)
	stream := tokenizer.NewStream(tok, prompt)
	var text, piece []byte
	var failed error
	g, err := model.Generate(prompt, r.MaxTokens, infer.NewSampler(r.Sampling, tok.VocabSize()), stop, func(id int32) bool {
		if failed = ctx.Err(); failed != nil || id == stop {
			return false
		}
		if piece, failed = stream.Next(piece[:0], id); failed != nil {
			return false
		}
		text = append(text, piece...)
		failed = r.Emit(piece)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return &Generated{
		Text: string(text), PromptIDs: prompt, IDs: g.IDs, PrefillTokensPerSecond: g.PrefillTokensPerSecond,
		DecodeTokensPerSecond: g.DecodeTokensPerSecond, PeakRSSBytes: metrics.PeakRSS(),
	}, nil
}
