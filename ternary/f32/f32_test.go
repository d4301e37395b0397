package f32_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"mmfree/ternary/f32"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// units returns |got − want| in units in the last place of want's float32 neighbourhood; denormals count as zero's.
func units(got float32, want float64) float64 {
	_, exp := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(exp, -125)-24)
}

// sweep calls f for about a million values of either sign between the magnitudes, evenly over the bit patterns.
func sweep(from, to float32, f func(x float32)) {
	for b := math.Float32bits(from); b < math.Float32bits(to); b += 997 {
		f(math.Float32frombits(b))
		f(-math.Float32frombits(b))
	}
}

func TestAccuracy(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, c := range []struct {
		name     string
		got      func(float32) float32
		want     func(float64) float64
		from, to float32
		bound    float64
	}{
		{"Exp", f32.Exp, math.Exp, 1e-9, 87.33, 1},
		{"Sigmoid", f32.Sigmoid, sigmoid, 1e-9, 87.3, 3},
		{"Silu", f32.Silu, func(x float64) float64 { return x * sigmoid(x) }, 1e-9, 80, 4},
		{"Sqrt", f32.Sqrt, math.Sqrt, 1e-30, 1e30, 0.5},
	} {
		worst, at := 0.0, float32(0)
		sweep(c.from, c.to, func(x float32) {
			if c.name == "Sqrt" && x < 0 {
				return
			}
			if by := units(c.got(x), c.want(float64(x))); !(by <= worst) {
				worst, at = by, x
			}
		})
		t.Logf("%s: at most %.3f units in the last place, at %v", c.name, worst, at)
		if !(worst <= c.bound) {
			t.Errorf("%s(%v) = %v, want %v: off by %.3f units, allowed are %v", c.name, at, c.got(at), c.want(float64(at)), worst, c.bound)
		}
	}
}

func TestLogAccuracy(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	worst, at := 0.0, 0.0
	try := func(x float64) {
		want := math.Log(x) // itself within one unit
		if want == 0 {
			if got := f32.Log(x); got != 0 {
				t.Errorf("Log(%v) = %v, want 0", x, got)
			}
			return
		}
		_, exp := math.Frexp(want)
		if by := math.Abs(f32.Log(x)-want) / math.Ldexp(1, exp-53); !(by <= worst) {
			worst, at = by, x
		}
	}
	for range 500_000 {
		try(math.Exp(rng.Float64()*200 - 100))
		try(1 + rng.NormFloat64()*1e-3)
		try(1 + rng.Float64()*3e5) // sums of exponentials over a vocabulary
	}
	for e := -1000; e <= 1000; e++ {
		try(math.Ldexp(1, e))
		try(math.Ldexp(math.Sqrt2, e))
	}
	t.Logf("at most %.3f units in the last place, at %v", worst, at)
	if !(worst <= 3) {
		t.Errorf("Log(%v) = %v, want %v: off by %.3f units", at, f32.Log(at), math.Log(at), worst)
	}
}

