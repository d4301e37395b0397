// Package gemm holds the float32 matrix products that every set shares: it cuts them into blocks, packs both factors into
// panels, and calls a set's inner loop on one tile after the other.
//
// In: row-major float32, or int8 codes as the right factor. Out: row-major sums, in the order that kernel.Set states.
// May not enter: instruction sets (amd64, arm64, generic give their Tile), threads (callers cut rows or tokens).
// Start at product.go; tile.go says what a set gives.
package gemm
