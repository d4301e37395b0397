package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"mmfree/checkpoints/durable"
)

// journal is a file in which an evaluation keeps what it has scored, a JSON object a line, so that it can go on after a
// kill: first what the evaluation is, then its outcomes in order, each with its checksum. A last line that was cut short
// counts for nothing.
type journal struct {
	path string
	head []byte // the first line
}

// journalEntry is every other line.
type journalEntry struct {
	CRC32C  uint32          `json:"crc32c"` // of Outcome
	Outcome json.RawMessage `json:"outcome"`
}

// journalMark is how a journal begins.
const journalMark = `{"mmfree_evaluation":`

// maxJournal bounds a journal that is read back: more than a million items' worth.
const maxJournal = 1 << 30

// openJournal opens or begins the journal of the evaluation that title describes, and passes each outcome that it holds to
// add, in order.
func openJournal(path string, title any, add func(outcome []byte) error) (*journal, error) {
	head, err := json.Marshal(title)
	if err != nil {
		return nil, err
	}
	head = append(head, '\n')
	bad := func(problem string) error {
		return &InputError{Source: path, Problem: problem, Fix: "name another file with --resume, or remove this one to begin anew"}
	}
	text, err := durable.ReadBounded(path, maxJournal)
	unfit := (*durable.UnfitError)(nil)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case errors.As(err, &unfit):
		return nil, bad(unfit.Problem)
	case err != nil:
		return nil, bad(durable.Cause(err).Error())
	}
	// Whole lines alone are kept; the first one may be cut short, too, by a kill right at the start.
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	switch {
	case !bytes.HasPrefix(head, text[:min(len(text), len(journalMark))]), len(whole) == 0 && !bytes.HasPrefix(head, text):
		return nil, bad("is no journal of an evaluation")
	case len(whole) > 0 && !bytes.HasPrefix(whole, head):
		return nil, bad("holds another evaluation: of another model, data or setting")
	}
	n := 1
	for line := range bytes.Lines(whole[min(len(head), len(whole)):]) {
		n++
		var e journalEntry
		err := json.Unmarshal(line, &e)
		if err == nil && crc(e.Outcome) != e.CRC32C {
			err = errors.New("is damaged: it has another checksum")
		}
		if err == nil {
			err = add(e.Outcome)
		}
		if err != nil {
			return nil, bad(fmt.Sprintf("line %d: %v", n, err))
		}
	}
	if len(whole) == 0 {
		whole = head
	}
	if err := durable.CleanTempsOf(durable.OS{}, path); err != nil {
		return nil, err
	}
	return &journal{path, head}, durable.WriteFile(durable.OS{}, path, durable.Bytes(whole))
}

// append adds an outcome, in one write.
func (j *journal) append(v any) error {
	if j == nil {
		return nil
	}
	line, err := entry(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.Write(line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return &durable.WriteError{Path: j.path, Op: "write", Err: err}
	}
	return nil
}

// replace keeps an outcome in the place of all before, which it holds: with a model's state in each, they would outgrow any
// bound.
func (j *journal) replace(v any) error {
	if j == nil {
		return nil
	}
	line, err := entry(v)
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, j.path, durable.Bytes(append(slices.Clip(j.head), line...)))
}

func entry(v any) ([]byte, error) {
	outcome, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(journalEntry{crc(outcome), outcome})
	return append(line, '\n'), err
}

// finish removes the journal.
func (j *journal) finish() error {
	if j == nil {
		return nil
	}
	return os.Remove(j.path)
}

// journalTitle is what an evaluation depends on.
type journalTitle struct {
	Version   int     `json:"mmfree_evaluation"`
	What      string  `json:"what"` // the task's name, or ppl
	Limit     int     `json:"limit"`
	Data      string  `json:"data_sha256"`
	Model     string  `json:"model_sha256"`
	Tokenizer string  `json:"tokenizer_sha256"`
	Setting   Setting `json:"setting"`
}
