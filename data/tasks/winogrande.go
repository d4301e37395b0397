package tasks

import (
	"errors"
	"fmt"
	"strings"
)

// winogrande renders WinoGrande: the same suffix behind two contexts; the option itself is not scored. Only the first
// underscore counts. Source: tasks/winogrande/preprocess_winogrande.py.
func winogrande(line []byte) (Item, error) {
	var v struct {
		Sentence *string `json:"sentence"`
		Option1  *string `json:"option1"`
		Option2  *string `json:"option2"`
		Answer   *string `json:"answer"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	sentence, err := text("sentence", v.Sentence)
	if err != nil {
		return Item{}, err
	}
	answer, err := text("answer", v.Answer)
	if err != nil {
		return Item{}, err
	}
	before, after, found := strings.Cut(sentence, "_")
	switch {
	case !found:
		return Item{}, errors.New("field sentence has no underscore")
	case answer != "1" && answer != "2":
		return Item{}, fmt.Errorf("field answer is %q, not 1 or 2", answer)
	}
	suffix := trimSpace(after)
	item := Item{Gold: int(answer[0] - '1')}
	for i, option := range []*string{v.Option1, v.Option2} {
		s, err := text(fmt.Sprintf("option%d", i+1), option)
		if err != nil {
			return Item{}, err
		}
		item.Requests = append(item.Requests, Request{before + s, " " + suffix})
		item.Choices = append(item.Choices, before+s) // the harness takes whole contexts for the choices
	}
	return item, nil
}
