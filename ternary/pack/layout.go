package pack

// The layout, "T3". A trit t is −1, 0 or +1. Three consecutive columns of a row make a code
//
//	c = (t0+1) + 3·(t1+1) + 9·(t2+1)          0 … 26, t0 the lowest column
//
// and a little-endian 16-bit word holds nine trits, columns 9j … 9j+8, of one row:
//
//	bit  15 | 14 … 10         | 9 … 5           | 4 … 0
//	     0  | code of 9j+6…+8 | code of 9j+3…+5 | code of 9j…9j+2
//
// A row has ⌈cols/9⌉ words; absent columns are zero trits. Rows are cut into superblocks of 128, the last padded with
// zero rows to a multiple of 32. Inside a superblock of sr rows word column 0 of all its rows comes first, then word
// column 1, and so on: word (r, j) lies at sup·nw + j·sr + (r − sup), sup = r rounded down to 128. A superblock is thus
// one contiguous stream whose columns are 64-byte multiples, and every kernel, decode and batch, reads it in place.
// Size: 16·nw/cols bits a weight, 1.778 when 9 divides cols.
const (
	TritsPerWord    = 9
	GroupsPerWord   = 3 // codes of three trits in a word
	TritsPerGroup   = 3
	GroupBits       = 5
	GroupMask       = 1<<GroupBits - 1
	SuperblockRows  = 128
	rowPad          = 32
	codesPerGroup   = 27     // legal codes; 27 … 31 are not
	zeroWord        = 0x35AD // nine zero trits: three codes 13
	bytesPerWord    = 2
	maxMatrixValues = 1 << 40
)

// WordsPerRow returns nw = ⌈cols/9⌉.
func WordsPerRow(cols int) int { return (cols + TritsPerWord - 1) / TritsPerWord }

// PaddedRows returns rows rounded up to a multiple of 32.
func PaddedRows(rows int) int { return (rows + rowPad - 1) / rowPad * rowPad }

// Words returns the number of 16-bit words of a rows × cols matrix.
func Words(rows, cols int) int { return PaddedRows(rows) * WordsPerRow(cols) }

// Superblock returns the rows [first, first+rows) stored in superblock s, padding included, of a matrix with so many
// padded rows.
func superblock(paddedRows, s int) (first, rows int) {
	first = s * SuperblockRows
	return first, min(SuperblockRows, paddedRows-first)
}
