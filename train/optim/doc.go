// Package optim turns gradients into new weights: global-norm clipping and AdamW over spec.Weights, in the order of the
// one list of tensors (spec §12).
//
// May not enter: learning-rate schedules (train), the graph. Start at adamw.go.
package optim
