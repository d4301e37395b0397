// Package llama2c reads models of llama2.c and bitllama2.c: their .bin files, and tensors under their names in other files.
//
// A .bin file is a header and then all tensors without names, in an order that its version fixes; layout.go has the table.
// Which layout a file has follows from its magic and from its size, which must agree to the byte: nothing is guessed.
//
//	version 0   seven int32; float32; two tables of rotary positions that nothing needs
//	version 1   256-byte header; float32
//	version 2   256-byte header; matrices as int8 in groups with a float32 factor each
//	bitllama2   256-byte header, version 1 too; matrices as one float32 scale and four ternary codes a byte
//
// llama2.c turns neighbouring channels as pairs, this program channels half a head apart: the rows of wq and wk are put
// in that order on the way in, which changes no product. May not enter: folders (hf). Start at open.go.
package llama2c
