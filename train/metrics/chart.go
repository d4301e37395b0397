package metrics

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"mmfree/checkpoints/durable"
)

// Chart is a picture of a few series over common axes.
type Chart struct {
	Title, X, Y string // of the picture, and of its axes
	LogX, LogY  bool   // powers of ten; values that are not positive are left out
	Series      []Series
}

// Series is points in order, joined by a line, marked, or both. Values that are not finite are left out.
type Series struct {
	Name   string
	X, Y   []float64
	Line   bool // join the points
	Dashed bool // of a line: what is computed, not measured
	Marks  bool
	Like   int // draw in the colour of series Like-1; 0: the next colour
}

// SaveChart writes a chart as a PNG of 1200 × 700 pixels, whole or not at all, over a file that is there.
func SaveChart(path string, c Chart) error {
	return durable.WriteFile(durable.OS{}, path, func(w io.Writer) error { return WriteChart(w, c) })
}

// WriteChart draws a chart as a PNG.
func WriteChart(w io.Writer, c Chart) error {
	p := newPlot(c.Title, c.Y)
	p.X.Label.Text = c.X
	p.X.Tick.Marker = niceTicks{about: 9}
	drawn := 0
	for i := range c.Series {
		n, err := c.add(p, i)
		if err != nil {
			return err
		}
		drawn += n
	}
	if drawn == 0 {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
		if err := addText(p, plotter.XY{X: 0.5, Y: 0.5}, "nothing to draw", draw.XCenter, axisGrey()); err != nil {
			return err
		}
		c.LogX, c.LogY = false, false
	}
	for _, a := range []struct {
		axis *plot.Axis
		log  bool
	}{{&p.X, c.LogX}, {&p.Y, c.LogY}} {
		if !a.log {
			span := a.axis.Max - a.axis.Min
			if span <= 0 {
				span = max(1, math.Abs(a.axis.Max)/2)
			}
			a.axis.Min, a.axis.Max = a.axis.Min-0.03*span, a.axis.Max+0.05*span
			continue
		}
		a.axis.Scale, a.axis.Tick.Marker = plot.LogScale{}, powerTicks{}
		a.axis.Min, a.axis.Max = a.axis.Min/1.25, a.axis.Max*1.25
	}
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI))}
	p.Draw(draw.Crop(draw.New(canvas), 14, -24, 12, -12))
	_, err := canvas.WriteTo(w)
	return err
}

// add draws series i and returns how many points it has that can be drawn.
func (c *Chart) add(p *plot.Plot, i int) (int, error) {
	s := &c.Series[i]
	var points plotter.XYs
	for j := range min(len(s.X), len(s.Y)) {
		x, y := s.X[j], s.Y[j]
		if drawable(x) && drawable(y) && (!c.LogX || x > 0) && (!c.LogY || y > 0) {
			points = append(points, plotter.XY{X: x, Y: y})
		}
	}
	if len(points) == 0 {
		return 0, nil
	}
	color, shape := i, i
	if s.Like > 0 {
		color, shape = s.Like-1, s.Like-1
	}
	var legend []plot.Thumbnailer
	if s.Line && len(points) > 1 {
		line, err := plotter.NewLine(points)
		if err != nil {
			return 0, err
		}
		line.Color, line.Width = seriesColor(color), 1.8
		if s.Dashed {
			line.Width, line.Dashes = 1.3, []vg.Length{6, 4}
		}
		p.Add(line)
		legend = append(legend, line)
	}
	if s.Marks || len(points) == 1 {
		marks, err := plotter.NewScatter(points)
		if err != nil {
			return 0, err
		}
		marks.Color, marks.Radius, marks.Shape = seriesColor(color), 3.6, seriesShape(shape)
		p.Add(marks)
		legend = append(legend, marks)
	}
	if s.Name != "" && len(legend) > 0 {
		p.Legend.Add(s.Name, legend...)
	}
	return len(points), nil
}

// powerTicks labels whole powers of ten; within less than two of them also 2 and 5 times one.
type powerTicks struct{}

// Ticks implements plot.Ticker.
func (powerTicks) Ticks(low, high float64) []plot.Tick {
	if !(low > 0) || !(high > low) || math.IsInf(high, 1) {
		return nil
	}
	first, last := int(math.Floor(math.Log10(low))), int(math.Ceil(math.Log10(high)))
	every := max(1, (last-first)/12)
	var ticks []plot.Tick
	for e := first; e <= last; e++ {
		for _, m := range []float64{1, 2, 5} {
			value := m * math.Pow(10, float64(e))
			if value < low || value > high {
				continue
			}
			tick := plot.Tick{Value: value}
			switch {
			case m == 1 && e%every == 0 && (e < -3 || e > 4):
				tick.Label = fmt.Sprintf("1e%d", e)
			case m == 1 && e%every == 0, high/low < 100:
				tick.Label = strconv.FormatFloat(value, 'g', 4, 64)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// seriesColor and seriesShape tell the series of a chart apart, by lightness and form too.
func seriesColor(i int) color.Color {
	colors := []color.RGBA{
		{0x1a, 0x5f, 0xa8, 0xff},
		{0xe0, 0x6c, 0x00, 0xff},
		{0x2c, 0x8c, 0x4b, 0xff},
		{0xb0, 0x2a, 0x5b, 0xff},
		{0x6b, 0x4f, 0xa0, 0xff},
		{0x7a, 0x7a, 0x2a, 0xff},
		{0x33, 0x33, 0x33, 0xff},
		{0x3c, 0xa6, 0xb8, 0xff},
	}
	return colors[i%len(colors)]
}

func seriesShape(i int) draw.GlyphDrawer {
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}, draw.RingGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}}
	return shapes[i%len(shapes)]
}
