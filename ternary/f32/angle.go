package f32

import "math"

const (
	twoOverPi = 6.36619772367581382433e-01
	// π/2 in three parts of 33 bits and a rest (fdlibm): a multiple of the first two below 2^20 is exact.
	halfPiHi  = 1.57079632673412561417e+00
	halfPiMid = 6.07710050630396597660e-11
	halfPiLo  = 2.02226624879595063154e-21
	ln2Long   = 6.93147180559945286227e-01
)

// Power returns base^e for base > 0, in float64 with an error of some 1e-16·|e·ln base|. Like Log it exists because package
// math's has other bits on other machines.
func Power(base, e float64) float64 {
	x := float64(e * Log(base))
	n := math.Floor(float64(x/ln2Long) + 0.5)
	r := float64(x - float64(n*6.93147180369123816490e-01))
	r = float64(r - float64(n*1.90821492927058770002e-10))
	sum := 1.0 // the series of e^r by Horner: |r| ≤ 0.35, r^16/16! is below 1e-20
	for k := 16; k > 0; k-- {
		sum = 1 + float64(sum*float64(r/float64(k)))
	}
	return math.Ldexp(sum, int(n))
}

// SinCos returns sin x and cos x for 0 ≤ x < 2^24, in float64: within some 1e-16·x up to a million, where
// multiples of π/2 stop being exact, and 3e-9 beyond, which is still below a float32's.
func SinCos(x float64) (sin, cos float64) {
	n := math.Floor(float64(x*twoOverPi) + 0.5)
	r := float64(x - float64(n*halfPiHi))
	r = float64(r - float64(n*halfPiMid))
	r = float64(r - float64(n*halfPiLo))
	r2 := float64(r * r)
	// Taylor's series by Horner: |r| ≤ π/4, what is left out is below 1e-17.
	s, c := 1.0, 1.0
	for k := 17; k > 1; k -= 2 {
		s = 1 - float64(s*float64(r2/float64(k*(k-1))))
	}
	for k := 18; k > 1; k -= 2 {
		c = 1 - float64(c*float64(r2/float64(k*(k-1))))
	}
	s = float64(s * r)
	switch int64(n) & 3 {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	}
	return -c, s
}
