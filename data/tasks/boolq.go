package tasks

// boolq renders BoolQ. Source: tasks/super_glue/boolq/default.yaml.
func boolq(line []byte) (Item, error) {
	var v struct {
		Passage  *string `json:"passage"`
		Question *string `json:"question"`
		Label    *label  `json:"label"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	passage, err := text("passage", v.Passage)
	if err != nil {
		return Item{}, err
	}
	question, err := text("question", v.Question)
	if err != nil {
		return Item{}, err
	}
	right, err := gold("label", v.Label, 2)
	if err != nil {
		return Item{}, err
	}
	return behind(passage+"\nQuestion: "+question+"?\nAnswer:", []string{"no", "yes"}, right), nil
}
