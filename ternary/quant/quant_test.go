package quant_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mmfree/ternary/f32"
	"mmfree/ternary/quant"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// TestActivationHalves is spec §13.4; the first value makes the scale exactly 1.
func TestActivationHalves(t *testing.T) {
	x := []float32{127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -126.5, 0.49999997, -0.49999997, 1.4999999, 0}
	for _, c := range []struct {
		away bool
		want []int8
	}{
		{false, []int8{127, 0, 2, 2, 0, -2, -2, 126, -126, 0, 0, 1, 0}},
		{true, []int8{127, 1, 2, 3, -1, -2, -3, 127, -127, 0, 0, 1, 0}},
	} {
		got := make([]int8, len(x))
		if s := quant.Quantize(got, x, c.away); s != 1 {
			t.Errorf("away %v: scale %v, want 1", c.away, s)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("away %v: codes %v, want %v", c.away, got, c.want)
		}
	}
}

// TestActivationRows is spec §13.3.
func TestActivationRows(t *testing.T) {
	for _, c := range []struct {
		name  string
		x     []float32
		want  []int8
		scale float32
	}{
		{"zero", []float32{0, 0, 0}, []int8{0, 0, 0}, 127 / float32(1e-5)},
		{"tiny", []float32{1e-6, -1e-7, 0}, []int8{13, -1, 0}, 127 / float32(1e-5)},
		{"denormal", []float32{1e-42, -1e-44}, []int8{0, 0}, 127 / float32(1e-5)},
		{"outlier", []float32{1, -1e30, 3}, []int8{0, -127, 0}, 127 / float32(1e30)},
		{"NaN", []float32{1, nan, 3}, []int8{0, 0, 0}, nan},
		{"infinity", []float32{1, 2, inf}, []int8{0, 0, 0}, nan},
		{"minus infinity", []float32{-inf, 2, 1}, []int8{0, 0, 0}, nan},
	} {
		for _, away := range []bool{false, true} {
			got := []int8{55, 55, 55}[:len(c.x)]
			s := quant.Quantize(got, c.x, away)
			if s != c.scale && !(s != s && c.scale != c.scale) {
				t.Errorf("%s: scale %v, want %v", c.name, s, c.scale)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, away %v: codes %v, want %v", c.name, away, got, c.want)
			}
		}
	}
}

// TestActivationCodes compares with math's rounding for rows of any size, and checks that ±127 is reached and never left.
func TestActivationCodes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		size := math.Exp2(rapid.Float64Range(-20, 60).Draw(r, "log size"))
		away := rapid.Bool().Draw(r, "away")
		x := make([]float32, rapid.IntRange(1, 300).Draw(r, "n"))
		for i := range x {
			x[i] = float32(rng.NormFloat64() * size)
		}
		got := make([]int8, len(x))
		s := quant.Quantize(got, x, away)
		largest, clamped := 0, false
		for i, v := range x {
			round := math.RoundToEven
			if away {
				round = math.Round
			}
			if want := round(float64(float32(v * s))); float64(got[i]) != want {
				r.Fatalf("code of %v at scale %v: %d, want %v", v, s, got[i], want)
			}
			largest = max(largest, int(max(got[i], -got[i])))
		}
		clamped = s >= 127/float32(1e-5)
		if largest > quant.MaxCode || largest < quant.MaxCode && !clamped {
			r.Fatalf("the largest code is %d", largest)
		}
	})
}

