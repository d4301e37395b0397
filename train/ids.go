package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"mmfree/checkpoints/durable"
)

// ErrInput is the class of ids, texts and choices that a model cannot be run on.
var ErrInput = errors.New("input")

// InputError is one fault of an input: where it stands, what is wrong, what to do.
type InputError struct {
	Source  string // a file or a flag
	Problem string
	Fix     string
}

func (e *InputError) Error() string { return e.Source + ": " + e.Problem }

// Unwrap makes errors.Is(err, ErrInput) true.
func (e *InputError) Unwrap() error { return ErrInput }

// Hint says what to do.
func (e *InputError) Hint() string { return e.Fix }

// maxIDsBytes bounds an ids file, which is read whole.
const maxIDsBytes = 256 << 20

const fixList = "write ids between commas: 1,2,3"

const fixIDs = "an ids file holds one JSON list of whole numbers, [1,2,3], or a list of equally long lists, [[1,2],[3,4]]"

// ReadIDs reads an ids file: a JSON list of token ids, which is one sequence, or a list of equally long ones.
func ReadIDs(path string) ([][]int32, error) {
	text, err := durable.ReadBounded(path, maxIDsBytes)
	if unfit := (*durable.UnfitError)(nil); errors.As(err, &unfit) {
		return nil, &InputError{Source: path, Problem: unfit.Problem, Fix: fixIDs}
	}
	if err != nil {
		return nil, &InputError{Source: path, Problem: "cannot be read: " + durable.Cause(err).Error(), Fix: "check the path"}
	}
	return ParseIDs(path, text)
}

// ParseIDs is ReadIDs for text in memory; name stands for the path in errors.
func ParseIDs(name string, text []byte) ([][]int32, error) {
	rows, err := parseIDs(name, text)
	if err == nil && len(rows) == 0 {
		err = &InputError{Source: name, Problem: fmt.Sprintf("byte %d: there are no ids", len(text)), Fix: fixIDs}
	}
	return rows, err
}

// ParseSequence reads one sequence of ids, which may be empty, in any form in which the program prints one: a JSON list, an
// object with a list under "ids", or numbers with commas or spaces between. name stands for the source in errors.
func ParseSequence(name string, text []byte) ([]int32, error) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return nil, nil
	case text[0] == '{':
		var object struct{ IDs json.RawMessage }
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, &InputError{Source: name, Problem: err.Error(), Fix: fixList}
		}
		text = object.IDs
	case text[0] != '[':
		return ListIDs(name, string(text))
	}
	rows, err := parseIDs(name, text)
	switch {
	case err != nil:
		return nil, err
	case len(rows) > 1:
		return nil, &InputError{Source: name, Problem: fmt.Sprintf("%d lists of ids, where one is wanted", len(rows)), Fix: fixList}
	case len(rows) == 0:
		return nil, nil
	}
	return rows[0], nil
}

func parseIDs(name string, text []byte) ([][]int32, error) {
	r := idsReader{dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	rows, err := r.read()
	if err == nil {
		if _, end := r.dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows behind the list")
		}
	}
	if err != nil {
		return nil, &InputError{Source: name, Problem: fmt.Sprintf("byte %d: %v", r.dec.InputOffset(), err), Fix: fixIDs}
	}
	return rows, nil
}

// idsReader takes the list apart token by token, so that nothing but ids is ever held.
type idsReader struct{ dec *json.Decoder }

func (r *idsReader) read() (rows [][]int32, err error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	var flat []int32
	for r.dec.More() {
		token, err := r.token()
		if err != nil {
			return nil, err
		}
		if token != json.Delim('[') {
			id, err := idOf(token)
			if err != nil {
				return nil, err
			}
			if len(rows) > 0 {
				return nil, errors.New("an id stands beside lists")
			}
			flat = append(flat, id)
			continue
		}
		if len(flat) > 0 {
			return nil, errors.New("a list stands beside ids")
		}
		row, err := r.row()
		if err != nil {
			return nil, err
		}
		if len(row) == 0 || len(rows) > 0 && len(row) != len(rows[0]) {
			return nil, fmt.Errorf("list %d has %d ids, the first one %d", len(rows), len(row), len(append(rows, row)[0]))
		}
		rows = append(rows, row)
	}
	if _, err := r.token(); err != nil { // the closing bracket
		return nil, err
	}
	if len(flat) > 0 {
		rows = [][]int32{flat}
	}
	return rows, nil
}

func (r *idsReader) open() error {
	token, err := r.token()
	if err == nil && token != json.Delim('[') {
		err = errors.New("it is no list")
	}
	return err
}

// row reads the rest of an inner list.
func (r *idsReader) row() (row []int32, err error) {
	for r.dec.More() {
		token, err := r.token()
		if err != nil {
			return nil, err
		}
		id, err := idOf(token)
		if err != nil {
			return nil, err
		}
		row = append(row, id)
	}
	_, err = r.token()
	return row, err
}

func (r *idsReader) token() (json.Token, error) {
	token, err := r.dec.Token()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("the text ends inside the list")
	}
	return token, err
}

func idOf(token json.Token) (int32, error) {
	n, ok := token.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not a whole number", token)
	}
	return parseID(n.String())
}

func parseID(text string) (int32, error) {
	id, err := strconv.ParseInt(text, 10, 32)
	if err != nil || id < 0 {
		return 0, fmt.Errorf("%q is not a whole number from 0 to %d", shorten(text), math.MaxInt32)
	}
	return int32(id), nil
}

// ListIDs reads "1,2,3" or "1 2 3".
func ListIDs(source, list string) ([]int32, error) {
	var ids []int32
	for part := range strings.SplitSeq(list, ",") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			fields = []string{""} // nothing between two commas is no id
		}
		for _, text := range fields {
			id, err := parseID(text)
			if err != nil {
				return nil, &InputError{Source: source, Problem: fmt.Sprintf("id %d: %v", len(ids), err), Fix: fixList}
			}
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// RandomIDs returns n ids below V; equal arguments give equal ids on every machine.
func RandomIDs(n, V int, seed uint64) []int32 {
	const stream = 0x1d5 // apart from the sampler's and the data's
	rng := rand.New(rand.NewPCG(seed, stream))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(V))
	}
	return ids
}

// checkIDs names the first id that a vocabulary of V lacks.
func checkIDs(source string, rows [][]int32, V int) error {
	for b, row := range rows {
		for t, id := range row {
			if id >= 0 && int(id) < V {
				continue
			}
			where := fmt.Sprintf("id %d at position %d", id, t)
			if len(rows) > 1 {
				where = fmt.Sprintf("id %d at position %d of list %d", id, t, b)
			}
			return &InputError{
				Source: source, Problem: fmt.Sprintf("%s is not below the vocabulary's %d", where, V),
				Fix: "make the ids with the model's own tokenizer",
			}
		}
	}
	return nil
}
