// Package data turns token ids into training and validation batches.
//
// In: the ids of a whole corpus, as data/tokenizer made them from the text data/corpus read. Out: Batch, plain
// slices that train hands on to the graph. May not enter: models, files, and anything else of ours; a batch is a
// function of (seed, Position) alone, never of time, threads or map order.
// Start at loader.go; permutation.go holds the order of an epoch, validation.go the walk over the held-out end.
package data
