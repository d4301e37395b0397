package ui

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata")

func curve(t interface{ Fatal(...any) }, train, val Series, style CurveStyle) string {
	var b strings.Builder
	if err := Curve(&b, train, val, style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// made is a series of n values of a falling loss, every so many steps.
func made(n int, every int64, above float64) Series {
	var s Series
	for i := range n {
		x := float64(i+1) / float64(n)
		s.Steps = append(s.Steps, int64(i+1)*every)
		s.Values = append(s.Values, above+2+5*math.Exp(-12*x)+0.05*math.Sin(float64(i*i)))
	}
	return s
}

func TestCurve(t *testing.T) {
	got := curve(t, made(200, 5, 0), made(10, 100, 0.2), CurveStyle{Width: 80, Unit: "bits per byte"})
	want, err := os.ReadFile("testdata/curve.txt")
	if *update {
		want, err = []byte(got), os.WriteFile("testdata/curve.txt", []byte(got), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s", got)
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colours that nobody asked for")
	}
	if colored := curve(t, made(9, 5, 0), made(9, 5, 0), CurveStyle{Color: true}); !strings.Contains(colored, "\x1b[") {
		t.Error("no colours")
	}
}

func TestCurveOfNothing(t *testing.T) {
	nothing := Series{Steps: []int64{1, 2}, Values: []float64{math.NaN(), math.Inf(1)}}
	for _, s := range []Series{{}, nothing} {
		if got := curve(t, s, Series{}, CurveStyle{}); got != "" {
			t.Errorf("drew %q", got)
		}
	}
	if got := curve(t, nothing, made(3, 1, 0), CurveStyle{}); strings.Contains(got, "training") {
		t.Errorf("a legend without a curve in\n%s", got)
	}
}

// Any values at any width: no panic, and no line beyond the width.
func TestCurveFits(t *testing.T) {
	series := rapid.Custom(func(t *rapid.T) Series {
		values := rapid.SliceOfN(rapid.OneOf(
			rapid.Float64Range(0, 10), rapid.Float64(), rapid.Float64Range(2, 2+1e-9), rapid.Just(math.NaN()),
		), 0, 50).Draw(t, "values")
		s := Series{Values: values}
		for i := range values {
			s.Steps = append(s.Steps, int64(i)*rapid.Int64Range(1, 1e9).Draw(t, "every"))
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(curveMinWidth+curveMargin, 200).Draw(t, "width")
		got := curve(t, series.Draw(t, "train"), series.Draw(t, "val"), CurveStyle{Width: width, Unit: "nats"})
		plot, _, _ := strings.Cut(got, "\n\n")
		for line := range strings.Lines(plot) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Fatalf("%d columns of %d:\n%s", n, width, got)
			}
		}
	})
}
