// Package packed reads and writes the packed ternary export: one safetensors file that any reader can list, complete
// with configuration and tokenizer, laid out so that a mapped file is the model.
//
// The tensors of the file, each beginning at a multiple of 64 bytes, the first at a multiple of 4096:
//
//	NAME            U16 [words]     a ternary matrix in the T3 layout (ternary/pack); its shape follows from the configuration
//	NAME            F32 [shape]     every other tensor, full precision, under its own name
//	ternary_scales  F32 [matrices]  the scale m of each matrix, in the order of spec.PackedTensors
//	padding.N       U8  [n]         zeros, where the next tensor would not be aligned: the format forbids holes
//
// and its metadata, all strings: format "mmfree-packed", version "1", layout "T3", config (config.json), tokenizer
// (tokenizer.json; may be absent), source (may be absent), sha256 of the data section. Equal models give equal bytes.
//
// Numbers are little-endian. Machines of the other byte order, and files that cannot be mapped at an aligned address,
// get copies: slower to open, the same model.
//
// May not enter: arithmetic on codes (kernel), making them (pack.Build). Start at write.go.
package packed
