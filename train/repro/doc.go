// Package repro checks the claims of the MatMul-free paper and of its relatives in miniature: experiments R1 to R12, each
// with the paper's figures, a rule for its verdict that stands before the run, and runs of its own.
//
// In: experiments' names, a budget, a text, a folder. Out: a folder with every run (configuration, metrics, seed), and one
// report of it in Markdown and JSON with pictures. May not enter: printing (cmd), arithmetic of models (below).
// Start at experiment.go; start.go walks the experiments, lab.go runs and remembers, arms.go says what is compared,
// stats.go what counts as a difference, report.go writes; the experiments are quality.go (R1), scaling.go (R2) and so on.
package repro
