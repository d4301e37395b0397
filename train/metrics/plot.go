package metrics

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"mmfree/checkpoints/durable"
)

// The picture is 1200 × 700 pixels.
const (
	plotWidth, plotHeight = 12 * vg.Inch, 7 * vg.Inch
	plotDPI               = 100
	// A training curve of more points than pixels is drawn as the mean of each of so many parts.
	maxDrawn = 1200
)

// SaveCurve writes what WriteCurve draws to path, whole or not at all, over a file that is there.
func SaveCurve(fsys durable.FS, path string, lines []Line, title string, bytesPerToken float64) error {
	return durable.WriteFile(fsys, path, func(w io.Writer) error { return WriteCurve(w, lines, title, bytesPerToken) })
}

// WriteCurve draws a run as a PNG: the training loss of each line, pale, its running mean, and the validation loss,
// all in bits per byte (nats / ln 2 / bytesPerToken) over the step. Values that are not finite are left out; a run
// without any gives axes and a remark. Where bytesPerToken is not positive the axis says bits per token.
func WriteCurve(w io.Writer, lines []Line, title string, bytesPerToken float64) error {
	unit := "bits per byte"
	if !(bytesPerToken > 0) {
		bytesPerToken, unit = 1, "bits per token"
	}
	bits := 1 / (math.Ln2 * bytesPerToken)
	var train, val plotter.XYs
	for _, l := range lines {
		if y := l.Loss * bits; drawable(y) {
			train = append(train, plotter.XY{X: float64(l.Step), Y: y})
		}
		if y := l.ValLoss * bits; l.Evaluated && drawable(y) {
			val = append(val, plotter.XY{X: float64(l.Step), Y: y})
		}
	}
	p := newPlot(title, unit)
	if err := addCurves(p, thin(train, maxDrawn), val); err != nil {
		return err
	}
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI))}
	c := draw.New(canvas)
	p.Draw(draw.Crop(c, 14, -24, 12, -12)) // margins left, right, below, above, in points
	_, err := canvas.WriteTo(w)
	return err
}

// drawable is finite, with room for the spans and margins computed from it.
func drawable(x float64) bool { return math.Abs(x) <= 1e300 }

// The palette: blue for training, orange for validation, which also differ in lightness, for those who see no colours.
func paleBlue() color.Color { return color.RGBA{0xb3, 0xcd, 0xe8, 0xff} }
func deepBlue() color.Color { return color.RGBA{0x1a, 0x5f, 0xa8, 0xff} }
func orange() color.Color   { return color.RGBA{0xe0, 0x6c, 0x00, 0xff} }
func ink() color.Color      { return color.RGBA{0x33, 0x33, 0x33, 0xff} }
func axisGrey() color.Color { return color.RGBA{0x99, 0x99, 0x99, 0xff} }
func gridGrey() color.Color { return color.RGBA{0xde, 0xde, 0xde, 0xff} }
func textFont(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// newPlot returns empty axes with title, labels, grid and legend style.
func newPlot(title, unit string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = 10
	p.Title.TextStyle.Font = textFont(17)
	p.Title.TextStyle.Color = ink()
	for _, axis := range []struct {
		*plot.Axis
		label string
		ticks niceTicks
	}{
		{&p.X, "step", niceTicks{about: 9, whole: true}},
		{&p.Y, unit, niceTicks{about: 8}},
	} {
		axis.Label.Text = axis.label
		axis.Label.Padding = 6
		axis.Label.TextStyle.Font = textFont(14)
		axis.Label.TextStyle.Color = ink()
		axis.LineStyle.Color = axisGrey()
		axis.Tick.LineStyle.Color = axisGrey()
		axis.Tick.Length = 5
		axis.Tick.Label.Font = textFont(12)
		axis.Tick.Label.Color = ink()
		axis.Tick.Marker = axis.ticks
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridGrey(), gridGrey()
	grid.Horizontal.Width, grid.Vertical.Width = 0.7, 0.7
	p.Add(grid)
	p.Legend.Top = true
	p.Legend.XOffs, p.Legend.YOffs = -10, -8
	p.Legend.Padding = 4
	p.Legend.ThumbnailWidth = 32
	p.Legend.TextStyle.Font = textFont(13)
	p.Legend.TextStyle.Color = ink()
	return p
}

// addCurves draws the two curves and fits the axes round them.
func addCurves(p *plot.Plot, train, val plotter.XYs) error {
	if len(train)+len(val) == 0 {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
		return addText(p, plotter.XY{X: 0.5, Y: 0.5}, "no finite loss was logged", draw.XCenter, axisGrey())
	}
	if len(train) > 0 {
		raw, err := plotter.NewLine(train)
		if err != nil {
			return err
		}
		raw.Color, raw.Width = paleBlue(), 1
		mean, err := plotter.NewLine(smooth(train))
		if err != nil {
			return err
		}
		mean.Color, mean.Width = deepBlue(), 2.2
		p.Add(raw, mean)
		if len(train) == 1 { // a line of one point cannot be seen
			point, err := plotter.NewScatter(train)
			if err != nil {
				return err
			}
			point.Color, point.Radius, point.Shape = deepBlue(), 3.4, draw.CircleGlyph{}
			p.Add(point)
		}
		p.Legend.Add("training", raw)
		p.Legend.Add("training, running mean", mean)
	}
	if len(val) > 0 {
		line, points, err := plotter.NewLinePoints(val)
		if err != nil {
			return err
		}
		line.Color, line.Width = orange(), 1.6
		points.Color, points.Radius, points.Shape = orange(), 3.4, draw.CircleGlyph{}
		if len(val) > 60 {
			points.Radius = 2
		}
		p.Add(line, points)
		p.Legend.Add(fmt.Sprintf("validation, last %.3f", val[len(val)-1].Y), line, points)
	}
	fit(p)
	return nil
}

// addText writes one line of text at a place in data coordinates.
func addText(p *plot.Plot, at plotter.XY, words string, align text.XAlignment, ink color.Color) error {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{at}, Labels: []string{words}})
	if err != nil {
		return err
	}
	labels.TextStyle[0].Font = textFont(15)
	labels.TextStyle[0].Color = ink
	labels.TextStyle[0].XAlign = align
	p.Add(labels)
	return nil
}

