package train

import (
	"context"
	"fmt"

	"mmfree/data/tokenizer"
	"mmfree/ternary/infer"
	"mmfree/ternary/pack"
	"mmfree/train/metrics"
)

// GenerateRequest says what to continue, and how.
type GenerateRequest struct {
	Prompt    string // "": a text from its beginning, of models that know a token for it
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

// writing is what continuing a text needs of a model.
type writing struct {
	tokenizer tokenizer.Tokenizer
	prompt    []int32
	stop      int32 // the end token; below 0: none
	packed    *pack.Model
}

// write prepares a model for continuing a text.
func (m *Model) write(r *GenerateRequest) (*writing, error) {
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
	w := &writing{tokenizer: tok, stop: -1}
	if w.prompt, err = tok.Encode(nil, []byte(r.Prompt)); err != nil {
		return nil, err
	}
	switch bos := m.begin(tok); {
	case bos >= 0 && (len(w.prompt) == 0 || w.prompt[0] != bos):
		w.prompt = append([]int32{bos}, w.prompt...)
	case len(w.prompt) == 0:
		return nil, &InputError{
			Source: "the prompt", Problem: "is empty, and no token of this model stands before a text",
			Fix: "give at least one character to continue",
		}
	}
	if eos := m.Config.EOSTokenID; eos != nil {
		w.stop = int32(*eos)
	}
	w.packed, err = m.Packed()
	return w, err
}

// begin returns the token that stands before every text that the model has learned from: config.json names it and the
// tokenizer puts it there. Below 0 there is none; models trained by this program have none unless their configuration says so.
func (m *Model) begin(tok tokenizer.Tokenizer) int32 {
	ids, err := tok.EncodeSpecial(nil, []byte(" "))
	if bos := m.Config.BOSTokenID; err == nil && bos != nil && len(ids) > 0 && int(ids[0]) == *bos && ids[0] == tok.Specials().BOS {
		return ids[0]
	}
	return -1
}

// Generate continues a prompt with the packed path until MaxTokens, or the model's end token, which is not part of the
// text. A cancelled ctx ends it with that error.
func (m *Model) Generate(ctx context.Context, r GenerateRequest) (*Generated, error) {
	w, err := m.write(&r)
	if err != nil {
		return nil, err
	}
	model := infer.New(w.packed, r.Machine.Set, r.Machine.Pool, infer.DefaultChunk)
	stream := tokenizer.NewStream(w.tokenizer, w.prompt)
	var text, piece []byte
	var failed error
	g, err := model.Generate(w.prompt, r.MaxTokens, infer.NewSampler(r.Sampling, w.tokenizer.VocabSize()), w.stop, func(id int32) bool {
		if failed = ctx.Err(); failed != nil || id == w.stop {
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
		Text: string(text), PromptIDs: w.prompt, IDs: g.IDs, PrefillTokensPerSecond: g.PrefillTokensPerSecond,
		DecodeTokensPerSecond: g.DecodeTokensPerSecond, PeakRSSBytes: metrics.PeakRSS(),
	}, nil
}
