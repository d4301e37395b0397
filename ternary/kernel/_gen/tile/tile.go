// Package tile holds what the tiles of multiplications have in common with AVX-512: 14 rows by 32 columns are 28 sums, which
// with two registers of columns and one of a row's value are 31 of 32.
package tile

const (
	Rows  = 14
	Steps = 2 // of what is summed over, in a turn of the loop
)

// Spread tells whether the multiply-adds of row i spread its value by themselves. That saves an instruction, but
// loads the value twice: with nine of fourteen rows both the decoder, of which a core's other thread may take half, and the
// two loads a cycle have room.
func Spread(i int) bool { return i*9/Rows != (i+1)*9/Rows }