func TestWeightHalves(t *testing.T) {
	w := []float32{0.5, -0.5, 1.5, -1.5, 0.5000001, -0.5000001, 0, 3}
	got := make([]int8, len(w))
	quant.Trits(got, w, 1)
	if want := []int8{0, 0, 1, -1, 1, -1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
}

func TestTernarize(t *testing.T) {
	for _, c := range []struct {
		name string
		w    []float32
		want []int8
		mean float32
	}{
		{"zero", make([]float32, 5), make([]int8, 5), 1e-5},
		{"below the smallest mean", []float32{1e-6, -6e-6}, []int8{0, -1}, 1e-5},
		{"one value", []float32{-4}, []int8{-1}, 4},
		{"outlier", []float32{100, 1, -1, 2}, []int8{1, 0, 0, 0}, 26},
	} {
		got := make([]int8, len(c.w))
		m, err := quant.Ternarize(got, c.w)
		if err != nil || m != c.mean || !slices.Equal(got, c.want) {
			t.Errorf("%s: codes %v, mean %v, error %v; want %v, %v", c.name, got, m, err, c.want, c.mean)
		}
	}
	for _, bad := range []float32{nan, inf, -inf} {
		w := make([]float32, 10000)
		w[8193] = bad
		if _, err := quant.Ternarize(make([]int8, len(w)), w); err == nil || !strings.Contains(err.Error(), "8193") {
			t.Errorf("%v: error %v, want one that names value 8193", bad, err)
		}
	}
}

// TestScaleIsTheMean: ten million equal values lose no digit, and blocks cover every value once.
func TestScaleIsTheMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 3, 4095, 4096, 4097, 3*4096 + 5} {
		w := make([]float32, n)
		var want float64
		for i := range w {
			w[i] = float32(rng.NormFloat64())
			want += math.Abs(float64(w[i]))
		}
		want /= float64(n)
		var sums []float64
		covered := 0
		for b := range quant.Blocks(n) {
			sums = append(sums, f32.AbsSum(quant.Block(w, b)))
			covered += len(quant.Block(w, b))
		}
		m, ok := quant.WeightScale(sums, n)
		if !ok || covered != n || math.Abs(float64(m)/want-1) > 1e-7 {
			t.Errorf("%d values: scale %v, want %v; %d covered", n, m, want, covered)
		}
	}
	sums := make([]float64, 10_000_000/quant.ScaleBlock+1)
	block := slices.Repeat([]float32{0.1}, quant.ScaleBlock)
	n := 0
	for b := range sums {
		sums[b] = f32.AbsSum(block)
		n += len(block)
	}
	if m, _ := quant.WeightScale(sums, n); m != 0.1 {
		t.Errorf("the mean of %d times 0.1 is %v", n, m)
	}
}

// TestMagnitude: values that are ternary already keep their magnitude as scale, where the mean would shrink it.
func TestMagnitude(t *testing.T) {
	const a = float32(0.37)
	for _, c := range []struct {
		w    []float32
		want float32 // 0: not ternary, the mean decides
	}{
		{[]float32{a, 0, -a, 0}, a},
		{[]float32{0, 0, a}, a},
		{[]float32{-a}, a},
		{[]float32{a, a, 0, 1e-30}, 0},
		{[]float32{0, 0}, 0},
		{nil, 0},
		{[]float32{1e-6, 0}, 0},
		{[]float32{1e-5, 0}, 1e-5},
		{[]float32{a, -a, 2 * a}, 0},
		{[]float32{float32(math.Inf(1)), 0}, 0},
		{[]float32{float32(math.NaN()), 0}, 0},
	} {
		got, ok := quant.Magnitude(c.w)
		if ok != (c.want != 0) || ok && got != c.want {
			t.Errorf("%v: %v, %v", c.w, got, ok)
		}
		if !ok {
			continue
		}
		codes := make([]int8, len(c.w))
		m, err := quant.Ternarize(codes, c.w)
		if err != nil || m != c.want {
			t.Errorf("%v: scale %v, %v", c.w, m, err)
		}
		for j, v := range c.w {
			if float32(codes[j])*m != v {
				t.Errorf("%v: value %d comes back as %v", c.w, j, float32(codes[j])*m)
			}
		}
	}
}

// TestScaler compares it with Ternarize for values that come in pieces of any length.
func TestScaler(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := make([]float32, rapid.IntRange(1, 3*quant.ScaleBlock).Draw(r, "n"))
		x := uint32(rapid.Uint32().Draw(r, "seed"))
		ternary := rapid.Bool().Draw(r, "ternary")
		for j := range w {
			x = x*1664525 + 1013904223
			w[j] = float32(int32(x)) / (1 << 31)
			if ternary {
				w[j] = float32(int32(x>>16)%3-1) * 0.3
			}
		}
		want, err := quant.Ternarize(make([]int8, len(w)), w)
		if err != nil {
			r.Fatal(err)
		}
		var s quant.Scaler
		for rest := w; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, 2*quant.ScaleBlock).Draw(r, "piece"))
			s.Add(rest[:n])
			rest = rest[n:]
		}
		if got, ok := s.Scale(); !ok || math.Float32bits(got) != math.Float32bits(want) {
			r.Fatalf("scale %v, want %v", got, want)
		}
	})
}
