// Package dtype names the element types of stored tensors and converts bf16 and f16 to float32 and back.
//
// In: little-endian bytes of a file. Out: float32, the only type inside the program. May not enter: files, other
// packages of this module. Start at dtype.go.
package dtype