// fit widens the axes a little beyond the data, and to something at all where there is one point.
func fit(p *plot.Plot) {
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		span := a.Max - a.Min
		if span <= 0 {
			span = max(1, math.Abs(a.Max)/2)
			a.Min, a.Max = a.Min-span/2, a.Max+span/2
			continue
		}
		a.Min, a.Max = a.Min-0.02*span, a.Max+0.04*span
	}
	p.X.Min = max(0, p.X.Min)
}

// thin returns at most n points: those of xys, or the means of n equal shares of them.
func thin(xys plotter.XYs, n int) plotter.XYs {
	if len(xys) <= n {
		return xys
	}
	out := make(plotter.XYs, n)
	for i := range out {
		share := xys[i*len(xys)/n : (i+1)*len(xys)/n]
		for _, p := range share {
			out[i].X += p.X / float64(len(share))
			out[i].Y += p.Y / float64(len(share))
		}
	}
	return out
}

// smooth returns the running mean with triangular weights over a fifteenth of the points. Near the start, where a loss
// falls steeply, the window is narrower, so that the mean does not run above the curve; at the end, where it is flat, the
// window is cut off.
func smooth(xys plotter.XYs) plotter.XYs {
	out := make(plotter.XYs, len(xys))
	for i := range xys {
		reach := min(len(xys)/30, i/3)
		sum, weight := 0.0, 0.0
		for d := -reach; d <= min(reach, len(xys)-1-i); d++ {
			w := float64(reach + 1 - max(d, -d))
			sum += w * xys[i+d].Y
			weight += w
		}
		out[i] = plotter.XY{X: xys[i].X, Y: sum / weight}
	}
	return out
}

// niceTicks puts labels at multiples of 1, 2 or 5 times a power of ten, about so many of them.
type niceTicks struct {
	about float64
	whole bool // whole numbers only, with separated thousands
}

// Ticks implements plot.Ticker.
func (n niceTicks) Ticks(low, high float64) []plot.Tick {
	step := niceStep((high - low) / n.about)
	if n.whole {
		step = max(1, step)
	}
	if !(step > 0) || math.IsInf(step, 1) {
		return nil
	}
	digits := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var ticks []plot.Tick
	first := math.Ceil(low / step)
	for i := range 2 * int(n.about) { // bounded: where floats are sparser than steps, adding one gets nowhere
		value := (first + float64(i)) * step
		if value > high {
			break
		}
		label := strconv.FormatFloat(value, 'f', digits, 64)
		switch {
		case step >= 1e12:
			label = strconv.FormatFloat(value, 'g', 3, 64)
		case n.whole:
			label = thousands(label)
		}
		ticks = append(ticks, plot.Tick{Value: value, Label: label})
	}
	return ticks
}

// niceStep is the smallest of 1, 2, 5 times a power of ten that is not below x, but for rounding.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// thousands separates groups of three digits by commas.
func thousands(digits string) string {
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
