// Package hf reads and writes model folders as the transformers library lays them out: config.json, model.safetensors
// (or several, with an index), and the tokenizer's files.
//
// Tensor names and configuration fields are the reference implementation's, which are ours, so nothing is translated:
// what is read is written back without a changed bit, unknown fields included. May not enter: packed forms (hfbitnet,
// packed), foreign names. Start at load.go; save.go is its inverse.
package hf
