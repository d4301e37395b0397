package eval

import (
	"context"
	"fmt"

	"mmfree/data/tasks"
)

// Run scores the items of a task in their order.
type Run struct {
	Task   *tasks.Task
	Items  []tasks.Item
	Coder  Coder
	Scorer Scorer
	At     func(i int, scores []Score, tokens int) error // tokens: read by the model for this item
}

// Do scores all items.
func (r *Run) Do(ctx context.Context) ([]Scored, Figures, error) {
	scored := make([]Scored, 0, len(r.Items))
	tokens, truncated := 0, 0
	for i, item := range r.Items {
		if err := ctx.Err(); err != nil {
			return nil, Figures{}, err
		}
		scores, n, cut, err := r.item(ctx, &item)
		if err != nil {
			return nil, Figures{}, fmt.Errorf("item %d: %w", i, err)
		}
		tokens, truncated = tokens+n, truncated+cut
		scored = append(scored, Scored{item, scores})
		if r.At != nil {
			if err := r.At(i, scores, n); err != nil {
				return nil, Figures{}, err
			}
		}
	}
	f := Summarise(r.Task, scored)
	f.ScoredTokens, f.TruncatedInputs = tokens, truncated
	return scored, f, nil
}

// item scores one item. tokens counts what the requests would read one by one, as the harness runs them.
func (r *Run) item(ctx context.Context, item *tasks.Item) (scores []Score, tokens, truncated int, err error) {
	if r.Task.Kind == tasks.Rolling {
		score, n, err := r.Coder.page(r.Scorer, item.Requests[0].Continuation, func(int, int) error { return ctx.Err() })
		return []Score{score}, n, 0, err
	}
	var sequences []Sequence
	for _, request := range item.Requests {
		s, err := r.Coder.Pair(request)
		if err != nil {
			return nil, 0, 0, err
		}
		sequences = append(sequences, s)
		tokens += len(s.IDs)
		truncated += count(len(s.IDs) == r.Coder.MaxLength)
	}
	shared, rest := common(sequences)
	scores, err = r.Scorer.Score(shared, rest)
	return scores, tokens, truncated, err
}

// page scores a whole text in windows that run side by side.
func (c *Coder) page(s Scorer, text string, at func(tokens, all int) error) (Score, int, error) {
	ids, err := c.encode(text)
	if err != nil {
		return Score{}, 0, err
	}
	total := Score{Greedy: true}
	windows := Windows(ids, c.Prefix, c.MaxLength)
	for len(windows) > 0 {
		n := min(len(windows), max(1, maxTogether/c.MaxLength))
		scores, err := s.Score(nil, windows[:n])
		if err != nil {
			return total, len(ids), err
		}
		done := 0
		for i, score := range scores {
			total.LogLikelihood += score.LogLikelihood
			total.Greedy = total.Greedy && score.Greedy
			done += len(windows[i].Targets)
		}
		windows = windows[n:]
		if err := at(done, len(ids)); err != nil {
			return total, len(ids), err
		}
	}
	return total, len(ids), nil
}
