package metrics

import (
	"bytes"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"

	"mmfree/checkpoints/durable"
)

// run makes up n lines that look like a training run, evaluated every tenth of it.
func run(n int) []Line {
	g := rand.New(rand.NewPCG(1, 2))
	lines := make([]Line, n)
	for i := range lines {
		x := float64(i+1) / float64(n)
		loss := 1.35 + 0.6*math.Exp(-4*x) + 3.6*math.Exp(-60*x)
		lines[i] = Line{Step: int64(i+1) * 10, Loss: loss + 0.07*g.NormFloat64()}
		if (i+1)%max(1, n/20) == 0 {
			lines[i].Evaluated, lines[i].ValLoss = true, loss+0.08+0.05*x
		}
	}
	return lines
}

func TestWriteCurve(t *testing.T) {
	nan := math.NaN()
	for _, tc := range []struct {
		name          string
		lines         []Line
		bytesPerToken float64
	}{
		{"run", run(300), 1},
		{"long", run(20_000), 4.3},
		{"empty", nil, 1},
		{"one point", run(1), 1},
		{"two points", run(2), 1},
		{"same value twice", []Line{{Step: 1, Loss: 2}, {Step: 2, Loss: 2}}, 1},
		{"same step twice", []Line{{Step: 1, Loss: 2}, {Step: 1, Loss: 3}}, 1},
		{"nothing finite", []Line{{Step: 1, Loss: nan}, {Step: 2, Loss: math.Inf(1), Evaluated: true, ValLoss: nan}}, 1},
		{"validation only", []Line{{Step: 5, Loss: nan, Evaluated: true, ValLoss: 2}}, 1},
		{"no bytes per token", run(50), 0},
		{"zeros", make([]Line, 5), 1},
		{"far out", []Line{{Step: 1 << 60, Loss: 1}, {Step: 1<<60 + 10, Loss: 2}}, 1},
		{"huge", []Line{{Step: 1, Loss: 6e299}, {Step: math.MaxInt64, Loss: -6e299}, {Step: 2, Loss: math.MaxFloat64}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteCurve(&b, tc.lines, "quickstart · matmulfree · 1.6M parameters", tc.bytesPerToken); err != nil {
				t.Fatal(err)
			}
			// For looking at: MMFREE_PLOTS=folder go test -run WriteCurve
			if folder := os.Getenv("MMFREE_PLOTS"); folder != "" {
				name := filepath.Join(folder, strings.ReplaceAll(tc.name, " ", "_")+".png")
				if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			image, err := png.Decode(&b)
			if err != nil {
				t.Fatal(err)
			}
			if size := image.Bounds().Size(); size.X != 1200 || size.Y != 700 {
				t.Errorf("%v pixels", size)
			}
		})
	}
}

func TestSaveCurve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "curve.png")
	for range 2 { // the second replaces the first
		if err := SaveCurve(durable.OS{}, path, run(3), "run", 1); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(text, []byte("\x89PNG")) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if err := SaveCurve(durable.OS{}, filepath.Join(path, "below", "a", "file"), nil, "", 1); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

func TestThinAndSmooth(t *testing.T) {
	line := make(plotter.XYs, 10_000)
	for i := range line {
		line[i] = plotter.XY{X: float64(i), Y: 3 * float64(i)}
	}
	thinned := thin(line, 100)
	if len(thinned) != 100 {
		t.Fatalf("%d points", len(thinned))
	}
	// Both keep a straight line straight, but for the end, where the window is cut off.
	for i, p := range smooth(thinned)[:97] {
		if math.Abs(p.X-thinned[i].X) > 1e-6 || math.Abs(p.Y-3*p.X) > 1e-6 {
			t.Fatalf("point %d is %v, from %v", i, p, thinned[i])
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tc := range []struct {
		ticks     niceTicks
		low, high float64
		want      string
	}{
		{niceTicks{about: 5, whole: true}, 0, 10_000, "0 2,000 4,000 6,000 8,000 10,000"},
		{niceTicks{about: 5, whole: true}, 0.5, 3.5, "1 2 3"},
		{niceTicks{about: 4}, 1.9, 2.7, "2.0 2.2 2.4 2.6"},
		{niceTicks{about: 4}, 0, 0.02, "0.000 0.005 0.010 0.015 0.020"},
		{niceTicks{about: 4}, 1, 1, ""},
	} {
		var labels []string
		for _, tick := range tc.ticks.Ticks(tc.low, tc.high) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != tc.want {
			t.Errorf("%v … %v: %s, want %s", tc.low, tc.high, got, tc.want)
		}
	}
	for in, want := range map[string]string{"1": "1", "123": "123", "-123": "-123", "1234567": "1,234,567", "-1234": "-1,234"} {
		if got := thousands(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestWriteChart(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]Chart{
		"empty":        {Title: "nothing"},
		"one point":    {Series: []Series{{Name: "a", X: []float64{1}, Y: []float64{2}}}},
		"log":          {LogX: true, LogY: true, Series: []Series{{Name: "a", X: []float64{1e15, 1e24}, Y: []float64{3, 1}, Line: true, Dashed: true}, {X: []float64{1e16}, Y: []float64{2}, Marks: true, Like: 1}}},
		"not positive": {LogX: true, Series: []Series{{Name: "a", X: []float64{0, -1}, Y: []float64{1, 2}, Line: true}}},
		"not finite":   {Series: []Series{{X: []float64{1, nan, 3}, Y: []float64{nan, 1, math.Inf(1)}, Line: true, Marks: true}}},
		"uneven":       {Series: []Series{{X: []float64{1, 2, 3}, Y: []float64{1, 2}, Line: true, Marks: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteChart(&b, c); err != nil {
				t.Fatal(err)
			}
			picture, err := png.Decode(&b)
			if err != nil || picture.Bounds().Dx() != 1200 || picture.Bounds().Dy() != 700 {
				t.Errorf("%v, %v", picture.Bounds(), err)
			}
		})
	}
}
