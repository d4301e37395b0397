package ui

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/guptarohit/asciigraph"
)

// Series is a curve: Values[i] was measured at Steps[i]. Steps ascend; values that are not finite are left out.
type Series struct {
	Steps  []int64
	Values []float64
}

// CurveStyle says how a curve is drawn.
type CurveStyle struct {
	Width int    // columns of the terminal; 0 = 72
	Color bool   // tell the series apart by colour, besides the stroke
	Unit  string // of both series: "bits per byte"
}

const (
	curveHeight   = 10
	curveMargin   = 17  // columns for the labels of the axis, and for half a step number at the right end
	curveMinWidth = 20  // columns of the plot itself
	curveMaxValue = 1e6 // no loss to look at is larger, and no label longer
)

// Curve draws the training loss as a line and the validation loss as dots over the steps of a run, ten lines high, with
// the last value of each below. Where there is no value to draw, nothing is written.
func Curve(w io.Writer, train, val Series, style CurveStyle) error {
	first, last, some := stepRange(train, val)
	if !some {
		return nil
	}
	if style.Width <= 0 {
		style.Width = 72
	}
	columns := max(curveMinWidth, style.Width-curveMargin)

	var rows [][]float64
	var colors []asciigraph.AnsiColor
	var strokes []asciigraph.CharSet
	var legend []string
	add := func(name string, s Series, color asciigraph.AnsiColor, stroke asciigraph.CharSet) {
		row, final, some := s.resample(first, last, columns)
		if !some {
			return
		}
		rows, colors, strokes = append(rows, row), append(colors, color), append(strokes, stroke)
		mark := stroke.Horizontal
		if style.Color {
			mark = color.String() + mark + asciigraph.Default.String()
		}
		legend = append(legend, fmt.Sprintf("%s %s %.3f", mark, name, final))
	}
	add("training", train, asciigraph.SteelBlue, asciigraph.DefaultCharSet)
	add("validation", val, asciigraph.Orange, asciigraph.CreateCharSet("•"))

	options := append(
		bounds(rows),
		asciigraph.Height(curveHeight),
		asciigraph.SeriesChars(strokes...),
		asciigraph.YAxisValueFormatter(valueLabel),
		asciigraph.XAxisRange(float64(first), float64(last)),
		asciigraph.XAxisTickCount(4),
		asciigraph.XAxisValueFormatter(stepLabel),
	)
	if style.Color {
		options = append(options, asciigraph.SeriesColors(colors...))
	}
	// The legend is ours: the library's is a box in the colour, which says nothing where there are no colours.
	_, err := fmt.Fprintf(w, "%s\n\n  %s over steps:  %s\n",
		asciigraph.PlotMany(rows, options...), style.Unit, strings.Join(legend, "   "))
	return err
}

// valueLabel and stepLabel take at most ten and seven columns.
func valueLabel(y float64) string {
	if math.Abs(y) < 1000 {
		return fmt.Sprintf("%.3f", y)
	}
	return fmt.Sprintf("%.4g", y)
}

func stepLabel(x float64) string {
	if x < 100_000 {
		return thousands(int64(math.Round(x)))
	}
	return Count(x)
}

// each calls f with every value that can be drawn.
func (s Series) each(f func(step int64, value float64)) {
	for i, y := range s.Values[:min(len(s.Values), len(s.Steps))] {
		if math.Abs(y) <= curveMaxValue {
			f(s.Steps[i], y)
		}
	}
}

// stepRange returns the first and last step with a value that can be drawn, and whether there is one.
func stepRange(series ...Series) (first, last int64, some bool) {
	first, last = math.MaxInt64, math.MinInt64
	for _, s := range series {
		s.each(func(step int64, _ float64) {
			first, last, some = min(first, step), max(last, step), true
		})
	}
	return first, last, some
}

// resample spreads s over columns: each holds the mean of the values that fall on it; columns between two such are
// filled along a straight line, columns outside are NaN, as the library wants it. final is the last value.
func (s Series) resample(first, last int64, columns int) (row []float64, final float64, some bool) {
	row, counts := make([]float64, columns), make([]float64, columns)
	s.each(func(step int64, y float64) {
		c := 0
		if last > first {
			c = int(math.Round((float64(step) - float64(first)) / (float64(last) - float64(first)) * float64(columns-1)))
		}
		row[c] += y
		counts[c]++
		final, some = y, true
	})
	before := -1 // the latest column with a value
	for c := range row {
		if counts[c] == 0 {
			row[c] = math.NaN()
			continue
		}
		row[c] /= counts[c]
		for between := before + 1; before >= 0 && between < c; between++ {
			t := float64(between-before) / float64(c-before)
			row[between] = row[before]*(1-t) + row[c]*t
		}
		before = c
	}
	return row, final, some
}

// bounds widens the vertical axis of rows that hardly vary: the library divides by their range.
func bounds(rows [][]float64) []asciigraph.Option {
	low, high := math.Inf(1), math.Inf(-1)
	for _, row := range rows {
		for _, y := range row {
			if !math.IsNaN(y) {
				low, high = min(low, y), max(high, y)
			}
		}
	}
	if least := max(0.01, math.Abs(high)/100); high-low < least {
		low, high = low-least/2, high+least/2
	}
	return []asciigraph.Option{asciigraph.LowerBound(low), asciigraph.UpperBound(high)}
}
