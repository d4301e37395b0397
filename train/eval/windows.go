package eval

// Windows cuts a page's tokens into sequences that score each token once: the first begins with prefix, later ones with
// one token of context, the last, shorter one with as many as make its input n long. Source: get_rolling_token_windows
// and make_disjoint_window in lm_eval/utils.py, context length 1.
func Windows(ids []int32, prefix int32, n int) []Sequence {
	if len(ids) == 0 {
		return nil
	}
	first := min(n, len(ids))
	input := append([]int32{prefix}, ids[:first-1]...)
	list := []Sequence{{IDs: input, Targets: ids[:first]}}
	for done := first; done < len(ids); {
		k := min(n, len(ids)-done)
		end := done + k
		input := ids[end-1-n : end-1]
		list = append(list, Sequence{IDs: input, From: n - k, Targets: ids[done:end]})
		done = end
	}
	return list
}
