package stored

// Rotary positions turn channels of a head in pairs: here channel j with j + half the head's width, in other programs 2j with
// 2j+1. The rows of a query or key projection change places between the two; width is that of a head.

// RotaryPairs returns, for a row in this program's order, the row that holds it where neighbours turn as a pair.
func RotaryPairs(width int) func(row int) int {
	half := width / 2
	return func(row int) int {
		j := row % width
		return row - j + j%half*2 + j/half
	}
}

// RotaryHalves is the inverse of RotaryPairs.
func RotaryHalves(width int) func(row int) int {
	half := width / 2
	return func(row int) int {
		j := row % width
		return row - j + j%2*half + j/2
	}
}
