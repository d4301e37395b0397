// Package par runs blocks of work on a fixed set of workers.
//
// The rule that keeps results independent of the thread count: callers cut work into blocks by the size of the data
// alone, each block writes a disjoint part of the result, and no sum is ever split between blocks unless its parts are
// added afterwards in block order. May not enter: arithmetic. Start at pool.go.
package par
