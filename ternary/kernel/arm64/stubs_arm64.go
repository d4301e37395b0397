//go:build arm64 && !noasm

package arm64

// prepare writes for each of so many groups of three codes 64 bytes: 32 low and 32 high parts of their signed sums plus
// 384, by code. x: eight bytes are read at each third one. groups ≥ 1. Twin: generic.Prepare.
//
//go:noescape
func prepare(tables *int16, x *int8, groups int)

// addCodes adds to sums the entries of prepared tables that n word columns of so many rows name. rows is a multiple of
// 32 and the length of a word column; n ≥ 1. Seven words at a time: their high parts, 12 at most, stay inside a byte.
// Twin: generic.MatVec.
//
//go:noescape
func addCodes(sums *int32, words *uint16, tables *int16, rows int, n int)

// addCodes2 is addCodes of two tokens, which share what it takes to take words apart: the second one's sums lie 128 behind the
// first one's, its tables step bytes.
//
//go:noescape
func addCodes2(sums *int32, words *uint16, tables *int16, step uintptr, rows int, n int)

// scaleInts writes float32(sums[i])·scale to dst. n is a positive multiple of 4.
//
//go:noescape
func scaleInts(dst *float32, sums *int32, n int, scale float32)

// transposeCodes writes x[offsets[t]+k], t < 16, k < 16·blocks, to columns[k][t]. blocks ≥ 1.
//
//go:noescape
func transposeCodes(columns *int8, x *int8, offsets *uintptr, blocks int)

// fillWords writes, for each group of three columns (16 bytes apart, tokens side by side), the signed sums of all codes
// 0…26, 32 bytes each, a group's tables end to end. groups ≥ 1. Twin: generic.fillTables.
//
//go:noescape
func fillWords(tables *int16, columns *int8, groups int)

// addWords adds to the sums of 16 tokens, for each row, the entries that its n words name; the words of a row are stride
// bytes apart. rows is a multiple of 4, n ≥ 1. Twin: generic.addBlock.
//
//go:noescape
func addWords(sums *int16, words *uint16, stride uintptr, tables *int16, rows int, n int)

// widen adds the sums of so many rows, 16 tokens each, to the wide ones and clears them. rows ≥ 1. Twin: generic.flush.
//
//go:noescape
func widen(wide *int32, sums *int16, rows int)

// emitInts writes float32(wide[16·r+t])·scale[t] to dst[t·ldd+r] for r < rows and t < tokens ≤ 4. wide and scale have all
// four tokens. ldd in bytes, rows a positive multiple of 4, tokens ≥ 1.
//
//go:noescape
func emitInts(dst *float32, ldd uintptr, wide *int32, scale *float32, tokens int, rows int)

// emitFloats writes total[8·r+t]·scale to dst[t·ldd+r] for r < rows and t < tokens ≤ 4. total has all four tokens. ldd in
// bytes, rows a positive multiple of 4, tokens ≥ 1.
//
//go:noescape
func emitFloats(dst *float32, ldd uintptr, total *float32, scale float32, tokens int, rows int)

// transposeFloats writes y[offsets[t]+k], t < 8, k < 4·blocks, to columns[k][t]; offsets in bytes. blocks ≥ 1.
//
//go:noescape
func transposeFloats(columns *float32, y *float32, offsets *uintptr, blocks int)

// fillFloats writes, for each group of three columns v0 v1 v2 (32 bytes apart, tokens side by side), the sums 0±v0±v1±v2
// of all codes 0…26, 32 bytes each, a group's tables end to end. groups ≥ 1. Twin: generic.fillFloatGroup.
//
//go:noescape
func fillFloats(tables *float32, columns *float32, groups int)

// addFloats adds to the totals of 8 tokens, for each row, (a+b)+c of the three chains of entries that its n words name;
// the words of a row are stride bytes apart. rows is a multiple of 4, n ≥ 1. Twin: generic.addFloatBlock.
//
//go:noescape
func addFloats(total *float32, words *uint16, stride uintptr, tables *float32, rows int, n int)

// denseCodes writes float32(q[k·stride+j]), j < 8, to dst[k·8+j] for k < n. n ≥ 1. Twin: gemm.Tile.codes.
//
//go:noescape
func denseCodes(dst *float32, q *int8, stride uintptr, n int)

// denseSums adds Σ_k left[k·8+i]·right[k·8+j], from 0 in order and fused, to dst[i·stride+j] for i, j < 8. stride in bytes;
// n ≥ 1. Twin: generic.denseSums.
//
//go:noescape
func denseSums(dst *float32, stride uintptr, left *float32, right *float32, n int)

// intTop writes the largest bit patterns of |a[t·stride+i]·inv[t]| to top, i < 8. stride in bytes; n ≥ 1. Twin:
// generic.gradientInts.
//
//go:noescape
func intTop(top *uint32, a *float32, stride uintptr, inv *float32, n int)

// intLeft writes round(a[t·stride+i]·inv[t]·up[i]), halves to even, to left[t][i], i < 8. stride in bytes; n ≥ 1. Twin:
// generic.gradientInts.
//
//go:noescape
func intLeft(left *int16, a *float32, stride uintptr, inv *float32, up *float32, n int)

// intCodes writes q[t·stride+c], c < 8, to dst[t][c]. n ≥ 1. Twin: generic.codePairs.
//
//go:noescape
func intCodes(dst *int16, q *int8, stride uintptr, n int)

// intTile adds float32(Σ_t left[t][i]·codes[t][c])·down[i] to dst[i·stride+c] for eight outputs i and eight columns c.
// stride in bytes; the sums fit 32 bits; n ≥ 1. Twin: generic.intTile.
//
//go:noescape
func intTile(dst *float32, stride uintptr, left *int16, codes *int16, down *float32, n int)

// encodeWords writes n word columns of 16 rows, stride bytes apart, from 9·n columns of their trits, step bytes apart. n ≥ 1.
// Twin: pack.Matrix.EncodeTransposed.
//
//go:noescape
func encodeWords(words *uint16, stride uintptr, codes *int8, step uintptr, n int)

// readSum returns the sum of the 64-bit words of n bytes, a positive multiple of 512.
//
//go:noescape
func readSum(p *byte, n int) uint64

// fusedPeak executes loops times 1536 floating point operations, loops ≥ 1, and returns 1 for half = 0.5.
func fusedPeak(loops int, half float32) float32
