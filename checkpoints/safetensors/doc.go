// Package safetensors reads and writes the safetensors format: an 8-byte header length, a JSON header of names, types,
// shapes and offsets, then the tensors' bytes without holes.
//
// The reader maps the file and trusts nothing in it; what it accepts is what the format's reference reader accepts
// (huggingface/safetensors, tensor.rs), except that a name given twice is always refused. The writer streams and gives
// the same bytes for the same tensors. May not enter: what tensors mean (hf, packed). Start at file.go; the rules of the
// header are in header.go, those of writing in write.go.
package safetensors
