// Package ternary is the room of the numbers that training and inference share.
//
// Everything that decides a bit of the forward pass lives below it: the model's specification (spec), fixed-order
// float32 arithmetic (f32), the worker pool (par), quantisers (quant), the packed layout (pack), the kernels (kernel),
// the one forward pass of each layer (layer) and the pure-add model (infer). May not enter: files, the training graph,
// policy of training. It imports nothing of ours from outside and no third party but golang.org/x/sys/cpu.
// Start at spec/tensors.go, then layer/bitlinear.go.
package ternary
