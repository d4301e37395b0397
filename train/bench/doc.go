// Package bench measures speed, and what it could be at most, in the same minutes: kernels one by one, a recipe's
// training step, a published shape's inference.
//
// In: a shape or recipe, kernels, workers, a time budget. Out: a Report of figures, each with its share of a limit of the
// machine. Work and limits take turns, a few milliseconds each, because on shared machines both drift by factors within
// minutes; a figure is the rate that the best tenth of its rounds reached, on both sides, and the share of what lasts longer the
// median of pairs of the two. May not enter: files,
// printing, anything that a training run needs. Start at report.go; rounds.go holds the loop, limits.go the limits.
package bench
