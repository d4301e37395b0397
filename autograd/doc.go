// Package autograd trains shadow weights with a gorgonia graph; it and the packages below it are gorgonia's only home.
//
// Weights go in, a loss and gradients come out, as plain slices and spec.Weights. The graph has one coarse op for each
// part of a block (op); the forward pass of each calls ternary/layer, the backward pass stands beside it. May not enter:
// files, text, the optimiser. Start at session.go, then op/mixer.go.
package autograd
