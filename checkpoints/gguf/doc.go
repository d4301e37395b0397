// Package gguf reads GGUF files (version 2 and 3), the format of the llama.cpp family.
//
// In: bytes of a file. Out: its keys and values, its tensors in place, and their values as float32. May not enter: what a
// tensor or key means to a model (names of architectures), other formats.
//
// Start at file.go; header.go reads, value.go holds metadata, types.go the tensors' storage types.
package gguf
