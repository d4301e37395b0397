// Package ui prints for people: one progress line, a curve in the terminal, tables, and numbers with units.
//
// In: values that a verb has at hand. Out: text on a writer the verb chose. May not enter: the work itself, JSON
// output, exit codes. Everything here knows a terminal from a pipe, or is told.
// Start at terminal.go, then progress.go.
package ui
