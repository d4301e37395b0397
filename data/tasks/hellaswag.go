package tasks

import (
	"errors"
	"regexp"
	"strings"
)

// bracketed is the shortest group in brackets, on one line.
var bracketed = regexp.MustCompile(`\[[^\n]*?\]`)

// clean is HellaSwag's preprocessing. Pairs of spaces are replaced once, from left to right, and nothing is stripped a
// second time: what that leaves is scored. Source: tasks/hellaswag/utils.py.
func clean(s string) string {
	s = trimSpace(s)
	s = strings.ReplaceAll(s, " [title]", ". ")
	s = bracketed.ReplaceAllString(s, "")
	return strings.ReplaceAll(s, "  ", " ")
}

// hellaswag renders HellaSwag, from the data set's fields or from query, choices and gold, which are taken as they are.
func hellaswag(line []byte) (Item, error) {
	var v struct {
		Activity *string   `json:"activity_label"`
		CtxA     *string   `json:"ctx_a"`
		CtxB     *string   `json:"ctx_b"`
		Endings  []*string `json:"endings"`
		Label    *label    `json:"label"`
		Query    *string   `json:"query"`
		Choices  []*string `json:"choices"`
		Gold     *label    `json:"gold"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	query, endings, key := "", v.Choices, v.Gold
	if v.Query != nil {
		query = *v.Query
	} else {
		activity, err1 := text("activity_label", v.Activity)
		a, err2 := text("ctx_a", v.CtxA)
		b, err3 := text("ctx_b", v.CtxB)
		if err := errors.Join(err1, err2, err3); err != nil {
			return Item{}, err
		}
		query, endings, key = clean(activity+": "+a+" "+capitalize(b)), v.Endings, v.Label
	}
	if len(endings) == 0 {
		return Item{}, errors.New("there are no endings")
	}
	var choices []string
	for _, e := range endings {
		s, err := text("of an ending", e)
		if err != nil {
			return Item{}, err
		}
		if v.Query == nil {
			s = clean(s)
		}
		choices = append(choices, s)
	}
	right, err := gold("label", key, len(choices))
	if err != nil {
		return Item{}, err
	}
	return behind(query, choices, right), nil
}
