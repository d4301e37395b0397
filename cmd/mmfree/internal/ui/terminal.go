package ui

import (
	"os"

	"golang.org/x/term"
)

// Width returns the columns of the terminal that f is, or 0 when f is a pipe, a file, or a terminal that cannot move
// its cursor (TERM=dumb), for all of which lines are printed plainly.
func Width(f *os.File) int {
	if os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// Color reports whether f shows colours and its user has not asked for none (no-color.org).
func Color(f *os.File) bool { return Width(f) > 0 && os.Getenv("NO_COLOR") == "" }
