// Package verify compares the training forward pass with the packed path, value by value and bit by bit.
//
// The training side is an autograd.Session's evaluation graph, the packed side an infer.Model over packed codes, split
// between prefill and decode in several ways, and once more with kernels that count what they execute. May not enter:
// tolerances. Start at verify.go.
package verify
