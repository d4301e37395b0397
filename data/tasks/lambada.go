package tasks

import (
	"errors"
	"strings"
)

// lambada renders LAMBADA: the last word behind everything up to the last space, which no other white space stands for.
// Source: tasks/lambada/lambada_openai.yaml.
func lambada(line []byte) (Item, error) {
	var v struct {
		Text *string `json:"text"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	passage, err := text("text", v.Text)
	if err != nil {
		return Item{}, err
	}
	at := strings.LastIndexByte(passage, ' ')
	if at < 0 {
		return Item{}, errors.New("field text has no space, hence no last word")
	}
	return Item{Requests: []Request{{passage[:at], passage[at:]}}, Gold: -1}, nil
}
