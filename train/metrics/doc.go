// Package metrics records a run: numbers a step, a picture of them, and the memory the process takes.
//
// In: Line, one a logged step. Out: metrics.jsonl, curve.png. May not enter: the step itself (train), the terminal
// (cmd/mmfree/internal/ui), any decision about a run.
// Start at line.go; jsonl.go writes and reads the file, plot.go draws it, rss.go asks the operating system for memory.
package metrics
