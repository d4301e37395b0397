package layer

// DocumentEnd returns where the document that token from belongs to ends, at most at end: the next token at which starts
// is true, or end. A nil starts has no document start.
func DocumentEnd(starts []bool, from, end int) int {
	if starts == nil {
		return end
	}
	for t := from + 1; t < end; t++ {
		if starts[t] {
			return t
		}
	}
	return end
}

// DocumentStart returns where the document of the token before end starts, at least at begin: the last token before end
// at which starts is true, or begin. A nil starts has no document start.
func DocumentStart(starts []bool, begin, end int) int {
	if starts == nil {
		return begin
	}
	for t := end - 1; t > begin; t-- {
		if starts[t] {
			return t
		}
	}
	return begin
}
