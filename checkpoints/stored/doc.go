// Package stored is a model as its files hold it: a configuration, and tensors whose values are read when asked for, some
// rows at a time. Every format that is read in becomes one, and every format that is written comes from one, so that a
// conversion holds little more than a tensor.
//
// A ternary tensor comes either as values, which the quantiser of training turns into codes, or as codes with the scale that
// their file states; those are never quantised again. May not enter: what a file looks like (safetensors, hf, llama2c).
// Start at tensor.go; model.go makes weights and packed models of it.
package stored
