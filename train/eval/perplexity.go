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

// streamStep is how many tokens run between two looks at the context.
const streamStep = 4096

// Text scores one text. Rolling, it runs in windows that know nothing of one another, as the harness does. Streaming, the
// model carries its state over the whole text: better, not comparable with the harness's figures, and for recurrent
// models only. from is how far a rolling run came that was stopped. at is told how far it is, of tokens scored since it was
// told last, and how many there are.
func Text(ctx context.Context, c Coder, s Scorer, page tasks.Item, streaming bool, from Partial, at func(p Partial, tokens, all int) error) (TextFigures, error) {
	told := func(p Partial, tokens, all int) error {
		if at != nil {
			if err := at(p, tokens, all); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	var sum float64
	n := 0
	if streaming {
		ids, err := c.encode(page.Requests[0].Continuation)
		if err != nil {
			return TextFigures{}, err
		}
		n = len(ids)
		if _, err := s.Stream(nil, nil); err != nil {
			return TextFigures{}, err
		}
		input := append([]int32{c.Prefix}, ids...)
		for t := 0; t < n; t += streamStep {
			end := min(t+streamStep, n)
			part, err := s.Stream(input[t:end], ids[t:end])
			if err != nil {
				return TextFigures{}, err
			}
			sum += part
			if err := told(Partial{}, end-t, n); err != nil {
				return TextFigures{}, err
			}
		}
	} else {
		score, tokens, err := c.page(s, page.Requests[0].Continuation, from, told)
		if err != nil {
			return TextFigures{}, err
		}
		sum, n = score.LogLikelihood, tokens
	}
	p := TextFigures{Tokens: n, Words: page.Words, Bytes: page.Bytes, NLLPerToken: -sum / float64(n), Perplexity: math.Exp(-sum / float64(n))}
	p.WordPerplexity, p.BytePerplexity, p.BitsPerByte = perText(sum, page.Words, page.Bytes)
	return p, nil
}
