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

// scaleInts writes float32(sums[i])·scale to dst. n is a positive multiple of 4.
//
//go:noescape
func scaleInts(dst *float32, sums *int32, n int, scale float32)
