// Package tasks renders the items of evaluation tasks as lm-evaluation-harness does (version 0.4.13): which text is scored
// behind which context, and which choice is right.
//
// In: a line of a task's data. Out: an Item. May not enter: tokens, models, scores (train/eval).
// Start at task.go; every task has a file of its own, python.go holds what Python's strings do differently from Go's.
package tasks
