// Package spec says what a model is: its configuration, the one list of its tensors, and the carrier of their values.
//
// Config mirrors config.json of the reference implementation; Tensors lists every tensor with name, shape, kind,
// initial law and weight decay; Weights holds the full-precision ("shadow") values and is the only thing that passes
// between the graph, the optimiser and the files. May not enter: files, arithmetic of a layer, the training graph.
// Start at config.go, then tensors.go.
package spec
