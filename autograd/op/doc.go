// Package op holds the fused gorgonia ops: the adapter that makes one from plain functions, and one file for each part
// of a model, its forward pass (a call into ternary/layer) and its backward pass (the straight-through formulas of spec
// §2 to §5) side by side.
//
// All memory exists before the graph does: no op allocates when it runs. Gradients of weights are added to buffers that
// the session clears, so that micro-batches accumulate. May not enter: the order of layers (model), the optimiser.
// Start at adapter.go, then mixer.go.
package op
