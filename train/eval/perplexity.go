package eval

import (
	"context"
	"math"

	"mmfree/data/tasks"
)

// TextFigures say how likely a text is, by token, word and byte; words and bytes are the original text's.
type TextFigures struct {
	Tokens         int     `json:"tokens"`
	Words          int     `json:"words"`
	Bytes          int     `json:"bytes"`
	NLLPerToken    float64 `json:"nll_per_token"`
	Perplexity     float64 `json:"perplexity"` // by token
	WordPerplexity float64 `json:"word_perplexity"`
	BytePerplexity float64 `json:"byte_perplexity"`
	BitsPerByte    float64 `json:"bits_per_byte"`
}

// streamStep is how many tokens run between two looks at the context, and what is summed before it is added to the text's sum.
const streamStep = 4096

// Text scores one text. Rolling, it runs in windows that know nothing of one another, as the harness does. Streaming, the
// model carries its state over the whole text: better, not comparable with the harness's figures, and for recurrent
// models only. from is how far a run came that was stopped. at is told how far it is, and how many tokens there are.
func Text(ctx context.Context, c Coder, s Scorer, page tasks.Item, streaming bool, from Partial, at func(p Partial, all int) error) (TextFigures, error) {
	score, n, err := c.page(s, page.Requests[0].Continuation, streaming, from, func(p Partial, all int) error {
		if at != nil {
			if err := at(p, all); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return TextFigures{}, err
	}
	sum := score.LogLikelihood
	p := TextFigures{Tokens: n, Words: page.Words, Bytes: page.Bytes, NLLPerToken: -sum / float64(n), Perplexity: math.Exp(-sum / float64(n))}
	p.WordPerplexity, p.BytePerplexity, p.BitsPerByte = perText(sum, page.Words, page.Bytes)
	return p, nil
}
