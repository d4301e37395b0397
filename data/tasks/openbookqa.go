package tasks

// openbookqa renders OpenBookQA. Source: tasks/openbookqa/openbookqa.yaml.
func openbookqa(line []byte) (Item, error) {
	var v struct {
		Stem      *string   `json:"question_stem"`
		Choices   *labelled `json:"choices"`
		AnswerKey *string   `json:"answerKey"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	stem, err := text("question_stem", v.Stem)
	if err != nil {
		return Item{}, err
	}
	if v.AnswerKey != nil {
		key := trimLeftSpace(*v.AnswerKey)
		v.AnswerKey = &key
	}
	choices, gold, err := v.Choices.texts(v.AnswerKey)
	if err != nil {
		return Item{}, err
	}
	return behind(stem, choices, gold), nil
}
