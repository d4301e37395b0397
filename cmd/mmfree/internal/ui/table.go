package ui

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes rows in columns two blanks apart, under a header unless that is nil. A column of numbers is aligned to
// the right, any other to the left; no line ends in blanks. Rows may differ in length.
func Table(w io.Writer, header []string, rows [][]string) error {
	all := rows
	if header != nil {
		all = append([][]string{header}, rows...)
	}
	var widths []int
	for _, row := range all {
		for j, cell := range row {
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], utf8.RuneCountInString(cell))
		}
	}
	right := make([]bool, len(widths))
	for j := range right {
		right[j] = isNumeric(rows, j)
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for j, cell := range row {
			blanks := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if right[j] {
				line.WriteString(blanks + cell)
			} else {
				line.WriteString(cell + blanks)
			}
			line.WriteString("  ")
		}
		fmt.Fprintln(&b, strings.TrimRight(line.String(), " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// isNumeric reports whether column j has a cell, and every cell that is not empty begins like a number.
func isNumeric(rows [][]string, j int) bool {
	some := false
	for _, row := range rows {
		if j >= len(row) || row[j] == "" {
			continue
		}
		digits := strings.TrimLeft(row[j], "+-.")
		if digits == "" || digits[0] < '0' || digits[0] > '9' {
			return false
		}
		some = true
	}
	return some
}
