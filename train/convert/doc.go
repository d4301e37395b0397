// Package convert turns the weights of a model into those of another architecture, so that training can go on from there.
//
// In: weights, and some text to look at. Out: weights of another configuration, whose model in full precision
// (layer.Blend at 0) computes what the first one does, as far as its architecture can. May not enter: files, training.
// Start at convert.go.
package convert
