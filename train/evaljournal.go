package train

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"mmfree/checkpoints/durable"
	"mmfree/ternary/pack"
)

// journal is a file in which an evaluation keeps what it has scored, a JSON object a line, so that it can go on after a
// kill: first what the evaluation is, then its outcomes in order. A last line that was cut short counts for nothing.
type journal struct {
	path string
	file *os.File
}

// journalMark is how a journal begins.
const journalMark = `{"mmfree_evaluation":`

// maxJournal bounds a journal that is read back: more than a million items' worth.
const maxJournal = 1 << 30

// openJournal opens or begins the journal of the evaluation that title describes, and passes each outcome that it holds to
// add, in order. No path is no journal.
func openJournal(path string, title any, add func(line []byte) error) (*journal, error) {
	if path == "" {
		return nil, nil
	}
	head, err := json.Marshal(title)
	if err != nil {
		return nil, err
	}
	head = append(head, '\n')
	bad := func(problem string) error {
		return &InputError{Source: path, Problem: problem, Fix: "name another file with --resume, or remove this one to begin anew"}
	}
	text, err := readJournal(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, bad(durable.Cause(err).Error())
	case len(text) > maxJournal:
		return nil, bad("is longer than a gibibyte")
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
		if err := add(line); err != nil {
			return nil, bad(fmt.Sprintf("line %d: %v", n, err))
		}
	}
	if len(whole) == 0 {
		whole = head
	}
	err = durable.WriteFile(durable.OS{}, path, durable.Bytes(whole))
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	return &journal{path, f}, err
}

func readJournal(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(bufio.NewReader(f), maxJournal+1))
}

// append adds an outcome, in one write.
func (j *journal) append(v any) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return &durable.WriteError{Path: j.path, Op: "write", Err: err}
	}
	return nil
}

// close ends the journal; one of a finished evaluation is removed.
func (j *journal) close(finished bool) error {
	if j == nil {
		return nil
	}
	err := j.file.Close()
	if finished && err == nil {
		err = os.Remove(j.path)
	}
	return err
}

// journalTitle is what an evaluation depends on.
type journalTitle struct {
	Version int     `json:"mmfree_evaluation"`
	What    string  `json:"what"` // the task's name, or ppl
	Limit   int     `json:"limit"`
	Data    string  `json:"data_sha256"`
	Model   string  `json:"model_sha256"`
	Setting Setting `json:"setting"`
}

// fingerprint is a hash of all values of a packed model and of its configuration.
func fingerprint(p *pack.Model) (string, error) {
	h := sha256.New()
	config, err := json.Marshal(p.Config)
	if err != nil {
		return "", err
	}
	h.Write(config)
	for _, t := range p.Tensors {
		if m := p.Matrix(t.Name); m != nil {
			err = errors.Join(binary.Write(h, binary.LittleEndian, m.Scale), binary.Write(h, binary.LittleEndian, m.Words))
		} else {
			err = binary.Write(h, binary.LittleEndian, p.Dense(t.Name))
		}
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
