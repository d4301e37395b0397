// Package model glues the ops of a model into a graph, one file per architecture: the training twin of ternary/infer's
// files, in the same order, under the same names. May not enter: arithmetic. Start at build.go.
package model
