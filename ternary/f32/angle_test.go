package f32

import (
	"math"
	"testing"
)

func TestSinCos(t *testing.T) {
	check := func(x float64) {
		s, c := SinCos(x)
		ws, wc := math.Sincos(x)
		allowed := 1e-15 + x*1e-16
		if x > 1e6 {
			allowed = 3e-9
		}
		if math.Abs(s-ws) > allowed || math.Abs(c-wc) > allowed {
			t.Errorf("SinCos(%v) = %v, %v; want %v, %v", x, s, c, ws, wc)
		}
	}
	for i := range 4000 {
		check(float64(i))
		check(float64(i) * 0.2173)
		check(float64(i) * math.Pi / 4)
		check(float64(i) * 4191.77)
	}
}

func TestPower(t *testing.T) {
	for _, base := range []float64{1.5, 100, 10000, 500000, 1e12} {
		for i := range 257 {
			e := float64(i-128) / 64
			if got, want := Power(base, e), math.Pow(base, e); math.Abs(got-want) > 1e-14*want {
				t.Errorf("Power(%v, %v) = %v, want %v", base, e, got, want)
			}
		}
	}
}