func TestSpecialValues(t *testing.T) {
	zero := float32(0)
	for _, c := range []struct {
		name      string
		got, want float32
	}{
		{"Exp(0)", f32.Exp(0), 1},
		{"Exp(-0)", f32.Exp(-zero), 1},
		{"Exp(+Inf)", f32.Exp(inf), inf},
		{"Exp(-Inf)", f32.Exp(-inf), 0},
		{"Exp(NaN)", f32.Exp(nan), nan},
		{"Exp(89)", f32.Exp(89), inf},
		{"Exp(-88)", f32.Exp(-88), 0},
		{"Exp(denormal)", f32.Exp(1e-42), 1},
		{"Sigmoid(0)", f32.Sigmoid(0), 0.5},
		{"Sigmoid(-0)", f32.Sigmoid(-zero), 0.5},
		{"Sigmoid(denormal)", f32.Sigmoid(1e-42), 0.5},
		{"Sigmoid(+Inf)", f32.Sigmoid(inf), 1},
		{"Sigmoid(-Inf)", f32.Sigmoid(-inf), 0},
		{"Sigmoid(NaN)", f32.Sigmoid(nan), nan},
		{"Silu(0)", f32.Silu(0), 0},
		{"Silu(100)", f32.Silu(100), 100},
		{"Silu(-100)", f32.Silu(-100), 0},
		{"Silu(+Inf)", f32.Silu(inf), inf},
		{"Silu(NaN)", f32.Silu(nan), nan},
		{"Abs(-3)", f32.Abs(-3), 3},
		{"Sqrt(-1)", f32.Sqrt(-1), nan},
	} {
		if c.got != c.want && !(c.got != c.got && c.want != c.want) {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	// The largest and smallest results are finite and normal.
	if got := f32.Exp(88.72283); !(got > 3.4e38 && got <= math.MaxFloat32) {
		t.Errorf("Exp(88.72283) = %v", got)
	}
	if got := f32.Exp(-87.3365); !(got >= 0x1p-126 && got < 1.2e-38) {
		t.Errorf("Exp(-87.3365) = %v", got)
	}
	if got := f32.MaxAbsBits([]float32{1, -3, 2}); got != math.Float32bits(3) {
		t.Errorf("MaxAbsBits = %#x", got)
	}
	if got := f32.MaxAbsBits([]float32{1, -nan, inf}); got <= math.Float32bits(inf) {
		t.Errorf("MaxAbsBits hid a NaN: %#x", got)
	}
}

// TestExpNeverLeavesItsRange: no rounding takes a gate out of [0, 1].
func TestExpNeverLeavesItsRange(t *testing.T) {
	sweep(1e-9, 200, func(x float32) {
		if e := f32.Exp(x); !(e >= 0) || x < 0 && e > 1 || x > 0 && e < 1 {
			t.Fatalf("Exp(%v) = %v", x, e)
		}
		if s := f32.Sigmoid(x); !(s >= 0 && s <= 1) {
			t.Fatalf("Sigmoid(%v) = %v", x, s)
		}
	})
}

// TestBitsArePinned: these are the bits on every machine. None may change without a new version of the numeric contract.
func TestBitsArePinned(t *testing.T) {
	long := make([]float32, 1000)
	for i := range long {
		long[i] = float32(1 / float64(i+1))
	}
	for _, c := range []struct {
		name string
		got  float32
		want uint32
	}{
		{"Exp(1)", f32.Exp(1), 0x402df854},
		{"Exp(-1)", f32.Exp(-1), 0x3ebc5ab2},
		{"Exp(0.3)", f32.Exp(0.3), 0x3facc82c},
		{"Exp(10.7)", f32.Exp(10.7), 0x472d43d9},
		{"Exp(-55.5)", f32.Exp(-55.5), 0x1773f27d},
		{"Exp(88.7)", f32.Exp(88.7), 0x7f7a37fc},
		{"Sigmoid(0.7)", f32.Sigmoid(0.7), 0x3f2b0e5a},
		{"Sigmoid(-0.7)", f32.Sigmoid(-0.7), 0x3ea9e34b},
		{"Sigmoid(-8.4995737)", f32.Sigmoid(-8.4995737), 0x3955664d},
		{"Sigmoid(-15.499999)", f32.Sigmoid(-15.499999), 0x344738a7},
		{"Sigmoid(-15.5)", f32.Sigmoid(-15.5), 0x34473899},
		{"Sigmoid(-20)", f32.Sigmoid(-20), 0x310da433},
		{"Silu(1.3)", f32.Silu(1.3), 0x3f82c350},
		{"Silu(-2.1)", f32.Silu(-2.1), 0xbe6a9a10},
		{"SumSquares", f32.SumSquares(long), 0x3fd26c72},
		{"Sum", f32.Sum(long), 0x40ef88fa},
		{"Dot", f32.Dot(long, long[:1000]), 0x3fd26c72},
		{"Dot of 77", f32.Dot(long[:77], long[900:977]), 0x3bb06ae4},
	} {
		if got := math.Float32bits(c.got); got != c.want {
			t.Errorf("%s is %#08x (%v), pinned is %#08x", c.name, got, c.got, c.want)
		}
	}
	for _, c := range []struct {
		x    float64
		want uint64
	}{{2, 0x3fe62e42fefa39ef}, {10, 0x40026bb1bbb55516}, {1.0000001, 0x3e7ad7f2847b6491}, {32000.5, 0x4024bf3c48bedfda}, {1e-20, 0xc047069e2aa2aa5b}} {
		if got := math.Float64bits(f32.Log(c.x)); got != c.want {
			t.Errorf("Log(%v) is %#016x, pinned is %#016x", c.x, got, c.want)
		}
	}
}

// TestSumsFollowTheLanes compares with the order that Lanes describes, written out.
func TestSumsFollowTheLanes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for n := range 300 {
		x, y := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i], y[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
		}
		lanes := func(value func(i int) float32) float32 {
			acc := make([]float32, f32.Lanes)
			for i := range n {
				acc[i%f32.Lanes] += value(i)
			}
			for half := len(acc) / 2; half > 0; half /= 2 {
				for j := range half {
					acc[j] += acc[j+half]
				}
			}
			return acc[0]
		}
		for name, pair := range map[string][2]float32{
			"Sum":        {f32.Sum(x), lanes(func(i int) float32 { return x[i] })},
			"SumSquares": {f32.SumSquares(x), lanes(func(i int) float32 { return float32(x[i] * x[i]) })},
			"Dot":        {f32.Dot(x, y), lanes(func(i int) float32 { return float32(x[i] * y[i]) })},
		} {
			if math.Float32bits(pair[0]) != math.Float32bits(pair[1]) {
				t.Fatalf("%s of %d: %v, want %v", name, n, pair[0], pair[1])
			}
		}
	}
}
