package tasks

// piqa renders PIQA. Source: tasks/piqa/piqa.yaml.
func piqa(line []byte) (Item, error) {
	var v struct {
		Goal  *string `json:"goal"`
		Sol1  *string `json:"sol1"`
		Sol2  *string `json:"sol2"`
		Label *label  `json:"label"`
	}
	if err := decode(line, &v); err != nil {
		return Item{}, err
	}
	goal, err := text("goal", v.Goal)
	if err != nil {
		return Item{}, err
	}
	first, err := text("sol1", v.Sol1)
	if err != nil {
		return Item{}, err
	}
	second, err := text("sol2", v.Sol2)
	if err != nil {
		return Item{}, err
	}
	right, err := gold("label", v.Label, 2)
	if err != nil {
		return Item{}, err
	}
	return behind("Question: "+goal+"\nAnswer:", []string{first, second}, right), nil
}
