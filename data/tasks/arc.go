package tasks

import (
	"errors"
	"fmt"
	"slices"
)

// labelled are choices as ARC and OpenBookQA give them.
type labelled struct {
	Text  []*string `json:"text"`
	Label []*string `json:"label"`
}

// texts checks the choices and returns their texts and the index of the one that key labels.
func (c *labelled) texts(key *string) (texts []string, gold int, err error) {
	switch {
	case c == nil:
		return nil, 0, errors.New("field choices is missing or null")
	case len(c.Text) == 0:
		return nil, 0, errors.New("there are no choices")
	case len(c.Text) != len(c.Label):
		return nil, 0, fmt.Errorf("%d choices have %d labels", len(c.Text), len(c.Label))
	case key == nil:
		return nil, 0, errors.New("field answerKey is missing or null")
	}
	var labels []string
	for i := range c.Text {
		if c.Text[i] == nil || c.Label[i] == nil {
			return nil, 0, fmt.Errorf("choice %d is null", i)
		}
		texts, labels = append(texts, *c.Text[i]), append(labels, *c.Label[i])
	}
	gold = slices.Index(labels, *key)
	if gold < 0 {
		return nil, 0, fmt.Errorf("answerKey %q is not among the labels %q", *key, labels)
	}
	return texts, gold, nil
}

// arc renders ARC's questions, and a user's own. Source: tasks/arc/arc_easy.yaml.
func arc(line []byte) (Item, error) {
	var v struct {
		Question  *string   `json:"question"`
		Choices   *labelled `json:"choices"`
		AnswerKey *string   `json:"answerKey"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	question, err := text("question", v.Question)
	if err != nil {
		return Item{}, err
	}
	choices, gold, err := v.Choices.texts(v.AnswerKey)
	if err != nil {
		return Item{}, err
	}
	return behind("Question: "+question+"\nAnswer:", choices, gold), nil
}
