package eval

import (
	"errors"
	"fmt"
	"math"
)

// ErrInput is the class of texts that cannot be scored, and of models that do not score them.
var ErrInput = errors.New("evaluation input")

// Error says what cannot be scored.
type Error struct{ Source, Problem, Fix string }

func (e *Error) Error() string { return e.Source + ": " + e.Problem }

// Unwrap makes errors.Is(err, ErrInput) hold.
func (e *Error) Unwrap() error { return ErrInput }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Sequence is ids that a model reads and what it should have predicted: Targets[i] behind IDs[From+i], to the end of IDs.
type Sequence struct {
	IDs     []int32
	From    int
	Targets []int32 // len(IDs) − From
}

// Score is how likely the targets of a sequence are.
type Score struct {
	LogLikelihood float64 `json:"loglikelihood"` // sum over targets, in nats, in their order
	Greedy        bool    `json:"is_greedy"`     // each target is the likeliest token, the lowest id of equals
}

// finite refuses likelihoods that are no numbers, as of a model whose weights or values have overflowed: a choice among them would look like
// any other.
func finite(scores []Score) error {
	for _, s := range scores {
		if math.IsNaN(s.LogLikelihood) || math.IsInf(s.LogLikelihood, 0) {
			return &Error{"the model", fmt.Sprintf("gives a likelihood of %v", s.LogLikelihood), "look for what is not finite in it: mmfree doctor MODEL"}
		}
	}
	return nil
}

// Scorer runs a model over sequences.
type Scorer interface {
	// Score runs shared once and each sequence as if it stood alone behind shared. Order and company of sequences change
	// no bit of a score.
	Score(shared []int32, sequences []Sequence) ([]Score, error)
	// Stream scores targets behind ids, one of each. before is what the model carries from the text so far, nil at its
	// beginning; behind is what it carries on. Calls change no bit of it, wherever it was kept in between.
	Stream(before []byte, ids, targets []int32) (s Score, behind []byte, err error)
}

// common cuts the ids that all sequences begin with off their fronts, as far as none is scored there.
func common(sequences []Sequence) (shared []int32, rest []Sequence) {
	n := sequences[0].From
	for _, s := range sequences[1:] {
		n = min(n, s.From)
	}
	first := sequences[0].IDs
	for _, s := range sequences[1:] {
		at := 0
		for at < n && s.IDs[at] == first[at] {
			at++
		}
		n = at
	}
	for _, s := range sequences {
		rest = append(rest, Sequence{s.IDs[n:], s.From - n, s.Targets})
	}
	return first[:n], rest
}
