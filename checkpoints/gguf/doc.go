// Package gguf reads and writes GGUF files (version 2 and 3), the format of the llama.cpp family, and the models in them.
//
// In: bytes of a file. Out: its keys and values, its tensors in place, their values as float32; and of a model it knows the
// configuration and the tensors under this program's names. May not enter: tokenizers (data/tokenizer), other formats.
//
// Start at file.go; header.go reads, value.go holds metadata, types.go the tensors' storage types. model.go makes a model of a
// file: config.go holds the keys, names.go the tensors' names. write.go writes files, split.go models in several of them.
package gguf
