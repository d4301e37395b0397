package tasks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// ErrTask is the class of every error of this package: an unknown task, or data that is not the task's.
var ErrTask = errors.New("unusable task data")

// Error says what is wrong with a task's data, and where.
type Error struct {
	Source  string // file name as given, or the task's name
	Line    int    // from 1; 0 when the whole is meant
	Problem string
	Fix     string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.Source, e.Line, e.Problem)
	}
	return e.Source + ": " + e.Problem
}

// Unwrap makes errors.Is(err, ErrTask) hold.
func (e *Error) Unwrap() error { return ErrTask }

// Hint says what to do.
func (e *Error) Hint() string { return e.Fix }

// Kind says what is asked of the model.
type Kind int

// Kinds of tasks.
const (
	Choice  Kind = iota // which of several requests is likeliest
	Word                // whether the greedy choice at each token is the continuation
	Rolling             // how likely a whole text is
)

// Request is a text and the context that it is scored behind.
type Request struct {
	Context      string `json:"context"`
	Continuation string `json:"continuation"`
}

// Item is one document of a task.
type Item struct {
	Requests []Request // one a choice; Word has one, Rolling one with an empty context
	Choices  []string  // Choice: texts as the task gives them, without the delimiter; their lengths divide scores for acc_norm
	Gold     int       // Choice: the right one; else -1
	// Rolling: counts of the text before it was detokenised, which perplexities are divided by.
	Words, Bytes int
}

// Task is a kind of data and how its items are asked.
type Task struct {
	Name string
	Kind Kind
	// SameSuffix is true where choices differ in the context alone, so that normalising by length means nothing.
	SameSuffix bool

	about string
	item  func(line []byte) (Item, error)
}

// all lists the tasks. A user's own questions are multiple_choice.
func all() []Task {
	return []Task{
		{Name: "arc_easy", about: "grade-school science questions", item: arc},
		{Name: "arc_challenge", about: "the harder ones of these", item: arc},
		{Name: "hellaswag", about: "how a description goes on", item: hellaswag},
		{Name: "openbookqa", about: "elementary science with common knowledge", item: openbookqa},
		{Name: "piqa", about: "which of two ways reaches a goal", item: piqa},
		{Name: "winogrande", about: "whom a sentence speaks of", SameSuffix: true, item: winogrande},
		{Name: "lambada_openai", about: "the last word of a passage", Kind: Word, item: lambada},
		{Name: "wikitext", about: "whole pages, word by word", Kind: Rolling, item: wikitext},
		{Name: "boolq", about: "yes or no about a passage", item: boolq},
		{Name: "multiple_choice", about: "your own questions, asked like ARC's", item: arc},
	}
}

// Names lists the tasks.
func Names() []string {
	var names []string
	for _, t := range all() {
		names = append(names, t.Name)
	}
	return names
}

// Get returns the task of a name.
func Get(name string) (*Task, error) {
	for _, t := range all() {
		if t.Name == name {
			return &t, nil
		}
	}
	return nil, &Error{
		Source: "task " + fmt.Sprintf("%q", name), Problem: "is not known", Fix: "choose one of " + strings.Join(Names(), ", "),
	}
}

// maxLine bounds one document.
const maxLine = 64 << 20

// Read reads a JSONL file of the task, blank lines apart, and stops after limit items where limit is above zero. name
// is the file's, for errors, which name the line.
func (t *Task) Read(r io.Reader, name string, limit int) ([]Item, error) {
	var items []Item
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 0, 64<<10), maxLine)
	number := 0
	for scan.Scan() {
		number++
		line := bytes.TrimSuffix(scan.Bytes(), []byte("\r"))
		if len(bytes.Trim(line, " \t")) == 0 {
			continue
		}
		item, err := t.Parse(line)
		if err != nil {
			return items, &Error{Source: name, Line: number, Problem: err.Error(), Fix: "mend or remove the line; docs/EVALUATION.md shows the fields of " + t.Name}
		}
		if items = append(items, item); len(items) == limit {
			return items, nil
		}
	}
	if err := scan.Err(); errors.Is(err, bufio.ErrTooLong) {
		return items, &Error{Source: name, Line: number + 1, Problem: fmt.Sprintf("is longer than %d bytes", maxLine), Fix: "split the document"}
	} else if err != nil {
		return items, err
	}
	return items, nil
}

// Parse reads one line: a JSON object in valid UTF-8.
func (t *Task) Parse(line []byte) (Item, error) {
	if !utf8.Valid(line) {
		return Item{}, errors.New("is not valid UTF-8")
	}
	return t.item(line)
}

// decode reads exactly one JSON object into v, a struct of pointers; fields that it lacks are left out.
func decode(line []byte, v any) error {
	if first := bytes.TrimLeft(line, " \t"); len(first) > 0 && first[0] != '{' {
		return errors.New("is no JSON object")
	}
	if err := json.Unmarshal(line, v); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return fmt.Errorf("is not JSON: byte %d: %w", syntax.Offset, err)
		}
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
			return fmt.Errorf("field %s is a JSON %s", kind.Field, kind.Value)
		}
		return err
	}
	return nil
}

// text returns the string of a field that must be there.
func text(field string, s *string) (string, error) {
	if s == nil {
		return "", fmt.Errorf("field %s is missing or null", field)
	}
	return *s, nil
}

// label is a number, written as such or as a string of digits.
type label int

// UnmarshalJSON reads either spelling.
func (l *label) UnmarshalJSON(b []byte) error {
	var n int
	if err := json.Unmarshal(bytes.Trim(b, `"`), &n); err != nil {
		return fmt.Errorf("label %.20s is no number", b)
	}
	*l = label(n)
	return nil
}

// gold checks that a label names one of n choices.
func gold(field string, l *label, n int) (int, error) {
	switch {
	case l == nil:
		return 0, fmt.Errorf("field %s is missing or null", field)
	case int(*l) < 0 || int(*l) >= n:
		return 0, fmt.Errorf("field %s is %d, there are %d choices", field, *l, n)
	}
	return int(*l), nil
}

// behind makes an item of one context and its choices, each behind a space.
func behind(context string, choices []string, gold int) Item {
	item := Item{Choices: choices, Gold: gold}
	for _, c := range choices {
		item.Requests = append(item.Requests, Request{context, " " + c})
	}
	return item
}
