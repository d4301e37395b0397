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
	Before []Entry                    // outcomes of the first items, from a run that was stopped
	At     func(i int, e Entry) error // behind each item that was scored now
}

// Entry is one item's outcome, as much as a run needs to go on behind it.
type Entry struct {
	Scores    []Score `json:"scores"`
	Read      int     `json:"read"`      // tokens that the model would read for the item's requests one by one, as the harness runs them
	Scored    int     `json:"scored"`    // tokens whose likelihood counts
	Truncated int     `json:"truncated"` // requests whose context lost tokens from its front
}

// Do scores all items.
func (r *Run) Do(ctx context.Context) ([]Scored, Figures, error) {
	scored := make([]Scored, 0, len(r.Items))
	var all Entry
	for i, item := range r.Items {
		if err := ctx.Err(); err != nil {
			return nil, Figures{}, err
		}
		var e Entry
		if i < len(r.Before) {
			e = r.Before[i]
		} else {
			var err error
			if e, err = r.item(ctx, &item); err != nil {
				return nil, Figures{}, fmt.Errorf("item %d: %w", i, err)
			}
			if r.At != nil {
				if err := r.At(i, e); err != nil {
					return nil, Figures{}, err
				}
			}
		}
		all.Read, all.Scored, all.Truncated = all.Read+e.Read, all.Scored+e.Scored, all.Truncated+e.Truncated
		scored = append(scored, Scored{item, e.Scores})
	}
	f := Summarise(r.Task, scored)
	f.ReadTokens, f.ScoredTokens, f.TruncatedInputs = all.Read, all.Scored, all.Truncated
	return scored, f, nil
}

// item scores one item.
func (r *Run) item(ctx context.Context, item *tasks.Item) (e Entry, err error) {
	if r.Task.Kind == tasks.Rolling {
		p, n, err := r.Coder.page(r.Scorer, item.Requests[0].Continuation, false, Partial{}, func(Partial, int) error { return ctx.Err() })
		return Entry{Scores: []Score{p.Score}, Read: n, Scored: n}, err
	}
	var sequences []Sequence
	for _, request := range item.Requests {
		s, err := r.Coder.Pair(request)
		if err != nil {
			return e, err
		}
		sequences = append(sequences, s)
		e.Read += len(s.IDs)
		e.Scored += len(s.Targets)
		e.Truncated += count(len(s.IDs) == r.Coder.MaxLength)
	}
	shared, rest := common(sequences)
	if e.Scores, err = r.Scorer.Score(shared, rest); err == nil {
		err = finite(e.Scores)
	}
	return e, err
}

// Partial is how far a page has been scored: its first windows, the tokens and the sum over them, and, streaming, what the
// model carries from them.
type Partial struct {
	Windows int `json:"windows"`
	Tokens  int `json:"tokens"`
	Score
	State []byte `json:"state,omitempty"`
}

// page scores a whole text, the windows of from excepted: windows that run side by side or, streaming, stretches of the text
// one behind the other. at is told how far it is, and how many tokens there are.
func (c *Coder) page(s Scorer, text string, streaming bool, from Partial, at func(p Partial, all int) error) (Partial, int, error) {
	ids, err := c.encode(text)
	if err != nil {
		return from, 0, err
	}
	total := from
	if total.Windows == 0 {
		total.Greedy = true
	}
	long, together := c.MaxLength, max(1, maxTogether/c.MaxLength)
	score := func(w []Sequence) ([]Score, error) { return s.Score(nil, w) }
	if streaming {
		long, together = streamStep, 1
		score = func(w []Sequence) ([]Score, error) {
			score, behind, err := s.Stream(total.State, w[0].IDs[w[0].From:], w[0].Targets) // what a last window reads again was read
			total.State = behind
			return []Score{score}, err
		}
	}
	windows := Windows(ids, c.Prefix, long)
	switch fix := "score it from the beginning"; {
	case total.Windows < 0 || total.Windows > len(windows) || total.Tokens != min(total.Windows*long, len(ids)):
		return from, 0, &Error{"what was scored before", fmt.Sprintf("is %d windows and %d tokens of %d and %d", total.Windows, total.Tokens, len(windows), len(ids)), fix}
	case streaming && (total.Windows == 0) != (total.State == nil):
		return from, 0, &Error{"what was scored before", "is not with the state behind it", fix}
	}
	for windows = windows[total.Windows:]; len(windows) > 0; {
		n := min(len(windows), together)
		scores, err := score(windows[:n])
		if err == nil {
			err = finite(scores)
		}
		if err != nil {
			return total, len(ids), err
		}
		for i, score := range scores {
			total.LogLikelihood += score.LogLikelihood
			total.Greedy = total.Greedy && score.Greedy
			total.Tokens += len(windows[i].Targets)
		}
		windows, total.Windows = windows[n:], total.Windows+n
		if err := at(total, len(ids)); err != nil {
			return total, len(ids), err
		}
	}
	return total, len(ids), nil
}
