// Package eval scores texts with a model, by the rules of lm-evaluation-harness (version 0.4.13): log-likelihoods of
// continuations, accuracies, perplexities of whole pages.
//
// In: tasks' items, a tokenizer, a Scorer. Out: an Item's scores, a Result. May not enter: formats of task data
// (data/tasks), model files (train), printing (cmd).
// Start at score.go; pair.go cuts texts into tokens, windows.go whole pages, packed.go runs them on the packed path,
// task.go and perplexity.go are the two verbs, result.go the arithmetic of their figures.
package eval
