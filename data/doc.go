// Package data turns token ids into training and validation batches.
//
// In: a Source, the ids of a whole corpus and where its documents start, as data/prepare made them of the text that
// data/corpus read. Out: Batch, plain slices that train hands on to the graph. May not enter: models, files, and anything
// else of ours; a batch is a function of (seed, Position) alone, never of time, threads or map order.
// Start at loader.go; permutation.go holds the order of an epoch, validation.go the walk over the held-out end,
// prefetch.go the step ahead.
package data
